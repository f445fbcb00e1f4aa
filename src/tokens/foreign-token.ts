import { decodeJwt, decodeProtectedHeader, errors, jwtVerify } from "jose";
import type { CryptoKey, JWTPayload, ProtectedHeaderParameters } from "jose";
import {
  FOREIGN_CLOCK_SKEW_SECONDS,
  MAX_FOREIGN_SUBJECT_CHARACTERS,
  MAX_FOREIGN_TOKEN_CHARACTERS,
  MAX_FOREIGN_TOKEN_LIFE_SECONDS,
} from "../constants.ts";
import type { EpochMs } from "../keys/record.ts";
import { err, ok } from "../result.ts";
import type { Result } from "../result.ts";
import type { Source, VerifiedClaims } from "./trust.ts";

/**
 * JWTs of others (RFC 7519, with the advice of RFC 8725): read without belief to learn whose keys to ask for, then verified under
 * those keys alone. What is wrong is told in words that repeat nothing of the token.
 */

/** What a token says of itself, before anything is verified. */
export interface UnverifiedToken {
  readonly header: ProtectedHeaderParameters;
  readonly payload: JWTPayload;
}

export interface ForeignClaims extends VerifiedClaims {
  readonly subject: string;
  readonly expiresAtMs: EpochMs;
}

const COMPACT_JWS = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
/** `JOSE` is SPIFFE's other spelling; types for other uses (`dpop+jwt`, `logout+jwt`, …) are refused: RFC 8725 §3.11. */
const TYPES: ReadonlySet<string> = new Set(["jwt", "jose", "at+jwt", "application/jwt", "application/at+jwt"]);

/** Takes a compact JWS apart and refuses what could never be one of use here. No cryptography yet. */
export function readForeignToken(jwt: string): Result<UnverifiedToken, string> {
  if (jwt.length > MAX_FOREIGN_TOKEN_CHARACTERS) {
    return err(`The token has more than ${MAX_FOREIGN_TOKEN_CHARACTERS} characters.`);
  }
  if (!COMPACT_JWS.test(jwt)) return err("This is no signed JWT.");
  try {
    const header = decodeProtectedHeader(jwt);
    const payload = decodeJwt(jwt);
    if (header.typ !== undefined && !TYPES.has(header.typ.toLowerCase())) {
      return err("The token is of a type for another use.");
    }
    // Nothing that would have to be understood is understood here: RFC 7515 §4.1.11.
    if (header.crit !== undefined) return err("The token has critical header parameters.");
    return ok({ header, payload });
  } catch {
    return err("This is no signed JWT.");
  }
}

/** Signature, issuer and times, under a key that its source has published. Audience and subject are the rules' matter. */
export async function verifyForeignToken(
  jwt: string,
  source: Source,
  key: CryptoKey,
  now: EpochMs,
): Promise<Result<ForeignClaims, string>> {
  try {
    const { payload, protectedHeader } = await jwtVerify(jwt, key, {
      algorithms: [...source.algorithms],
      ...(source.issuer === null ? {} : { issuer: source.issuer }),
      clockTolerance: FOREIGN_CLOCK_SKEW_SECONDS,
      requiredClaims: ["sub", "exp"],
      currentDate: new Date(now),
    });
    const fault = findFault(payload, now / 1_000);
    if (fault !== null) return err(fault);
    const { sub: subject = "", exp = 0 } = payload;
    return ok({ algorithm: protectedHeader.alg, payload, subject, expiresAtMs: exp * 1_000 });
  } catch (error) {
    return err(describe(error));
  }
}

function findFault({ sub, iat, exp = 0, cnf }: JWTPayload, nowSeconds: number): string | null {
  if (typeof sub !== "string" || sub === "" || sub.length > MAX_FOREIGN_SUBJECT_CHARACTERS) {
    return `The token's subject must have 1 to ${MAX_FOREIGN_SUBJECT_CHARACTERS} characters.`;
  }
  if (/\p{Cc}/u.test(sub) || !sub.isWellFormed()) return "The token's subject has control characters.";
  if (iat !== undefined && iat > nowSeconds + FOREIGN_CLOCK_SKEW_SECONDS) return "The token was issued in the future.";
  // An issuer without `iat` (SPIFFE asks for none) is held to what is left.
  if (exp - (iat ?? nowSeconds) > MAX_FOREIGN_TOKEN_LIFE_SECONDS + FOREIGN_CLOCK_SKEW_SECONDS) {
    return `The token lives longer than ${MAX_FOREIGN_TOKEN_LIFE_SECONDS} s.`;
  }
  // RFC 7800: whoever takes it would have to see the proof, which no exchange carries.
  return cnf === undefined ? null : "The token is bound to a key, which cannot be proved here.";
}

function describe(error: unknown): string {
  if (error instanceof errors.JWTExpired) return "The token has expired.";
  if (error instanceof errors.JWTClaimValidationFailed) {
    return error.claim === "nbf"
      ? "The token is not valid yet."
      : `The token's claim ${safeName(error.claim)} is missing or wrong.`;
  }
  if (error instanceof errors.JOSEAlgNotAllowed) return "The token's algorithm is not allowed.";
  if (error instanceof errors.JWSSignatureVerificationFailed) return "The token's signature does not hold.";
  return "The token cannot be verified.";
}

/** One of the names that this module asks for; never text of the token's. */
function safeName(claim: string): string {
  return ["iss", "sub", "exp", "iat", "nbf"].includes(claim) ? claim : "set";
}
