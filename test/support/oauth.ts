import { bearer } from "./control.ts";

/** The OAuth endpoints, as whoever reads only the RFCs would call them. */

export const EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
export const API_KEY = "urn:latchkey:token-type:api-key";
export const ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token";

export type FormFields = Readonly<Record<string, string | readonly string[]>>;

export interface OAuthAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Readonly<Record<string, unknown>>;
}

type Fetch = (target: string, init?: RequestInit) => Promise<Response>;

export async function post(
  send: Fetch,
  endpoint: "token" | "introspect" | "revoke",
  fields: FormFields,
  headers: Readonly<Record<string, string>> = {},
): Promise<OAuthAnswer> {
  const body = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) for (const one of [value].flat()) body.append(name, one);
  const response = await send(`/_latchkey/oauth/${endpoint}`, { method: "POST", headers, body });
  // Each endpoint answers a JSON object; a wrong one shows in the assertions.
  return { status: response.status, headers: response.headers, body: (await response.json()) as OAuthAnswer["body"] };
}

/** A token for a key, or for a token. Throws unless the answer is 200. */
export async function exchange(send: Fetch, subject: string, fields: FormFields = {}): Promise<string> {
  const answer = await post(send, "token", {
    grant_type: EXCHANGE,
    subject_token: subject,
    subject_token_type: subject.startsWith("eyJ") ? ACCESS_TOKEN : API_KEY,
    ...fields,
  });
  const token = answer.body["access_token"];
  if (answer.status !== 200 || typeof token !== "string")
    throw new Error(`the exchange was answered ${answer.status}: ${JSON.stringify(answer.body)}`);
  return token;
}

/** Whether a credential passes at the gateway, and the code of its refusal. */
export async function tryIt(send: Fetch, credential: string, path = "/anything"): Promise<number | string> {
  const response = await send(path, { headers: bearer(credential) });
  if (response.status === 200) {
    await response.arrayBuffer();
    return 200;
  }
  // A problem document.
  const problem: unknown = await response.json();
  return String(typeof problem === "object" && problem !== null && "code" in problem ? problem.code : response.status);
}

/** A part of a JWT, as an object. */
export function partOf(token: string, index: 0 | 1): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split(".")[index] ?? "", "base64url").toString()) as Record<string, unknown>; // a JWT's
}

/** The same token with another header or payload, and its old signature. */
export function withPart(token: string, index: 0 | 1, change: Readonly<Record<string, unknown>>): string {
  const parts = token.split(".");
  parts[index] = Buffer.from(JSON.stringify({ ...partOf(token, index), ...change })).toString("base64url");
  return parts.join(".");
}
