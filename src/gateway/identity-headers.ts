import type { EdgeRecord } from "../keys/record.ts";
import { ASSERTION_HEADER } from "../tokens/assertion.ts";
import type { Admission } from "./outcome.ts";
import type { Survey } from "./survey.ts";

/** What the origin is told about the caller, and what it is not told. */

export interface OriginHeaderInput {
  readonly request: { readonly headers: Headers };
  readonly survey: Survey;
  /** `null`: nobody's request (a preflight); no identity is told. */
  readonly admission: Admission | null;
  /** Signed: see `tokens/assertion.ts`; `null` where the route asks for none. */
  readonly assertion: string | null;
  readonly requestId: string;
  /** Valid, ours: see `http/traceparent.ts`. */
  readonly traceparent: string;
  /** The client's trace goes on; when not, its `tracestate` is dropped (Trace Context §3.3.1.3). */
  readonly traceContinued: boolean;
  readonly clientIp: string | null;
}

/**
 * The fields for the origin. Copied and edited, not built anew: a copy keeps repeated fields apart, and a record of all
 * fields costs the runtime as much. Measured on workerd in instructions, where a bare proxy takes 550,000 a request: a copy
 * 12,000; a field that is set here 4,000, and 8,000 more to send it, most of what Latchkey adds to a request.
 * With `upgrade` the request asks for a WebSocket: `Upgrade` is for the origin too.
 */
export function originHeaders(input: OriginHeaderInput, requestUrl: string, upgrade: boolean): Headers {
  const headers = new Headers(input.request.headers);
  for (const name of input.survey.withheld) headers.delete(name);
  const cookies = input.survey.fields.get("cookie");
  if (cookies !== undefined) keepSessions(headers, cookies);
  if (input.admission !== null) setIdentity(headers, input.admission.record);
  if (input.assertion !== null) headers.set(ASSERTION_HEADER, input.assertion);
  headers.set("x-request-id", input.requestId);
  headers.set("traceparent", input.traceparent);
  if (!input.traceContinued && input.survey.fields.has("tracestate")) headers.delete("tracestate");
  // Replaced, never appended to: whoever stands behind must be able to trust all of it.
  if (input.clientIp !== null) headers.set("x-forwarded-for", input.clientIp);
  const { protocol, host } = addressOf(requestUrl);
  headers.set("x-forwarded-proto", protocol);
  headers.set("x-forwarded-host", host);
  if (upgrade) headers.set("upgrade", "websocket");
  return headers;
}

/** Sessions of the pages, whose cookies stand for the whole host, are not the origin's to see. */
function keepSessions(headers: Headers, cookies: string): void {
  // The whole field may have been taken out already.
  if (!cookies.includes("latchkey-") || !headers.has("cookie")) return;
  const others = cookies.replace(SESSION_COOKIES, "").replace(/^[;,\s]+/, "");
  if (others === "") headers.delete("cookie");
  else headers.set("cookie", others);
}

const SESSION_COOKIES = /(?:^|[;,])\s*(?:__Host-)?latchkey-(?:session|portal|theme)=[^;,]*/g;

/** The identity of a key's holder. All values are visible ASCII by their grammars. */
export function setIdentity(headers: Headers, record: EdgeRecord): void {
  headers.set("x-latchkey-key-id", record.id);
  headers.set("x-latchkey-owner", record.owner);
  headers.set("x-latchkey-environment", record.environment);
  headers.set("x-latchkey-scopes", record.scopes.join(" "));
  headers.set("x-latchkey-workspace", record.workspace);
}

/** Scheme and authority of an absolute URL as the runtime gives it, without the cost of parsing it. */
export function addressOf(url: string): { readonly protocol: string; readonly host: string } {
  const schemeEnd = url.indexOf("://");
  const hostStart = schemeEnd + 3;
  const hostEnd = url.indexOf("/", hostStart);
  return { protocol: url.slice(0, schemeEnd), host: url.slice(hostStart, hostEnd < 0 ? undefined : hostEnd) };
}
