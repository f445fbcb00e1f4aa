import { MIN_UPLOAD_BYTES_PER_SECOND, STREAM_EVENT_WAIT_MS } from "../constants.ts";
import { sleep, within } from "../platform/clock.ts";
import { logWarning } from "../platform/log.ts";
import { buildAnswer } from "./answer.ts";
import { type BodyEnd, countBody, type CountedBody, declaredLength } from "./body-limit.ts";
import { originHeaders } from "./identity-headers.ts";
import type { Admission } from "./outcome.ts";
import type { Survey } from "./survey.ts";
import { upstreamUrl, type UpstreamPlace } from "./upstream-url.ts";
import { isWebSocketUpgrade } from "./websocket.ts";

/**
 * Step 6 and 7: the request goes to the origin and the origin's answer to the client, both streamed. Never retried: only
 * the client knows whether its request may be repeated.
 */

export interface ForwardInput {
  readonly request: Request;
  readonly survey: Survey;
  /** `null`: a CORS preflight that needs no key. The origin is told of no identity. */
  readonly admission: Admission | null;
  /** What the origin is shown of who calls; `null`: nothing that is signed. */
  readonly assertion: string | null;
  readonly route: ForwardRoute;
  readonly requestId: string;
  readonly traceparent: string;
  readonly traceContinued: boolean;
  readonly clientIp: string | null;
  readonly env: Env;
  /** When the request came in, epoch ms; for `Server-Timing`. `null`: not wanted. */
  readonly timingSince: number | null;
}

/** The part of a `CompiledRoute` that matters here. */
export interface ForwardRoute {
  readonly upstream: UpstreamPlace & { readonly name: string };
  /** To the origin's response headers. */
  readonly timeoutMs: number;
  readonly maxBodyBytes: number;
  readonly keyInQuery: string | null;
}

export interface ForwardFailure {
  readonly code: "upstream_unreachable" | "upstream_timeout" | "body_too_large" | "request_invalid";
  /** For the client: nothing of the upstream's address. */
  readonly detail: string;
  /** The client went away first: the event's status is 499, and nobody reads the answer. */
  readonly clientGone: boolean;
}

/** What went by. Numbers are final at once, or once `ended` has settled. */
export interface Traffic {
  readonly bytesIn: () => number;
  readonly bytesOut: () => number;
  /**
   * Settles when every counted stream is over, or after `STREAM_EVENT_WAIT_MS`, whichever is first: an event that waited
   * for a stream of hours would be lost with its isolate. `null` when none is counted, as for all bodies of known length.
   * Never rejects.
   */
  readonly ended: Promise<void> | null;
}

export type Forwarded = {
  /** From sending to the origin's response headers, or to the failure; `null` when nothing was sent. */
  readonly upstreamMs: number | null;
  readonly traffic: Traffic;
} & ({ readonly ok: true; readonly response: Response } | { readonly ok: false; readonly failure: ForwardFailure });

const NOTHING: Traffic = { bytesIn: () => 0, bytesOut: () => 0, ended: null };

export async function forward(input: ForwardInput): Promise<Forwarded> {
  const { request, route } = input;
  // Read once each: the runtime makes them anew each time.
  const { method, url: requestUrl } = request;
  const url = upstreamUrl(route.upstream, requestUrl, route.keyInQuery);
  if (!url.ok) return refuseTarget(input, url.error);
  const upgrade = isWebSocketUpgrade(method, input.survey.fields.get("upgrade"));
  const body = readBody(request, input.survey, route.maxBodyBytes);
  if ("failure" in body) return { ok: false, failure: body.failure, upstreamMs: null, traffic: NOTHING };
  const exchange = startExchange(request, body, route);
  const headers = originHeaders(input, requestUrl, upgrade);
  const sentAt = Date.now();
  try {
    const upstream = await send(input, { url: url.value, method, headers, body, signal: exchange.signal });
    exchange.disarm();
    const headersAt = Date.now();
    if (upstream.status > 599) {
      await upstream.body?.cancel();
      return failed(input, "unreachable", headersAt - sentAt, body);
    }
    const ownMs = input.timingSince === null ? null : sentAt - input.timingSince;
    const answered = countAnswer(method, upstream);
    const details = { admission: input.admission, requestId: input.requestId, method, ownMs };
    const response = buildAnswer(upstream, answered.body, details);
    return { ok: true, response, upstreamMs: headersAt - sentAt, traffic: trafficOf(body, answered) };
  } catch (error) {
    exchange.disarm();
    // A client that goes away in the middle of its body breaks the exchange a moment before its signal is raised.
    if (exchange.why() === null) await sleep(0);
    const why = exchange.why() ?? "unreachable";
    if (why === "unreachable")
      logWarning("upstream unreachable", {
        requestId: input.requestId,
        upstream: route.upstream.name,
        error: String(error),
      });
    return failed(input, why, Date.now() - sentAt, body);
  }
}

