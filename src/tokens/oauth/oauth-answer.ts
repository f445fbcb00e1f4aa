/** Answers of the OAuth endpoints: JSON by their RFCs' own names, never cached (RFC 6749 §5.1, §5.2). */

/**
 * RFC 6749 §5.2, RFC 8693 §2.2.2, RFC 9449 §5 and §8; `slow_down` is RFC 8628's, registered for the token endpoint;
 * `temporarily_unavailable` is RFC 6749's for the other endpoint, and what clients know for 503.
 */
export type OAuthErrorCode =
  | "invalid_request"
  | "invalid_client"
  | "unauthorized_client"
  | "unsupported_grant_type"
  /** RFC 7009 §2.2.1. */
  | "unsupported_token_type"
  | "invalid_scope"
  | "invalid_target"
  | "insufficient_scope"
  | "invalid_dpop_proof"
  | "use_dpop_nonce"
  | "slow_down"
  | "temporarily_unavailable";

export interface OAuthError {
  readonly error: OAuthErrorCode;
  /** For whoever sets the client up: printable ASCII without quotes and backslashes; never what was presented. */
  readonly description: string;
  readonly retryAfterSeconds?: number;
  /** The client used the `Authorization` field: the answer names its scheme (RFC 6749 §5.2). */
  readonly challenge?: string;
  /** With `use_dpop_nonce`. */
  readonly dpopNonce?: string;
}

const STATUS: Readonly<Partial<Record<OAuthErrorCode, number>>> = {
  invalid_client: 401,
  insufficient_scope: 403,
  slow_down: 429,
  temporarily_unavailable: 503,
};
const DEFAULT_RETRY_AFTER_SECONDS = 2;

export function toErrorAnswer(error: OAuthError, requestId: string): Response {
  const status = STATUS[error.error] ?? 400;
  const headers = answerHeaders(requestId);
  if (status === 429 || status === 503)
    headers.set("Retry-After", String(Math.max(1, Math.ceil(error.retryAfterSeconds ?? DEFAULT_RETRY_AFTER_SECONDS))));
  if (error.challenge !== undefined) headers.set("WWW-Authenticate", error.challenge);
  if (error.dpopNonce !== undefined) headers.set("DPoP-Nonce", error.dpopNonce);
  const body = { error: error.error, error_description: plain(error.description) };
  return new Response(JSON.stringify(body), { status, headers });
}

export function toAnswer(body: Readonly<Record<string, unknown>>, requestId: string): Response {
  return new Response(JSON.stringify(body), { headers: answerHeaders(requestId) });
}

function answerHeaders(requestId: string): Headers {
  return new Headers({
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    Pragma: "no-cache",
    "X-Content-Type-Options": "nosniff",
    "X-Request-Id": requestId,
  });
}

/** RFC 6749 §5.2: %x20-21 / %x23-5B / %x5D-7E. */
function plain(text: string): string {
  return text.replaceAll('"', "'").replace(/[^\x20-\x5b\x5d-\x7e]/g, "");
}
