import { TOKEN_SKEW_SECONDS } from "../constants.ts";
import type { EdgeRecord, EpochMs, KeyId, LineageId, RecordRef } from "../keys/record.ts";
import { intersectScopes } from "../keys/scopes.ts";
import type { TokenClaims } from "./claims.ts";

/** In whose name something is asked, where the key itself is not at hand. */
export interface Parent {
  readonly keyId: KeyId;
  readonly lineageId: LineageId;
  readonly workspace: string;
}

/** Where the parent's record stands in the isolate's memory. */
export function refOf({ keyId }: Parent): RecordRef {
  return `id:${keyId}`;
}

/** A token whose signature and claims were found good once. Whether its parent still stands is asked each time. Pure. */
export interface VerifiedToken {
  readonly claims: TokenClaims;
  /** Of the key that signed it. */
  readonly kid: string;
  readonly scopes: readonly string[];
  /** Of the first token in its line. */
  readonly issuedAt: EpochMs;
  readonly expiresAt: EpochMs;
  readonly parent: Parent;
  /** The last record that it was narrowed by, and what came of it. */
  narrowed: { readonly from: EdgeRecord; readonly record: EdgeRecord } | null;
}

export type TokenFault = "token_invalid" | "token_expired" | "token_revoked";

export function toVerifiedToken(claims: TokenClaims, kid: string): VerifiedToken {
  return {
    claims,
    kid,
    scopes: claims.scope === "" ? [] : claims.scope.split(" "),
    issuedAt: (claims.lk_root_iat ?? claims.iat) * 1_000,
    expiresAt: claims.exp * 1_000,
    parent: { keyId: claims.client_id, lineageId: claims.lk_lineage, workspace: claims.lk_workspace },
    narrowed: null,
  };
}

export function isOver({ expiresAt }: VerifiedToken, now: EpochMs): boolean {
  return expiresAt + TOKEN_SKEW_SECONDS * 1_000 <= now;
}

/** The parent's record with the scopes that both have: what the parent has lost, its tokens have lost too. */
export function narrow(token: VerifiedToken, parent: EdgeRecord): EdgeRecord {
  if (token.narrowed?.from === parent) return token.narrowed.record;
  const record = { ...parent, scopes: intersectScopes(token.scopes, parent.scopes) };
  token.narrowed = { from: parent, record };
  return record;
}

/** Whether the token was revoked: by itself, with one that it was derived from, or with all of its parent's. */
export function isRevoked({ claims, issuedAt }: VerifiedToken, parent: EdgeRecord): boolean {
  if (parent.tokensRevokedAt !== undefined && issuedAt <= parent.tokensRevokedAt) return true;
  const { revokedTokens } = parent;
  if (revokedTokens === undefined) return false;
  return revokedTokens.some(({ jti }) => jti === claims.jti || claims.lk_ancestors?.includes(jti) === true);
}
