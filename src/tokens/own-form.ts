import { decodeJwt, decodeProtectedHeader, type ProtectedHeaderParameters } from "jose";
import { MAX_TOKEN_CHARACTERS } from "../constants.ts";
import { TOKEN_TYPE } from "./claims.ts";

/** What a JWT says that it is. Nothing here tells whether it is any good. Pure. */

/** RFC 9068 §2.1, §4: the prefix may be left out, and case does not count. */
const TYPES: ReadonlySet<string> = new Set([TOKEN_TYPE, `application/${TOKEN_TYPE}`]);

/** `{"` in base64url: every header that we make starts so. */
const JSON_START = "eyJ";

/** `null`: no access token by its own word, and so none of ours. */
export function readTokenHeader(presented: string): ProtectedHeaderParameters | null {
  try {
    const header = decodeProtectedHeader(presented);
    return typeof header.typ === "string" && TYPES.has(header.typ.toLowerCase()) ? header : null;
  } catch {
    return null;
  }
}

/**
 * Whether this is a token of a Latchkey, without a key to verify it by: for who must not pass one on. Other servers' access tokens have
 * the same type (RFC 9068), so the payload decides: no token is taken here without `lk_lineage`, and nobody else has that claim. The
 * issuer is not compared: it may be any host of this deployment, or have been another when the token was minted. What cannot be read
 * is taken for ours: better refused than shown to an origin.
 */
export function looksMinted(presented: string): boolean {
  if (!presented.startsWith(JSON_START) || presented.length > MAX_TOKEN_CHARACTERS) return false;
  if (readTokenHeader(presented) === null) return false;
  try {
    return decodeJwt(presented)["lk_lineage"] !== undefined;
  } catch {
    return true;
  }
}
