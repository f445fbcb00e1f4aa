import type { ProblemCode } from "./codes.ts";

/** What each code means, for the pages under `/_latchkey/problems/` and for `docs/errors.md`. Plain text, no markup. */
export interface ProblemText {
  readonly meaning: string;
  /** What whoever sent the request should do. */
  readonly caller: string;
  /** What whoever runs this deployment should look at. */
  readonly operator: string;
  /** `detail` of the example answer. */
  readonly example: string;
}

export const PROBLEM_TEXTS: Readonly<Record<ProblemCode, ProblemText>> = {
  credential_conflict: {
    meaning:
      "The request carries two credentials that differ, for example one in Authorization and another in X-API-Key. Which one counts is not guessed.",
    caller: "Send one key, once. Look for a default header that a client library or an agent adds.",
    operator: "If a proxy in front adds its own Authorization, have it send the key in one place only.",
    example: "The request carries two different credentials. Send one key, once.",
  },
  credential_in_query: {
    meaning:
      "An API key stands in the query string of a path that does not take keys there. URLs end up in logs, histories and Referer headers.",
    caller: "Send the key as Authorization: Bearer <key>. Treat the key as exposed: have it rotated.",
    operator: "Rotate the key. A route that must take keys in the query says so with keyInQuery.",
    example:
      "The query string contains an API key. Send it in the Authorization header, and replace this key: URLs are logged.",
  },
  request_invalid: {
    meaning:
      "The request cannot be understood, or could be understood in more than one way: a field with a wrong value, a malformed Authorization header, a path with encoded slashes or dot segments that leads to different routes.",
    caller:
      "Read detail, and errors where present: each names a field by its JSON pointer. Do not send the same request again.",
    operator:
      "Many of these from one client after a release usually mean a mistake in that client; many odd paths mean that someone is probing.",
    example: "The request has faults; see errors.",
  },
  key_missing: {
    meaning: "The request carries no API key.",
    caller:
      "Send the key as Authorization: Bearer <key>, or as X-API-Key: <key>. Check that the variable that should hold the key is set.",
    operator: "Nothing, unless a proxy in front drops the Authorization header.",
    example: "Send an API key as Authorization: Bearer.",
  },
  key_invalid: {
    meaning:
      "What was sent is not a key that is valid here: mistyped, cut off, of another deployment, or never issued. Which of these it is is not told.",
    caller:
      "Compare the first and last characters with the hint that you were given, and look for a space or line break at an end. Otherwise ask for a new key.",
    operator:
      "A rise of these from one address is someone trying keys; the failure shield slows it down. After an import, a key that was tried before works within 30 seconds.",
    example: "The API key is not valid.",
  },
  key_expired: {
    meaning: "The key has passed its expiry, or the end of the overlap after it was rotated.",
    caller:
      "Use the new key, or ask for one. Answers carry Deprecation and Sunset while a key is being replaced: watch for them.",
    operator:
      "Look up the key's expiresAt and notAfter. An expired key does not come back; issue a new one of the same owner, or rotate earlier.",
    example: "The API key has expired.",
  },
  key_revoked: {
    meaning: "The key was revoked. That is final.",
    caller: "Stop using it and ask for a new one.",
    operator: "The audit log says who revoked it, when, and why.",
    example: "The API key was revoked.",
  },
  key_disabled: {
    meaning: "The key is switched off for now: by itself, or with all keys of its owner.",
    caller: "Ask whoever issued it. The same key may work again later.",
    operator:
      "The audit log says who disabled it, or its owner (key.disable, owner.disable). A record with ownStatus is stopped by its owner. Enable what was disabled, or revoke the key if it is not to come back.",
    example: "The API key is disabled.",
  },
  key_not_yet_valid: {
    meaning: "The key has a start time that has not come yet.",
    caller: "Use it from its start on, or use your present key until then.",
    operator: "Look up the key's notBefore.",
    example: "The API key is not valid yet.",
  },
  token_invalid: {
    meaning:
      "What was sent looks like a token and is none that is valid here: a signature that is not Latchkey's, claims that do not fit, another audience, a proof of possession that is missing or wrong. Which of these it is is told only where it gives nothing away.",
    caller:
      "Exchange the key for a new token at /_latchkey/oauth/token, for the audience that is called. If the token is bound to a key or a certificate, present it with that.",
    operator:
      "After an emergency rotation of the signing keys every token that was signed before is refused so. Many of these from one address are someone trying tokens.",
    example: "The token is not valid here.",
  },
  token_expired: {
    meaning: "The token was good, and its time is over. Tokens live for minutes.",
    caller: "Exchange the key for another. Libraries do it ahead of expires_in.",
    operator: "Nothing, unless clients fail so all the time: then their clocks, or how they keep tokens, are wrong.",
    example: "The token has expired. Exchange the key for another.",
  },
  token_revoked: {
    meaning:
      "The token was revoked before its end: by itself, with a token that it was derived from, or with all tokens of its key.",
    caller: "Exchange the key for another, if the key still stands.",
    operator: "The audit log says who revoked it: token.revoke or key.revoke_tokens.",
    example: "The token was revoked. Exchange the key for another.",
  },
  dpop_proof_invalid: {
    meaning:
      "The token is bound to a key of its client (DPoP, RFC 9449), and the request does not prove that it holds that key: no proof, a proof for another request or by another key, one that was used before, or one that is too old.",
    caller:
      "Send the token as Authorization: DPoP <token>, with a header DPoP that holds a proof made for this method, this URL and this token. Let a library make it, a new one for each request. detail says what is wrong.",
    operator:
      "Proofs that were used before are retries by a proxy that repeats requests, or somebody who repeats what was overheard.",
    example: "htm must be the method of the request.",
  },
  dpop_nonce_required: {
    meaning:
      "Whether the DPoP proof was used before cannot be told, since what remembers it started anew. A proof with the nonce of this answer can be told.",
    caller: "Make the proof again with the nonce of the header DPoP-Nonce. Libraries do it by themselves.",
    operator: "Nothing: it happens for some minutes after a pause or a deployment.",
    example: "Make the proof again, with the nonce of this answer.",
  },
  token_required: {
    meaning: "The key's policy says exchangeOnly: the key opens nothing but the token endpoint.",
    caller: "Exchange the key at /_latchkey/oauth/token, and send the token as Authorization: Bearer.",
    operator: "Take exchangeOnly out of the key's policy if its clients cannot exchange it.",
    example:
      "This key opens nothing by itself. Exchange it at /_latchkey/oauth/token, and send the token that comes back.",
  },
  signature_required: {
    meaning:
      "Requests with this key must be signed (RFC 9421), and this one is not, or the call cannot see what was signed.",
    caller:
      "Sign each request: Accept-Signature says what the signature must cover, and with which key id. Sign the method, the target and, where there is a body, its Content-Digest, with created and a nonce.",
    operator:
      "The key's policy.signature asks for it. Such a key is of no use to verify, authorize, RPC and the token endpoint. If the caller never signed, the key may be in other hands.",
    example: "This key's requests must be signed (RFC 9421). Accept-Signature says what the signature must cover.",
  },
  signature_invalid: {
    meaning:
      "The request's signature is not good: it is by another key, over something else, too old, used before, or does not cover what it must.",
    caller:
      "The detail says what is wrong. Sign what is sent, as it is sent, once for each attempt: a signature is taken only once. Check your clock.",
    operator:
      "Now and then a slip of a client. Many of them on one key may be somebody who has the key and not what to sign with: rotate it.",
    example: "The signature is older than 60 s.",
  },
  scope_insufficient: {
    meaning: "The key is valid, but it may not do this.",
    caller:
      "The scope that is needed stands in WWW-Authenticate. Ask for a key that has it; trying again does not help.",
    operator: "Compare the key's scopes with those of the route in gateway.config.ts. Grant the least that does.",
    example: "This route needs the scope charges:write.",
  },
  ip_not_allowed: {
    meaning:
      "The key may only be used from certain addresses, and this request came from another one, or its address is unknown.",
    caller: "Send the request from an allowed network. A change of provider or of outgoing proxy is the usual cause.",
    operator:
      "Compare the key's bindings.ips with the address in the event. If nobody moved, the key may have leaked: rotate it.",
    example: "The API key may not be used from this address.",
  },
  origin_not_allowed: {
    meaning:
      "The key may only be used by pages of certain web origins. The request's Origin is another one, or it has none.",
    caller: "Call from a listed origin. Outside browsers, use a secret key.",
    operator:
      "Compare bindings.origins with the page's origin: scheme and port count, and *.example.com does not include example.com itself.",
    example: "The API key may not be used from this origin.",
  },
  country_not_allowed: {
    meaning:
      "The key may only be used from certain countries, and this request came from another one, or its country is unknown.",
    caller: "Call from an allowed country; a VPN or a distant outgoing proxy counts as where it is.",
    operator: "Compare the key's bindings.countries with the country in the event.",
    example: "The API key may not be used from this country.",
  },
  certificate_required: {
    meaning:
      "The key only works together with a client certificate, which is missing, was not verified, or is another one.",
    caller: "Present the client certificate that the key is bound to.",
    operator:
      "Check that client certificates are asked for on this host name, and that bindings.certificateSha256 holds the hash of the renewed certificate.",
    example: "The API key needs its client certificate.",
  },
  environment_mismatch: {
    meaning: "A test key was used where only live keys are taken, or the other way round.",
    caller: "Use the key of the right environment: lk_live_… or lk_test_….",
    operator: "See environments of the upstream and the route.",
    example: "This route does not take test keys.",
  },
  route_not_found: {
    meaning: "No route of this gateway has this method and path.",
    caller: "Check method, host and path against the API's documentation.",
    operator: "Paths that no route names are refused unless their upstream is open. See routes in gateway.config.ts.",
    example: "There is no such route.",
  },
  not_found: {
    meaning: "There is nothing of that name in this workspace. What belongs to another workspace looks the same.",
    caller: "Check the id and the workspace of the admin key.",
    operator: "An admin key sees its own workspace only.",
    example: "There is nothing of that name in this workspace.",
  },
  method_not_allowed: {
    meaning: "The path exists, but not with this method.",
    caller: "Use one of the methods in the Allow header.",
    operator: "Nothing.",
    example: "Use POST.",
  },
  conflict: {
    meaning:
      "The request does not fit the present state, for example a rotation of a revoked key or an import of a hash that exists already.",
    caller: "Read the record again and decide anew.",
    operator: "The audit log shows what changed last.",
    example: "The key is revoked.",
  },
  idempotency_conflict: {
    meaning: "This Idempotency-Key was used within the last 24 hours with another request.",
    caller: "Use a new Idempotency-Key for each new intention, and the same one only to repeat the same request.",
    operator: "A client that derives the key from too little (a date, a customer) makes this mistake.",
    example: "The Idempotency-Key was used with another request.",
  },
  precondition_failed: {
    meaning: "Someone else changed the record since it was read: If-Match names an older version.",
    caller: "Read the record again, apply the change to it, and send it with the new ETag.",
    operator: "Nothing, unless two programs keep changing the same record.",
    example: "The record has changed since it was read.",
  },
  body_too_large: {
    meaning: "The body is larger than this route takes.",
    caller: "Send less at once.",
    operator: "See maxBodyBytes of the route and the upstream.",
    example: "The body is larger than 104857600 bytes.",
  },
  uri_too_long: {
    meaning: "The URL is longer than is taken.",
    caller: "Move parameters from the query into the body.",
    operator: "The bound is 16 KB, as on the platform.",
    example: "The URL is longer than 16384 bytes.",
  },
  unsupported_media_type: {
    meaning: "The body is in a form that this call does not read.",
    caller: "Send JSON with Content-Type: application/json.",
    operator: "Nothing.",
    example: "Send application/json.",
  },
  rate_limited: {
    meaning: "The key, its owner or the route has used what a rate limit allows in the present window.",
    caller:
      "Wait for Retry-After seconds, then go on more slowly. The limits that refused are in violatedPolicies; RateLimit says what is left.",
    operator:
      "See the key's limits and plan. Sustained refusals of one key ask for a talk with its owner, or for a look at what it does.",
    example: "The limit burst is reached.",
  },
  quota_exhausted: {
    meaning: "The key, its owner or the route has used up a quota. It is filled again when its window starts anew.",
    caller: "Retry-After says when. Ask for a larger quota if this one does not last.",
    operator: "Usage by key and day shows where it went. A limit changed on the key or the plan counts at once.",
    example: "The quota daily is used up.",
  },
  too_many_failures: {
    meaning: "Too many requests with bad credentials came from this address in a short time. No key is locked by it.",
    caller: "Wait for Retry-After seconds, and correct the credential: repeating it does not help.",
    operator: "One address behind which many clients sit may meet this when one of them is misconfigured.",
    example: "Too many failed attempts from this address.",
  },
  headers_too_large: {
    meaning: "The header fields are larger than is taken.",
    caller: "Send fewer or smaller fields; large cookies are the usual cause.",
    operator: "The bound is 64 KB.",
    example: "The header fields are larger than 65536 bytes.",
  },
  internal_error: {
    meaning: "Latchkey failed in a way that it should not have.",
    caller: "Try again later. If it lasts, report requestId.",
    operator: "Look for requestId in the logs: the error stands there.",
    example: "Something went wrong on our side.",
  },
  upstream_unreachable: {
    meaning: "The key was fine, but the API behind this gateway could not be reached.",
    caller: "Try again later, with growing pauses. A request that changes something may or may not have arrived.",
    operator: "Check the upstream's address and certificate, and that the variable that names it is set.",
    example: "The upstream cannot be reached.",
  },
  verification_unavailable: {
    meaning:
      "Whether the key is valid, or its limits allow the request, cannot be found out right now, and the policy says not to guess.",
    caller: "Try again after Retry-After seconds.",
    operator:
      "See /_latchkey/readyz. Routes and keys may choose to go on for a while with what is known: onMeterUnavailable.",
    example: "The key cannot be checked right now.",
  },
  storage_unavailable: {
    meaning:
      "The store that this call of the control API needs does not answer. Nothing was changed, or the change is not known to have been made.",
    caller: "Try again after Retry-After seconds, with the same Idempotency-Key.",
    operator: "See /_latchkey/readyz.",
    example: "The registry cannot be reached right now.",
  },
  upstream_timeout: {
    meaning: "The key was fine, but the API behind this gateway did not answer in time.",
    caller: "Try again later. A request that changes something may have been carried out.",
    operator: "See timeoutSeconds of the route and the upstream, and the upstream's own latency.",
    example: "The upstream did not answer within 30 s.",
  },
};
