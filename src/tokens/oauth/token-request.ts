import { err, ok, type Result } from "../../result.ts";
import { type ClientCredential, readClientCredential } from "./client-credential.ts";
import type { Form } from "./form.ts";
import type { OAuthError } from "./oauth-answer.ts";

/** What is asked of the token endpoint, by either of its grants. Nothing is looked up here. */

export const TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
export const CLIENT_CREDENTIALS = "client_credentials";

/** Latchkey's own, since none is registered for a key. */
export const API_KEY_TYPE = "urn:latchkey:token-type:api-key";
export const ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token";
export const JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt";
export const ID_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:id_token";

/** `credential`: a key or a token of ours. `identity`: a JWT of an issuer that a rule trusts. */
export interface PresentedToken {
  readonly kind: "credential" | "identity";
  readonly token: string;
}

export interface TokenRequest {
  readonly grant: "token_exchange" | "client_credentials";
  readonly subject: PresentedToken;
  readonly actor: PresentedToken | null;
  /** How the client authenticated itself; `null`: it did not. */
  readonly client: ClientCredential | null;
  readonly scope: string | null;
  readonly audiences: readonly string[];
  readonly resources: readonly string[];
}

export function readTokenRequest(request: Request, form: Form): Result<TokenRequest, OAuthError> {
  const client = readClientCredential(request, form);
  if (!client.ok) return client;
  const rest = {
    client: client.value,
    scope: form.get("scope"),
    audiences: form.all("audience"),
    resources: form.all("resource"),
  };
  const grant = form.get("grant_type");
  if (grant === CLIENT_CREDENTIALS) {
    if (client.value === null) {
      const description = "Send the key as the client's secret, by HTTP Basic or as client_secret.";
      return err({ error: "invalid_client", description, challenge: 'Basic realm="latchkey"' });
    }
    const subject = { kind: "credential", token: client.value.presentedKey } as const;
    return ok({ grant, subject, actor: null, ...rest });
  }
  if (grant !== TOKEN_EXCHANGE) {
    if (grant === null) return invalid("grant_type is missing.");
    return err({
      error: "unsupported_grant_type",
      description: `grant_type is ${TOKEN_EXCHANGE} or ${CLIENT_CREDENTIALS}.`,
    });
  }
  const exchange = readExchange(form);
  return exchange.ok ? ok({ grant: "token_exchange", ...exchange.value, ...rest }) : exchange;
}

/** RFC 8693 §2.1. */
function readExchange(form: Form): Result<Pick<TokenRequest, "subject" | "actor">, OAuthError> {
  const wanted = form.get("requested_token_type");
  if (wanted !== null && wanted !== ACCESS_TOKEN_TYPE && wanted !== JWT_TYPE)
    return invalid(`Only ${ACCESS_TOKEN_TYPE} is issued.`);
  const subject = readPresented(form, "subject_token");
  if (!subject.ok) return subject;
  if (subject.value === null) return invalid("subject_token is missing.");
  const actor = readPresented(form, "actor_token");
  if (!actor.ok) return actor;
  return ok({ subject: subject.value, actor: actor.value });
}

function readPresented(form: Form, name: "subject_token" | "actor_token"): Result<PresentedToken | null, OAuthError> {
  const token = form.get(name);
  const type = form.get(`${name}_type`);
  if (token === null) return type === null ? ok(null) : invalid(`${name}_type stands there without ${name}.`);
  if (type === null) return invalid(`${name}_type is missing.`);
  if (type === API_KEY_TYPE || type === ACCESS_TOKEN_TYPE) return ok({ kind: "credential", token });
  if (type === JWT_TYPE || type === ID_TOKEN_TYPE) return ok({ kind: "identity", token });
  return invalid(`${name}_type is ${API_KEY_TYPE}, ${ACCESS_TOKEN_TYPE}, ${JWT_TYPE} or ${ID_TOKEN_TYPE}.`);
}

function invalid(description: string): Result<never, OAuthError> {
  return err({ error: "invalid_request", description });
}
