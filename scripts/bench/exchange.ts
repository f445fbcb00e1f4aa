import { COMMON_HEADERS } from "./candidate.ts";
import type { RequestShape } from "./candidate.ts";

/** A key for a token, at `/_latchkey/oauth/token`. */

export function exchangeRequest(key: string): RequestShape {
  const body = new URLSearchParams({
    grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
    subject_token_type: "urn:latchkey:token-type:api-key",
    subject_token: key,
  });
  return {
    method: "POST",
    path: "/_latchkey/oauth/token",
    headers: { ...COMMON_HEADERS, "content-type": "application/x-www-form-urlencoded" },
    body: body.toString(),
  };
}

export async function exchangeKey(gateway: { readonly url: string }, key: string): Promise<string> {
  const { path, ...init } = exchangeRequest(key);
  const response = await fetch(`${gateway.url}${path}`, init);
  const answer: unknown = await response.json();
  if (typeof answer === "object" && answer !== null && "access_token" in answer) return String(answer.access_token);
  throw new Error(`the exchange was answered ${response.status}`);
}
