import { errors, jwtVerify, type JWTPayload } from "jose";
import { MAX_TOKEN_HOPS, MAX_TOKEN_TTL_SECONDS, TOKEN_SKEW_SECONDS } from "../constants.ts";
import { err, ok, type Result } from "../result.ts";
import type { ActorClaim, Confirmation, TokenClaims } from "./claims.ts";
import { readTokenHeader } from "./own-form.ts";
import type { TokenKeys, VerificationKey, WaitUntil } from "./token-keys.ts";
import { toVerifiedToken, type VerifiedToken } from "./verified-token.ts";

/** Whether a JWT is one of our tokens (RFC 9068 §4): signature, type, issuer, times, and the shape of every claim that is used later. */

/** `foreign`: its header says that it is something else. `unavailable`: nobody can tell which keys are ours right now. */
export type VerificationFault = "foreign" | "token_invalid" | "token_expired" | "unavailable";

export interface VerificationParts {
  readonly keys: TokenKeys;
  /** The configured issuer; `null`: whichever host minted it, which is all that our own signature needs. */
  readonly issuer: string | null;
  readonly now: number;
  readonly waitUntil: WaitUntil;
}

const REQUIRED = ["iss", "sub", "aud", "client_id", "iat", "exp", "jti"];

export async function verifyToken(
  presented: string,
  parts: VerificationParts,
): Promise<Result<VerifiedToken, VerificationFault>> {
  const header = readTokenHeader(presented);
  if (header === null) return err("foreign");
  const { kid, alg } = header;
  if (kid === undefined || kid.length > 128) return err("token_invalid");
  const found = await parts.keys.find(kid, parts.waitUntil);
  if (!found.ok) return err("unavailable");
  // The algorithm is the key's, whatever the header says: a public key is never a shared secret (RFC 8725 §3.1).
  if (found.value === null || found.value.alg !== alg) return err("token_invalid");
  const payload = await verifySignature(presented, found.value, parts);
  if (!payload.ok) return payload;
  const claims = readClaims(payload.value);
  return claims === null ? err("token_invalid") : ok(toVerifiedToken(claims, kid));
}

async function verifySignature(
  presented: string,
  { key, alg }: VerificationKey,
  { issuer, now }: VerificationParts,
): Promise<Result<JWTPayload, VerificationFault>> {
  try {
    const { payload } = await jwtVerify(presented, key, {
      algorithms: [alg],
      clockTolerance: TOKEN_SKEW_SECONDS,
      currentDate: new Date(now),
      requiredClaims: REQUIRED,
      ...(issuer === null ? {} : { issuer }),
    });
    return ok(payload);
  } catch (error) {
    return err(error instanceof errors.JWTExpired ? "token_expired" : "token_invalid");
  }
}

/** We signed it; this guards against the shapes of other versions, and against whatever else our keys may ever sign. */
function readClaims(payload: JWTPayload): TokenClaims | null {
  const { iss, sub, aud, client_id, iat, exp, jti, scope, lk_workspace, lk_lineage, lk_environment } = payload;
  const texts = [iss, sub, aud, client_id, jti, scope, lk_workspace, lk_lineage];
  if (!texts.every((text) => typeof text === "string") || typeof iat !== "number" || typeof exp !== "number")
    return null;
  if (lk_environment !== "live" && lk_environment !== "test") return null;
  const root = payload["lk_root_iat"];
  if (root !== undefined && !(typeof root === "number" && root <= iat)) return null;
  if (exp <= iat || exp - iat > MAX_TOKEN_TTL_SECONDS) return null;
  if (!isAncestors(payload["lk_ancestors"]) || !isActor(payload["act"], 0) || !isConfirmation(payload["cnf"]))
    return null;
  // Every member was looked at above.
  return payload as unknown as TokenClaims;
}

function isAncestors(value: unknown): value is TokenClaims["lk_ancestors"] {
  return value === undefined || (Array.isArray(value) && value.every((jti) => typeof jti === "string"));
}

function isActor(value: unknown, depth: number): value is ActorClaim | undefined {
  if (value === undefined) return true;
  if (typeof value !== "object" || value === null || depth >= MAX_TOKEN_HOPS) return false;
  if (!("sub" in value) || typeof value.sub !== "string") return false;
  if (!("client_id" in value) || typeof value.client_id !== "string") return false;
  return isActor("act" in value ? value.act : undefined, depth + 1);
}

/** A confirmation that is not understood cannot be checked, and so is never met (RFC 7800 §3.1). */
function isConfirmation(value: unknown): value is Confirmation | undefined {
  if (value === undefined) return true;
  if (typeof value !== "object" || value === null) return false;
  const members = Object.entries(value);
  return (
    members.length > 0 &&
    members.every(([name, text]) => (name === "jkt" || name === "x5t#S256") && typeof text === "string")
  );
}
