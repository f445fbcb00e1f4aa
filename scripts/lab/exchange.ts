/** A key for a token, at `/_latchkey/oauth/token`. */

export const TOKEN_PATH = "/_latchkey/oauth/token";

export function exchangeForm(key: string): URLSearchParams {
  return new URLSearchParams({
    grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
    subject_token_type: "urn:latchkey:token-type:api-key",
    subject_token: key,
  });
}

/** Throws unless the answer is a token. `url` is without a path; `headers`: as the key's bindings want them. */
export async function exchangeKey(
  url: string,
  key: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<string> {
  const response = await fetch(`${url}${TOKEN_PATH}`, { method: "POST", headers, body: exchangeForm(key) });
  const answer: unknown = await response.json();
  if (typeof answer === "object" && answer !== null && "access_token" in answer) return String(answer.access_token);
  throw new Error(`the exchange was answered ${response.status}: ${JSON.stringify(answer)}`);
}
