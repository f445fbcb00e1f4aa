import { exchangeForm, TOKEN_PATH } from "../lab/exchange.ts";
import { COMMON_HEADERS } from "./candidate.ts";
import type { RequestShape } from "./candidate.ts";

/** The measured exchange of a key for a token. */
export function exchangeRequest(key: string): RequestShape {
  const headers = { ...COMMON_HEADERS, "content-type": "application/x-www-form-urlencoded" };
  return { method: "POST", path: TOKEN_PATH, headers, body: exchangeForm(key).toString() };
}
