import { checkTarget } from "../alerts/target.ts";
import { DEFAULT_INDEX, DEFAULT_SOURCE, type HttpSink } from "./config.ts";
import type { SinkEvent } from "./message.ts";
import { readBulkAnswer, writeBody } from "./wire.ts";

/** The one place where events leave to an HTTP receiver. Redirects are not followed, answers are read within a bound, and nothing of their text is kept. */

/** What became of the events of one request. */
export interface Posted {
  /** Nothing was taken, for now: the receiver is down, slow, or does not let us in. `null`: it answered for each event. */
  readonly unwell: { readonly error: string; readonly retryAfterSeconds: number | null } | null;
  /** Ids of events that it asks for again. */
  readonly retry: ReadonlySet<string>;
  /** Id → why, of events that it will never take. */
  readonly refused: ReadonlyMap<string, string>;
}

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** Receivers of logs answer well within it, under load too. */
const SINK_TIMEOUT_MS = 15_000;
/** 1,000 events' items of a bulk answer, filtered, are 80 KB. */
const MAX_ANSWER_BYTES = 1_048_576;
/** Where Elasticsearch (9200, Elastic Cloud 9243) and Splunk's collector (8088) listen; never 22, 25, 6379 and the like. */
const SINK_PORTS: ReadonlySet<string> = new Set(["", "443", "8443", "9200", "9243", "8088"]);
const SCHEMES: Readonly<Record<HttpSink["type"], string>> = {
  elasticsearch: "ApiKey",
  "splunk-hec": "Splunk",
  ndjson: "Bearer",
  "cloudevents-batch": "Bearer",
};
/** Only what is read of a bulk answer, which repeats each document's errors in full otherwise. */
const BULK_FILTER = "items.*._id,items.*.status,items.*.error.type";
/** Splunk's codes that speak of the events; its other 400s (index, channel) are the configuration's, and heal. */
const HEC_EVENT_FAULTS: ReadonlySet<unknown> = new Set([5, 6, 12, 13, 15]);

export async function postEvents(
  sink: HttpSink,
  events: readonly SinkEvent[],
  env: object,
  send: Fetch = (url, init) => fetch(url, init),
): Promise<Posted> {
  const isLocal = Reflect.get(env, "LATCHKEY_SINKS_TO_LOOPBACK") === "true";
  const target = checkTarget(readText(env, sink.urlFromEnv) ?? "", isLocal, SINK_PORTS);
  if (!target.ok) return unwell(`the sink's URL ${target.error}`);
  const token = sink.tokenFromEnv === undefined ? null : readText(env, sink.tokenFromEnv);
  if (sink.tokenFromEnv !== undefined && token === null) return unwell(`the variable ${sink.tokenFromEnv} is empty`);
  const url = target.value;
  if (sink.type === "elasticsearch") url.searchParams.set("filter_path", BULK_FILTER);
  const { index = DEFAULT_INDEX, source = DEFAULT_SOURCE } = sink;
  const { contentType, body } = writeBody(sink.type, events, { index, source });
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), SINK_TIMEOUT_MS);
  try {
    const response = await send(url.href, {
      method: "POST",
      headers: {
        "content-type": contentType,
        "user-agent": "latchkey",
        ...(token === null ? {} : { authorization: `${SCHEMES[sink.type]} ${token}` }),
      },
      body,
      redirect: "manual",
      signal: deadline.signal,
    });
    return await judge(sink, events, response);
  } catch {
    return unwell(deadline.signal.aborted ? `did not answer within ${SINK_TIMEOUT_MS / 1_000} s` : "cannot be reached");
  } finally {
    clearTimeout(timer);
  }
}

async function judge(sink: HttpSink, events: readonly SinkEvent[], response: Response): Promise<Posted> {
  if (response.ok && sink.type === "elasticsearch") return judgeBulk(await readJson(response), events);
  const { status, headers } = response;
  const isRefused = await refusesEvents(sink, response);
  await response.body?.cancel();
  if (response.ok) return NOTHING_LEFT;
  if (isRefused) return { ...NOTHING_LEFT, refused: new Map(events.map(({ id }) => [id, `answered ${status}`])) };
  const isRedirect = status >= 300 && status < 400;
  return unwell(
    isRedirect ? "answered with a redirect, which is not followed" : `answered ${status}`,
    readRetryAfter(headers.get("retry-after")),
  );
}

/** Whether the events are at fault, and not the receiver, the credential or the configuration, which heal. */
async function refusesEvents(sink: HttpSink, response: Response): Promise<boolean> {
  const { status } = response;
  if (status !== 400 || sink.type !== "splunk-hec") return status === 400 || status === 413 || status === 422;
  const answer = await readJson(response);
  return answer !== null && HEC_EVENT_FAULTS.has(Reflect.get(answer, "code"));
}

function judgeBulk(answer: object | null, events: readonly SinkEvent[]): Posted {
  const read = readBulkAnswer(answer, events);
  if (!read.ok) return unwell(read.error);
  return {
    unwell: null,
    retry: new Set(read.value.retry.map(({ id }) => id)),
    refused: new Map(read.value.refused.map(({ event, status, reason }) => [event.id, `${status} ${reason}`])),
  };
}

const NOTHING_LEFT: Posted = { unwell: null, retry: new Set(), refused: new Map() };

function unwell(error: string, retryAfterSeconds: number | null = null): Posted {
  return { ...NOTHING_LEFT, unwell: { error, retryAfterSeconds } };
}

/** `null`: it is too long, or no JSON object. Rejects when the connection breaks or time is up. */
async function readJson(response: Response): Promise<object | null> {
  const reader = response.body?.getReader();
  if (reader === undefined) return null;
  const decoder = new TextDecoder();
  let [text, bytes] = ["", 0];
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      bytes += read.value.byteLength;
      if (bytes > MAX_ANSWER_BYTES) return null;
      text += decoder.decode(read.value, { stream: true });
    }
  } finally {
    await reader.cancel();
    reader.releaseLock();
  }
  try {
    const value: unknown = JSON.parse(text + decoder.decode());
    return typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}

function readText(env: object, name: string): string | null {
  const value: unknown = Reflect.get(env, name);
  return typeof value === "string" && value !== "" ? value : null;
}

/** Seconds; dates are rare, and the schedule does without them. */
function readRetryAfter(header: string | null): number | null {
  return header !== null && /^\d{1,6}$/.test(header) ? Number(header) : null;
}
