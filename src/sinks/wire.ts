import { err, ok, type Result } from "../result.ts";
import { toCloudEvent } from "../usage/cloud-event.ts";
import type { UsageEvent } from "../usage/event.ts";

/** What receivers of raw events are sent, and what an Elasticsearch answer says of each event. Pure. */

export type HttpForm = "elasticsearch" | "splunk-hec" | "ndjson" | "cloudevents-batch";

export interface WireOptions {
  /** The URI-reference that names the deployment. */
  readonly source: string;
  /** Elasticsearch alone: the index or data stream. */
  readonly index: string;
}

export interface WireBody {
  readonly contentType: string;
  readonly body: string;
}

export function writeBody(form: HttpForm, events: readonly UsageEvent[], options: WireOptions): WireBody {
  switch (form) {
    case "elasticsearch":
      return {
        contentType: "application/x-ndjson",
        body: events.map((event) => bulkLines(event, options.index)).join(""),
      };
    case "splunk-hec":
      return {
        contentType: "application/json",
        body: events.map((event) => hecEvent(event, options.source)).join("\n"),
      };
    case "ndjson":
      return { contentType: "application/x-ndjson", body: writeLines(events) };
    case "cloudevents-batch":
      return {
        contentType: "application/cloudevents-batch+json",
        body: JSON.stringify(events.map((event) => toCloudEvent(event, options.source))),
      };
  }
}

/** A line for each event, each with its end. */
export function writeLines(events: readonly UsageEvent[]): string {
  return events.map((event) => `${JSON.stringify({ ...event, time: rfc3339(event.time) })}\n`).join("");
}

/** `create`, for it is all that a data stream takes, and a repeat is answered 409 in place of being written again. */
function bulkLines(event: UsageEvent, index: string): string {
  const action = { create: { _index: index, _id: event.id } };
  const { time, ...rest } = event;
  return `${JSON.stringify(action)}\n${JSON.stringify({ "@timestamp": rfc3339(time), ...rest })}\n`;
}

/** HEC takes epoch seconds with a fraction, and events one after another. It does not remove repeats: `event.id` tells them. */
function hecEvent(event: UsageEvent, source: string): string {
  const body = { ...event, time: rfc3339(event.time) };
  return JSON.stringify({ time: event.time / 1_000, source, sourcetype: "latchkey:request", event: body });
}

function rfc3339(ms: number): string {
  return new Date(ms).toISOString();
}

/** Where each event of one bulk request went. Every event is in one of the three. */
export interface BulkOutcome {
  /** Written now, or before (409). */
  readonly delivered: readonly UsageEvent[];
  /** Refused for now: too much, too slow, no index, no right to write, a block. */
  readonly retry: readonly UsageEvent[];
  /** Refused for good; `reason` is the error's type alone, for its text can repeat the document. */
  readonly refused: readonly { readonly event: UsageEvent; readonly status: number; readonly reason: string }[];
}

/** Of the index, the credential or the cluster (a full disk blocks with 403 or 429), and not of the document. */
const HEALING: ReadonlySet<number> = new Set([401, 403, 404, 408, 429]);

/** @param answer the parsed JSON of a 200. Items stand in the order of the actions, and each names its `_id`: both are checked. */
export function readBulkAnswer(answer: unknown, events: readonly UsageEvent[]): Result<BulkOutcome, string> {
  const items = field(answer, "items");
  if (!Array.isArray(items)) return err("the answer has no list of items");
  if (items.length !== events.length) return err("the answer has another number of items than the request");
  const delivered: UsageEvent[] = [];
  const retry: UsageEvent[] = [];
  const refused: { event: UsageEvent; status: number; reason: string }[] = [];
  for (const [index, event] of events.entries()) {
    const item = field(items[index], "create");
    const status = field(item, "status");
    if (typeof status !== "number" || field(item, "_id") !== event.id)
      return err("an item of the answer is of another event");
    if ((status >= 200 && status < 300) || status === 409) delivered.push(event);
    else if (HEALING.has(status) || status >= 500) retry.push(event);
    else refused.push({ event, status, reason: errorType(item) });
  }
  return ok({ delivered, retry, refused });
}

function errorType(item: unknown): string {
  const type = field(field(item, "error"), "type");
  return typeof type === "string" && /^[a-z_]{1,64}$/.test(type) ? type : "unknown";
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}
