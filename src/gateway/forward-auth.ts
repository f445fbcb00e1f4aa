import { MAX_URI_BYTES } from "../constants.ts";
import { err, ok } from "../result.ts";
import type { Result } from "../result.ts";
import { addToAnswer } from "./answer.ts";
import { addressOf, setIdentity } from "./identity-headers.ts";
import { ASSERTION_HEADER } from "../tokens/assertion.ts";
import type { Admission } from "./outcome.ts";

/**
 * `/_latchkey/v1/authorize`: another proxy asks whether a request may pass. Which request that is stands in headers that
 * the proxy sets, and that only it may set: whoever can reach this endpoint can ask about any path, but only learns
 * whether the key in its own hand may call it.
 */

export interface OriginalRequest {
  /** Upper case. */
  readonly method: string;
  /**
   * Path and query as the client sent them, below the host that the client used where the proxy says so, else this
   * request's own. Routes do not depend on the scheme, so it is not asked for.
   */
  readonly url: string;
}

export interface OriginalRequestError {
  readonly code: "request_invalid" | "uri_too_long";
  readonly detail: string;
}

const AUTHORIZE_PATH = "/_latchkey/v1/authorize";
/** RFC 9110 §9.1: a token. */
const METHOD = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}$/;
const HOST = /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;
/** What is in no target that came in by HTTP: white space, a fragment. Other control characters are in no header field. */
const NOT_IN_TARGET = /[^\x21-\x7e]|#/;

/**
 * What the proxy asks about:
 * - nginx (`auth_request`): `X-Original-Method`, `X-Original-URI`, maybe `X-Original-Host`;
 * - Traefik (`forwardAuth`), Caddy (`forward_auth`): `X-Forwarded-Method`, `-Uri`, `-Host`;
 * - Envoy (`ext_authz` with `path_prefix`): the method of this request, the path after `/authorize`.
 *
 * nginx's come first; where both kinds say something else, someone has let a client's header through: refused.
 */
export function readOriginalRequest(request: Request): Result<OriginalRequest, OriginalRequestError> {
  const { headers } = request;
  const own = addressOf(request.url);
  const method = agreeing(headers, "x-original-method", "x-forwarded-method");
  const target = agreeing(headers, "x-original-uri", "x-forwarded-uri");
  const host = agreeing(headers, "x-original-host", "x-forwarded-host");
  if (method === CLASH || target === CLASH || host === CLASH) {
    return invalid(
      "X-Original-* and X-Forwarded-* name two different requests. Make the proxy set one kind and remove the other.",
    );
  }
  const appended = target === null ? appendedTarget(request.url) : null;
  const uri = target ?? appended;
  if (uri === null)
    return invalid(
      "The original request is not named. Set X-Original-URI and X-Original-Method, or X-Forwarded-Uri and X-Forwarded-Method.",
    );
  if (method === null && appended === null)
    return invalid("The original method is not named. Set X-Original-Method or X-Forwarded-Method.");
  return assemble(method ?? request.method, uri, host ?? own.host);
}

function assemble(method: string, uri: string, host: string): Result<OriginalRequest, OriginalRequestError> {
  if (uri.length > MAX_URI_BYTES)
    return err({ code: "uri_too_long", detail: `The original URI is longer than ${MAX_URI_BYTES} bytes.` });
  if (!METHOD.test(method)) return invalid("The original method is not an HTTP method.");
  if (!HOST.test(host)) return invalid("The original host is not a host name.");
  if (!uri.startsWith("/") || NOT_IN_TARGET.test(uri))
    return invalid("The original URI must be a path, with its query, as the client sent it.");
  return ok({ method: method.toUpperCase(), url: `https://${host}${uri}` });
}

const CLASH = Symbol("clash");

/** The value of whichever is there; a field that was sent twice arrives joined, and clashes with itself. */
function agreeing(headers: Headers, one: string, other: string): string | null | typeof CLASH {
  const first = headers.get(one);
  const second = headers.get(other);
  if (first === null || second === null || first === second) return first ?? second;
  return CLASH;
}

function appendedTarget(url: string): string | null {
  const { protocol, host } = addressOf(url);
  const target = url.slice(protocol.length + 3 + host.length);
  if (!target.startsWith(`${AUTHORIZE_PATH}/`)) return null;
  return target.slice(AUTHORIZE_PATH.length);
}

function invalid(detail: string): Result<never, OriginalRequestError> {
  return err({ code: "request_invalid", detail });
}

/**
 * The proxy may go on: 200 without a body. It copies the identity to the request that it forwards, and may copy the rest
 * to the client's answer.
 */
export function authorizedAnswer(admission: Admission, assertion: string | null, requestId: string): Response {
  const headers = new Headers({ "cache-control": "no-store" });
  setIdentity(headers, admission.record);
  if (assertion !== null) headers.set(ASSERTION_HEADER, assertion);
  addToAnswer(headers, { admission, requestId, ownMs: null });
  return new Response(null, { status: 200, headers });
}
