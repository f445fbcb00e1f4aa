import { err, ok, type Result } from "../../result.ts";
import type { Form } from "./form.ts";
import type { OAuthError } from "./oauth-answer.ts";

/** A client that authenticates itself, by one of the ways of RFC 6749 §2.3.1. The secret is a key. */
export interface ClientCredential {
  /** `null`: none was named. */
  readonly clientId: string | null;
  readonly presentedKey: string;
  readonly via: "basic" | "post" | "bearer";
}

/** `null`: the client does not authenticate itself. More than one way is refused (RFC 6749 §2.3). */
export function readClientCredential(request: Request, form: Form): Result<ClientCredential | null, OAuthError> {
  const header = request.headers.get("Authorization");
  const secret = form.get("client_secret");
  if (header === null) {
    return ok(secret === null ? null : { clientId: form.get("client_id"), presentedKey: secret, via: "post" });
  }
  if (secret !== null) return err(TWICE);
  const [scheme = "", token = ""] = header.trim().split(/ +/, 2);
  if (scheme.toLowerCase() === "bearer" && token !== "") {
    return ok({ clientId: form.get("client_id"), presentedKey: token, via: "bearer" });
  }
  const basic = scheme.toLowerCase() === "basic" ? readBasic(token) : null;
  if (basic === null) return err(invalidClient("The Authorization field is not understood.", "basic"));
  const named = form.get("client_id");
  return named === null || named === basic.clientId ? ok(basic) : err(TWICE);
}

const TWICE: OAuthError = {
  error: "invalid_request",
  description: "The client authenticates itself in two ways. Send one of them.",
};

/** The key as user name with an empty password, as at the gateway, or as the secret of a named client. */
function readBasic(token: string): ClientCredential | null {
  try {
    const pair = atob(token);
    const colon = pair.indexOf(":");
    if (colon < 0) return null;
    const [name, secret] = [formDecoded(pair.slice(0, colon)), formDecoded(pair.slice(colon + 1))];
    if (secret === "") return name === "" ? null : { clientId: null, presentedKey: name, via: "basic" };
    return { clientId: name === "" ? null : name, presentedKey: secret, via: "basic" };
  } catch {
    return null;
  }
}

/** RFC 6749 §2.3.1 has both parts form-encoded before they are joined. */
function formDecoded(text: string): string {
  return decodeURIComponent(text.replaceAll("+", " "));
}

/** The challenge is for who used the header field (RFC 6749 §5.2). */
export function invalidClient(description: string, via: ClientCredential["via"] | null): OAuthError {
  const error = "invalid_client";
  if (via === null || via === "post") return { error, description };
  const challenge = via === "basic" ? 'Basic realm="latchkey"' : 'Bearer realm="latchkey", error="invalid_token"';
  return { error, description, challenge };
}
