import { connectionNamed } from "../http/headers.ts";
import { RATE_LIMIT, RATE_LIMIT_POLICY, rateLimitHeaders } from "../http/rate-limit-headers.ts";
import type { EdgeRecord } from "../keys/record.ts";
import { endOf } from "../keys/status.ts";
import type { Admission } from "./outcome.ts";

/** The origin's answer as the client gets it: its own, with what Latchkey adds. */

export interface AnswerDetails {
  /** `null`: nobody's request (a preflight). */
  readonly admission: Admission | null;
  readonly requestId: string;
  readonly method: string;
  /** For `Server-Timing`: what Latchkey itself took; `null` when the field is not wanted. */
  readonly ownMs: number | null;
}

/**
 * For this hop alone (RFC 9110 §7.6.1), beside those that `Connection` names. `Connection`, `Keep-Alive`, `TE`, `Trailer`,
 * `Transfer-Encoding` and `Upgrade` are the runtime's, which never sends them for us (test/blackbox/proxy-wire.test.ts):
 * to delete each of them here as well would cost 1,500 instructions.
 */
const HOP_BY_HOP = ["proxy-authenticate", "proxy-connection"] as const;

/** `body` is the origin's, or the same one counted; `null` stays `null`. A WebSocket goes along with `upstream`. */
export function buildAnswer(upstream: Response, body: ReadableStream | null, details: AnswerDetails): Response {
  // Status, status text, fields (repeated ones apart), socket and the origin's content coding come with it.
  const answer = new Response(body, upstream);
  const { headers } = answer;
  for (const name of connectionNamed(headers.get("connection"))) headers.delete(name);
  for (const name of HOP_BY_HOP) headers.delete(name);
  if (details.method === "GET" || details.method === "HEAD") keepPrivate(headers);
  addToAnswer(headers, details);
  return answer;
}

/** What the answer carries that Latchkey adds, whether it comes from the origin or from Latchkey (`authorize`, a failed upstream). */
export function addToAnswer(headers: Headers, details: Pick<AnswerDetails, "admission" | "requestId" | "ownMs">): void {
  const { admission } = details;
  headers.set("x-request-id", details.requestId);
  if (details.ownMs !== null) headers.append("server-timing", `latchkey;dur=${details.ownMs}`);
  if (admission === null) return;
  // An origin that limits too is the inner one: what it says cannot be told from what Latchkey says, so ours stand alone.
  const limits = rateLimitHeaders(admission.limits);
  if (limits !== null) {
    headers.set(RATE_LIMIT_POLICY, limits.policy);
    headers.set(RATE_LIMIT, limits.state);
  }
  addDeadline(headers, admission.record);
  if (admission.degraded) headers.set("x-latchkey-degraded", "?1");
}

/** While the key is being replaced: since when (RFC 9745), and until when it works (RFC 8594). */
function addDeadline(headers: Headers, record: EdgeRecord): void {
  if (record.notAfter === null) return;
  if (record.rotatedAt !== null) headers.set("deprecation", `@${Math.floor(record.rotatedAt / 1_000)}`);
  headers.set("sunset", new Date(endOf(record)).toUTCString());
}

/** What an origin may say that lets a shared cache keep an answer to a request with `Authorization` (RFC 9111 §3.5), or that settles it. */
const SETTLED = /\b(?:public|private|no-store|s-maxage|must-revalidate)\b/i;

/**
 * A shared cache keeps no answer to a request with `Authorization` unless the origin allows it. The origin does not see
 * that one, and a cache does not know what `X-API-Key` means: so the same rule is written out. See docs/decisions.
 */
function keepPrivate(headers: Headers): void {
  const cacheControl = headers.get("cache-control");
  if (cacheControl === null) headers.set("cache-control", "private");
  else if (!SETTLED.test(cacheControl)) headers.set("cache-control", `${cacheControl}, private`);
}
