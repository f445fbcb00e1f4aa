import { DEFAULT_TOKEN_TTL_SECONDS, MAX_TOKEN_HOPS, MAX_TOKEN_TTL_SECONDS } from "../constants.ts";
import { isScope, missingScopes } from "../keys/scopes.ts";
import { endOf } from "../keys/status.ts";
import type { EdgeRecord, EpochMs } from "../keys/record.ts";
import { err, ok, type Result } from "../result.ts";
import type { ActorClaim, TokenClaims } from "./claims.ts";
import type { VerifiedToken } from "./verified-token.ts";

/** What an exchange comes to: the claims of the new token. Pure. Nothing in it may be more than the subject has. */

export interface GrantInput {
  /** The parent's, with the subject's scopes. */
  readonly record: EdgeRecord;
  /** The subject, where it is a token itself. */
  readonly token: VerifiedToken | null;
  readonly issuer: string;
  readonly audience: string;
  /** As asked for; `null`: all that the subject has. */
  readonly scope: string | null;
  /** Where neither the key's policy nor the rule that trusts a workload says how long. */
  readonly defaultTtlSeconds: number | null;
  /** Of a workload's rule. */
  readonly ttlSeconds: number | null;
  /** Who acts from now on; `null`: nobody but the subject. */
  readonly actor: ActorClaim | null;
  readonly jti: string;
  readonly now: EpochMs;
}

export type GrantFault =
  /** Wider than the subject's, or no scopes at all. */
  | "invalid_scope"
  /** The subject ends within the second. */
  | "too_late"
  | "too_many_hops";

export function grant(input: GrantInput): Result<TokenClaims, GrantFault> {
  const { record, token, now } = input;
  const scopes = grantScopes(input.scope, record.scopes);
  if (scopes === null) return err("invalid_scope");
  const iat = Math.floor(now / 1_000);
  const exp = Math.min(iat + ttlOf(input), Math.floor(endOf(record) / 1_000), token?.claims.exp ?? Infinity);
  if (exp <= iat) return err("too_late");
  const act = actorOf(input);
  const ancestors = token === null ? [] : [...(token.claims.lk_ancestors ?? []), token.claims.jti];
  if (ancestors.length > MAX_TOKEN_HOPS || depthOf(act) > MAX_TOKEN_HOPS) return err("too_many_hops");
  return ok({
    iss: input.issuer,
    sub: record.owner,
    aud: input.audience,
    client_id: record.id,
    iat,
    exp,
    jti: input.jti,
    scope: scopes.join(" "),
    lk_workspace: record.workspace,
    lk_lineage: record.lineageId,
    lk_environment: record.environment,
    ...(token === null ? {} : { lk_ancestors: ancestors, lk_root_iat: token.claims.lk_root_iat ?? token.claims.iat }),
    ...(act === null ? {} : { act }),
  });
}

/** RFC 6749 §3.3: a list of scopes, each of which the subject must have. `null`: it has not, or they are none. */
function grantScopes(asked: string | null, held: readonly string[]): readonly string[] | null {
  if (asked === null) return held;
  const scopes = [...new Set(asked.split(" ").filter((scope) => scope !== ""))];
  return scopes.length > 0 && scopes.every(isScope) && missingScopes(held, scopes).length === 0 ? scopes : null;
}

function ttlOf({ record, ttlSeconds, defaultTtlSeconds }: GrantInput): number {
  const usual = defaultTtlSeconds ?? DEFAULT_TOKEN_TTL_SECONDS;
  return Math.min(record.policy.tokenTtlSeconds ?? ttlSeconds ?? usual, MAX_TOKEN_TTL_SECONDS);
}

/** RFC 8693 §4.1: the one who acts now is outermost, those who acted before are within. */
function actorOf({ actor, token }: GrantInput): ActorClaim | null {
  const before = token?.claims.act;
  if (actor === null) return before ?? null;
  const { sub, client_id } = actor;
  return before === undefined ? { sub, client_id } : { sub, client_id, act: before };
}

function depthOf(actor: ActorClaim | null): number {
  let depth = 0;
  for (let next: ActorClaim | undefined = actor ?? undefined; next !== undefined; next = next.act) depth += 1;
  return depth;
}