interface RequestBody {
  /** Length when known. */
  readonly length: number | null;
  readonly stream: ReadableStream<Uint8Array> | null;
  /** With a body of unknown length. */
  readonly counted: CountedBody | null;
  /** `fetch` refuses a body with these; a `Request` made from the client's may keep it. */
  readonly onGet: boolean;
  /** Of the last chunk of a counted body. */
  readonly progress: { at: number };
}

type ReadBody = RequestBody | { readonly failure: ForwardFailure };

function readBody(request: Request, { fields }: Survey, maxBytes: number): ReadBody {
  const { body } = request;
  const length = declaredLength(fields.get("content-length"));
  const progress = { at: 0 };
  if (body === null) return { length: 0, stream: null, counted: null, onGet: false, progress };
  if (length !== null && length > maxBytes) return { failure: tooLarge(maxBytes) };
  const onGet = request.method === "GET" || request.method === "HEAD";
  if (length !== null) return { length, stream: body, counted: null, onGet, progress };
  if (onGet) {
    return {
      failure: { code: "request_invalid", detail: "A body on GET or HEAD needs Content-Length.", clientGone: false },
    };
  }
  const counted = countBody(body, { maxBytes, onChunk: () => (progress.at = Date.now()) });
  return { length: null, stream: counted.readable, counted, onGet, progress };
}

type Failing = "timeout" | "too_large" | "gone" | "unreachable";

interface Exchange {
  readonly signal: AbortSignal;
  /** The origin has begun to answer: it has all the time that it wants from now on. */
  readonly disarm: () => void;
  /** Why the exchange was cut by us; `null` when it was not. */
  readonly why: () => Failing | null;
}

/** One signal that ends the exchange with the origin, and the three things that may raise it. */
function startExchange(request: Request, body: RequestBody, route: ForwardRoute): Exchange {
  const controller = new AbortController();
  let why: Failing | null = null;
  const cut = (reason: Failing): void => {
    why ??= reason;
    controller.abort();
  };
  const { signal: client } = request;
  if (client.aborted) cut("gone");
  client.addEventListener("abort", () => cut("gone"));
  // An upload of known length is not seen going by, so it has its time in advance; one that is counted moves the deadline.
  const uploadMs = body.length === null ? 0 : (body.length / MIN_UPLOAD_BYTES_PER_SECOND) * 1_000;
  let timer = setTimeout(() => onDeadline(), route.timeoutMs + uploadMs);
  const onDeadline = (): void => {
    const leftMs = body.progress.at + route.timeoutMs - Date.now();
    if (leftMs <= 0) cut("timeout");
    else timer = setTimeout(() => onDeadline(), leftMs);
  };
  void body.counted?.ended.then((end: BodyEnd) => {
    if (end === "too_large") cut("too_large");
  });
  return { signal: controller.signal, disarm: () => clearTimeout(timer), why: () => why };
}

interface Outgoing {
  readonly url: string;
  readonly method: string;
  readonly headers: Headers;
  readonly body: RequestBody;
  readonly signal: AbortSignal;
}

