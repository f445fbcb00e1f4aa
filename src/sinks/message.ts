import { err, ok, type Result } from "../result.ts";
import type { UsageBatch, UsageEvent } from "../usage/event.ts";
import { isBatchId, isUsageEvent } from "../usage/parse-batch.ts";
import type { SinkConfig } from "./config.ts";

/** What stands in a sink's queue. The same usage message is always cut alike, so that what is made of a message has a name of its own. Pure. */

/** A sink's event: no credential's tag, and no member that this version does not know. */
export type SinkEvent = Omit<UsageEvent, "credentialTag">;

export interface SinkMessage {
  /** No number: such a message in the usage queue is no usage batch, and is refused there. */
  readonly v: "sink-1";
  readonly sink: string;
  readonly batchId: string;
  /** Which events of the batch it was cut from, the end excluded; some of them may be other workspaces'. */
  readonly from: number;
  readonly to: number;
  readonly events: readonly SinkEvent[];
}

/** A queue message holds 128 KB; the rest of it takes some 200 B. */
const MAX_MESSAGE_EVENT_BYTES = 96 * 1_024;
const MAX_MESSAGE_EVENTS = 500;
const MAX_BATCH_EVENTS = 5_000;
/** The last moment that `Date` can write. */
const MAX_TIME_MS = 8_640_000_000_000_000;

export interface SizedMessage {
  readonly message: SinkMessage;
  readonly bytes: number;
}

/** Cut before it is filtered: who else is given events, or will be, changes no name. Empty where none of the events are the sink's. */
export function cutForSink(
  name: string,
  { workspaces }: Pick<SinkConfig, "workspaces">,
  batch: UsageBatch,
): readonly SizedMessage[] {
  const cut: SizedMessage[] = [];
  const sizes = batch.events.map((event) => byteLength(JSON.stringify(toSinkEvent(event))) + 1);
  for (let from = 0; from < batch.events.length;) {
    let [to, bytes] = [from, 0];
    while (to < batch.events.length && to - from < MAX_MESSAGE_EVENTS) {
      const size = sizes[to] ?? 0;
      if (to > from && bytes + size > MAX_MESSAGE_EVENT_BYTES) break;
      bytes += size;
      to++;
    }
    const events = batch.events
      .slice(from, to)
      .filter(({ workspace }) => workspaces === "*" || workspaces.includes(workspace))
      .map(toSinkEvent);
    if (events.length > 0) {
      const message: SinkMessage = { v: "sink-1", sink: name, batchId: batch.batchId, from, to, events };
      cut.push({ message, bytes: byteLength(JSON.stringify(message)) });
    }
    from = to;
  }
  return cut;
}

/** What came out of a sink's queue: an old or a newer version may have put it there. */
export function parseSinkMessage(body: unknown): Result<SinkMessage, string> {
  if (typeof body !== "object" || body === null) return err("is no object");
  const [v, sink, batchId, from, to, events] = ["v", "sink", "batchId", "from", "to", "events"].map((name): unknown =>
    Reflect.get(body, name),
  );
  if (v !== "sink-1") return err("is of another version");
  if (typeof sink !== "string" || !isBatchId(batchId)) return err("names no sink or batch");
  if (!isPlace(from) || !isPlace(to)) return err("has no place in its batch");
  if (!Array.isArray(events) || events.length === 0 || events.length > MAX_MESSAGE_EVENTS) return err("has no events");
  const known: SinkEvent[] = [];
  for (const event of events) {
    if (!isUsageEvent(event) || event.time > MAX_TIME_MS) return err("has an event that cannot be read");
    known.push(toSinkEvent(event));
  }
  return ok({ v, sink, batchId, from, to, events: known });
}

/** Member by member: what an event gains one day leaves when somebody decides so here. */
export function toSinkEvent(event: UsageEvent): SinkEvent {
  return {
    id: event.id,
    requestId: event.requestId,
    time: event.time,
    workspace: event.workspace,
    keyId: event.keyId,
    lineageId: event.lineageId,
    owner: event.owner,
    environment: event.environment,
    method: event.method,
    upstream: event.upstream,
    route: event.route,
    status: event.status,
    code: event.code,
    cost: event.cost,
    latencyMs: event.latencyMs,
    authMs: event.authMs,
    upstreamMs: event.upstreamMs,
    bytesIn: event.bytesIn,
    bytesOut: event.bytesOut,
    country: event.country,
    asn: event.asn,
    colo: event.colo,
    clientIp: event.clientIp,
    userAgentFamily: event.userAgentFamily,
    degraded: event.degraded,
    ...(event.tokenId === undefined ? {} : { tokenId: event.tokenId }),
    ...(event.mintedTokenId === undefined ? {} : { mintedTokenId: event.mintedTokenId }),
  };
}

function isPlace(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= MAX_BATCH_EVENTS;
}

function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}
