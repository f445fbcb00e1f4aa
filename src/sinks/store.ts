import { within } from "../platform/clock.ts";
import type { BucketSink } from "./config.ts";
import type { SinkEvent, SinkMessage } from "./message.ts";
import { writeLines } from "./wire.ts";

/** Events into a bucket, in hourly partitions. What a message becomes depends on the message alone: stored again, it replaces itself. */

const PUT_TIMEOUT_MS = 15_000;
/** `2026-11-23T12` of an RFC 3339 time. */
const HOUR_CHARACTERS = 13;

interface Bucket {
  put(name: string, body: ArrayBuffer, options: { httpMetadata: { contentType: string } }): Promise<unknown>;
}

/** Rejects when an object was not stored; those before it are, and are replaced by the next attempt. */
export async function storeEvents({ bucket: binding }: BucketSink, message: SinkMessage, env: object): Promise<void> {
  const bucket: unknown = Reflect.get(env, binding);
  if (!isBucket(bucket)) throw new Error(`wrangler.toml lacks the bucket ${binding}`);
  for (const [name, events] of nameObjects(message)) {
    const body = await compress(writeLines(events));
    // No Content-Encoding: what reads files by their ending would undo the compression twice.
    const put = bucket.put(name, body, { httpMetadata: { contentType: "application/gzip" } });
    await within(put, PUT_TIMEOUT_MS, "the bucket");
  }
}

/** One object for each workspace and hour of the message. */
export function nameObjects({ batchId, from, to, events }: SinkMessage): ReadonlyMap<string, readonly SinkEvent[]> {
  const objects = new Map<string, SinkEvent[]>();
  for (const event of events) {
    const [date, hour] = new Date(event.time).toISOString().slice(0, HOUR_CHARACTERS).split("T");
    const name = `events/workspace=${event.workspace}/date=${date}/hour=${hour}/${batchId}-${from}-${to}.ndjson.gz`;
    const known = objects.get(name);
    if (known === undefined) objects.set(name, [event]);
    else known.push(event);
  }
  return objects;
}

async function compress(text: string): Promise<ArrayBuffer> {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"));
  return await new Response(stream).arrayBuffer();
}

function isBucket(value: unknown): value is Bucket {
  return typeof value === "object" && value !== null && typeof Reflect.get(value, "put") === "function";
}