/** The origin's answer, as soon as its headers are there. Throws or rejects where there is none. */
function send(input: ForwardInput, { url, method, headers, body, signal }: Outgoing): Promise<Response> {
  const { request, env } = input;
  const { target } = input.route.upstream;
  // `manual`: the origin's bytes are passed on as they are coded, never unpacked and packed again.
  const common = { headers, redirect: "manual", signal, encodeResponseBody: "manual" } as const;
  const to = body.onGet ? new Request(url, request) : url;
  const init = body.onGet ? common : { ...common, method, body: body.stream };
  if (target.kind === "service") return serviceOf(env, target.binding).fetch(to, init);
  // The zone's cache knows nothing of keys: it would answer one owner with what another was told.
  return fetch(to, { ...init, cache: "no-store" });
}

function serviceOf(env: Env, binding: string): Fetcher {
  // Env lists the bindings of the shipped wrangler.toml; a service is named by whoever deploys. `bindings.ts` checks that it is there.
  const found = (env as unknown as Readonly<Record<string, Fetcher | undefined>>)[binding];
  if (found === undefined) throw new Error(`no service binding ${binding}`);
  return found;
}

interface CountedAnswer {
  readonly body: ReadableStream<Uint8Array> | null;
  readonly length: number;
  readonly counted: CountedBody | null;
}

function countAnswer(method: string, upstream: Response): CountedAnswer {
  const { body } = upstream;
  if (body === null || method === "HEAD") return { body, length: 0, counted: null };
  const length = declaredLength(upstream.headers.get("content-length"));
  if (length !== null) return { body, length, counted: null };
  const counted = countBody(body, { maxBytes: Infinity });
  return { body: counted.readable, length: 0, counted };
}

function trafficOf(body: RequestBody, answer: CountedAnswer | null): Traffic {
  const up = body.counted;
  const down = answer?.counted ?? null;
  return {
    bytesIn: () => up?.tally.bytes ?? body.length ?? 0,
    bytesOut: () => down?.tally.bytes ?? answer?.length ?? 0,
    ended: up === null && down === null ? null : atMost(Promise.all([up?.ended, down?.ended]), STREAM_EVENT_WAIT_MS),
  };
}

/** Settles with `work`, or after `ms`. */
async function atMost(work: Promise<unknown>, ms: number): Promise<void> {
  try {
    await within(work, ms, "a stream");
  } catch {
    // It goes on; what went by until now is what the event says.
  }
}

function failed(input: ForwardInput, why: Failing, upstreamMs: number, body: RequestBody): Forwarded {
  // Nothing more goes by, but a stream that lost its reader may never say so: what was counted until now is what there is.
  const traffic: Traffic = { ...trafficOf(body, null), ended: null };
  return { ok: false, failure: failureOf(input, why), upstreamMs, traffic };
}

function failureOf(input: ForwardInput, why: Failing): ForwardFailure {
  switch (why) {
    case "timeout": {
      const detail = `The upstream did not begin to answer within ${input.route.timeoutMs / 1_000} s.`;
      return { code: "upstream_timeout", detail, clientGone: false };
    }
    case "too_large":
      return tooLarge(input.route.maxBodyBytes);
    case "gone":
      return { code: "upstream_unreachable", detail: "The client went away.", clientGone: true };
    case "unreachable":
      return {
        code: "upstream_unreachable",
        detail: "The upstream could not be reached, or did not answer in HTTP.",
        clientGone: false,
      };
  }
}

function tooLarge(maxBytes: number): ForwardFailure {
  return { code: "body_too_large", detail: `The body is larger than ${maxBytes} bytes.`, clientGone: false };
}

function refuseTarget(input: ForwardInput, reason: string): Forwarded {
  const unset = input.route.upstream.target.kind === "unset";
  if (unset)
    logWarning("upstream has no address", { requestId: input.requestId, upstream: input.route.upstream.name, reason });
  const failure: ForwardFailure = unset
    ? failureOf(input, "unreachable")
    : { code: "request_invalid", detail: `The request target cannot be forwarded: ${reason}.`, clientGone: false };
  return { ok: false, failure, upstreamMs: null, traffic: NOTHING };
}
