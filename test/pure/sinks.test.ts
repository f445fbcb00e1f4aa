import { gunzipSync } from "node:zlib";
import { afterEach, describe, expect, test, vi } from "vitest";
import { checkConfig } from "../../src/gateway/config-check.ts";
import { consumeSinks } from "../../src/sinks/consumer.ts";
import type { BucketSink, DatasetSink, HttpSink, SinkConfig } from "../../src/sinks/config.ts";
import { forwardTo } from "../../src/sinks/forward.ts";
import { cutForSink, parseSinkMessage, type SinkMessage } from "../../src/sinks/message.ts";
import { type DataPoint, toDataPoint } from "../../src/sinks/points.ts";
import { type Fetch, postEvents } from "../../src/sinks/post.ts";
import { nameObjects, storeEvents } from "../../src/sinks/store.ts";
import { usageBatch, usageEvent } from "../support/usage-makers.ts";

const NOW = Date.parse("2026-11-23T12:59:59.000Z");
const QUEUES = { queue: "SINK", deadQueue: "SINK_DEAD" };
const LINES: HttpSink = {
  type: "ndjson",
  workspaces: "*",
  ...QUEUES,
  urlFromEnv: "SINK_URL",
  tokenFromEnv: "SINK_TOKEN",
};
const ARCHIVE: BucketSink = { type: "r2", workspaces: "*", ...QUEUES, bucket: "EVENTS" };
const POINTS: DatasetSink = { type: "analytics-engine", workspaces: "*", ...QUEUES, dataset: "POINTS" };
const ENV = { SINK_URL: "https://logs.example.com:8088/in", SINK_TOKEN: "token-of-the-test" };

const eventAt = (time: number, workspace = "default") => usageEvent({ time, workspace });
const batchOf = (count: number) =>
  usageBatch(
    Array.from({ length: count }, (_, index) => eventAt(NOW + index, index % 2 === 0 ? "default" : "other")),
    NOW,
  );

function messageOf(...events: readonly ReturnType<typeof eventAt>[]): SinkMessage {
  const [cut] = cutForSink("logs", LINES, usageBatch(events, NOW));
  if (cut === undefined) throw new Error("no message");
  return cut.message;
}

/** A queue that keeps what it is sent, unless it is down. */
function newQueue() {
  const sent: SinkMessage[][] = [];
  return {
    sent,
    isDown: false,
    async sendBatch(messages: readonly { readonly body: SinkMessage }[]): Promise<void> {
      if (this.isDown) throw new Error("queue is down");
      sent.push(messages.map(({ body }) => body));
    },
  };
}

/** What became of each message of a delivery: `ack`, or the seconds until it comes again. */
async function deliver(
  sink: SinkConfig,
  bodies: readonly unknown[],
  { env = ENV, send, queue = "latchkey-sink-logs" }: { env?: object; send?: Fetch; queue?: string } = {},
): Promise<(string | number)[]> {
  const fates: (string | number)[] = [];
  const messages = bodies.map((body, index) => ({
    id: `m${index}`,
    timestamp: new Date(NOW),
    attempts: 1,
    body,
    ack: () => void (fates[index] = "ack"),
    retry: ({ delaySeconds = 0 } = {}) => void (fates[index] = delaySeconds),
  }));
  const batch = { queue, messages } as unknown as MessageBatch; // what the consumer reads of one
  await consumeSinks(batch, { logs: sink }, env, send);
  return fates;
}

afterEach(() => void vi.restoreAllMocks());

function quiet() {
  vi.spyOn(console, "warn").mockImplementation(() => undefined);
  return vi.spyOn(console, "error").mockImplementation(() => undefined);
}

describe("a batch for a sink", () => {
  test("is cut alike each time, whoever else is given its events, and holds each event once within a queue's bounds", () => {
    const batch = batchOf(1_200);
    const all = cutForSink("logs", LINES, batch);
    expect(cutForSink("logs", LINES, batch)).toEqual(all);
    expect(all.flatMap(({ message }) => message.events.map(({ id }) => id))).toEqual(batch.events.map(({ id }) => id));
    for (const { message, bytes } of all) {
      expect(bytes).toBe(Buffer.byteLength(JSON.stringify(message)));
      expect(bytes).toBeLessThan(128_000);
    }
    const some = cutForSink("logs", { ...LINES, workspaces: ["other"] }, batch);
    expect(some.map(({ message: { from, to } }) => [from, to])).toEqual(
      all.map(({ message: { from, to } }) => [from, to]),
    );
    expect(new Set(some.flatMap(({ message }) => message.events.map(({ workspace }) => workspace)))).toEqual(
      new Set(["other"]),
    );
    expect(cutForSink("logs", { ...LINES, workspaces: ["nobody"] }, batch)).toEqual([]);
  });

  test("has no credential's tag, no kept request and no member that nobody decided on", () => {
    const event = { ...eventAt(NOW), credentialTag: 7, headers: "secret" };
    const [cut] = cutForSink("logs", LINES, usageBatch([event], NOW));
    expect(JSON.stringify(cut)).not.toMatch(/credentialTag|secret|requests/);
    const read = parseSinkMessage({ ...cut?.message, events: [event] });
    expect(read.ok && JSON.stringify(read.value)).not.toMatch(/credentialTag|secret/);
  });

  test("that a sink's queue does not take is named, and other sinks' are sent", async () => {
    const log = quiet();
    const [up, down] = [newQueue(), newQueue()];
    down.isDown = true;
    const sinks = {
      up: { ...LINES, queue: "UP" },
      down: { ...LINES, queue: "DOWN" },
      lost: { ...LINES, queue: "LOST" },
    };
    const batch = batchOf(3);
    expect(await forwardTo(sinks, { UP: up, DOWN: down })?.([batch])).toEqual(new Set([batch.batchId]));
    expect(up.sent.flat()).toMatchObject([{ sink: "up", batchId: batch.batchId, events: [{}, {}, {}] }]);
    expect(log).toHaveBeenCalledTimes(2);
    const large = Array.from({ length: 12 }, () => batchOf(400));
    expect(await forwardTo({ up: sinks.up }, { UP: up })?.(large)).toEqual(new Set());
    for (const call of up.sent) expect(Buffer.byteLength(JSON.stringify(call))).toBeLessThan(256_000);
    expect(up.sent.flat().flatMap(({ events }) => events)).toHaveLength(12 * 400 + 3);
    expect(forwardTo(undefined, {})).toBeNull();
  });
});

describe("a receiver", () => {
  const events = messageOf(eventAt(NOW), eventAt(NOW)).events;
  const answer =
    (status: number, body = "{}", headers = {}): Fetch =>
    async () =>
      new Response(body, { status, headers });

  test.each([
    [200, "taken"],
    [204, "taken"],
    [302, "unwell"],
    [400, "refused"],
    [401, "unwell"],
    [404, "unwell"],
    [413, "refused"],
    [429, "unwell"],
    [500, "unwell"],
  ])("that answers %i: its events are %s", async (status, fate) => {
    const send: Fetch = async () => new Response(null, { status });
    const posted = await postEvents(LINES, events, ENV, send);
    expect(posted.unwell === null ? (posted.refused.size > 0 ? "refused" : "taken") : "unwell").toBe(fate);
  });

  test("is not followed elsewhere, and is told its credential by the scheme of its kind", async () => {
    const send = vi.fn<Fetch>(answer(200));
    await postEvents(LINES, events, ENV, send);
    await postEvents({ ...LINES, type: "splunk-hec" }, events, ENV, send);
    const told = send.mock.calls.map(([, { headers, redirect }]) => [
      new Headers(headers).get("authorization"),
      redirect,
    ]);
    expect(told).toEqual([
      ["Bearer token-of-the-test", "manual"],
      ["Splunk token-of-the-test", "manual"],
    ]);
  });

  test("that hangs is given up after its time", async () => {
    vi.useFakeTimers();
    const send: Fetch = (_url, { signal }) =>
      new Promise((_resolve, reject) => {
        signal?.addEventListener("abort", () => reject(new Error("aborted")));
      });
    const posting = postEvents(LINES, events, ENV, send);
    await vi.advanceTimersByTimeAsync(15_000);
    expect((await posting).unwell?.error).toBe("did not answer within 15 s");
    vi.useRealTimers();
  });

  test.each([
    "http://logs.example.com/",
    "https://10.0.0.1/",
    "https://logs.example.com:6379/",
    "http://127.0.0.1/",
    "",
  ])("at %j is not called", async (url) => {
    const send = vi.fn<Fetch>();
    const posted = await postEvents(LINES, events, { ...ENV, SINK_URL: url }, send);
    expect(posted.unwell?.error).toMatch(/^the sink's URL /);
    expect(send).not.toHaveBeenCalled();
  });

  test("Splunk: a fault of the events refuses them, one of index or channel does not", async () => {
    const splunk: HttpSink = { ...LINES, type: "splunk-hec" };
    expect((await postEvents(splunk, events, ENV, answer(400, '{"code":6}'))).refused.size).toBe(2);
    for (const body of ['{"code":7}', '{"code":10}', "no JSON", `"${"x".repeat(2_000_000)}"`]) {
      expect((await postEvents(splunk, events, ENV, answer(400, body))).unwell?.error).toBe("answered 400");
    }
  });

  test("Elasticsearch: an answer that is not of these events, or too long, takes nothing", async () => {
    const search: HttpSink = { ...LINES, type: "elasticsearch" };
    for (const body of ["{}", "no JSON", '{"items":[]}', `{"items":"${"x".repeat(2_000_000)}"}`]) {
      expect((await postEvents(search, events, ENV, answer(200, body))).unwell).not.toBeNull();
    }
  });
});

describe("a sink's messages", () => {
  const [first, second] = [messageOf(eventAt(NOW)), messageOf(eventAt(NOW))];

  test("come again when the receiver is unwell, as late as it asks within an hour, and no request follows", async () => {
    quiet();
    for (const [asked, delay] of [
      ["120", 120],
      ["999999", 3_600],
      ["1", 2],
    ] as const) {
      const send = vi.fn<Fetch>(async () => new Response(null, { status: 429, headers: { "retry-after": asked } }));
      expect(await deliver(LINES, [first, second], { send })).toEqual([delay, delay]);
      expect(send).toHaveBeenCalledTimes(1);
    }
  });

  test("go alone when they are refused together: the bad one is put aside, logged without its content, and the other is taken", async () => {
    const log = quiet();
    const dead = newQueue();
    const send: Fetch = async (url, init) => {
      const body = await new Request(url, init).text();
      return new Response(null, { status: body.includes(second.events[0]?.id ?? "?") ? 400 : 200 });
    };
    const env = { ...ENV, SINK_DEAD: dead };
    expect(await deliver(LINES, [first, second], { env, send })).toEqual(["ack", "ack"]);
    expect(dead.sent).toEqual([[second]]);
    expect(log).toHaveBeenCalledTimes(1);
    expect(String(log.mock.calls[0]?.[0])).not.toContain("acme");
    dead.isDown = true;
    expect(await deliver(LINES, [second], { env, send })).toEqual([2]);
  });

  test("out of the dead-letter queue are sent again to their sink, and not put there again", async () => {
    quiet();
    const dead = newQueue();
    const env = { ...ENV, SINK_DEAD: dead };
    const queue = "latchkey-sink-logs-dead";
    expect(await deliver(LINES, [first], { env, queue, send: async () => new Response() })).toEqual(["ack"]);
    const send: Fetch = async () => new Response(null, { status: 400 });
    expect(await deliver(LINES, [first], { env, queue, send })).toEqual([2]);
    expect(dead.sent).toEqual([]);
  });

  test("that cannot be read, or whose sink is gone, hold up no other", async () => {
    quiet();
    const poison = [null, "text", { ...first, v: 1 }, { ...first, sink: "gone" }, { ...first, events: [{}] }];
    const fates = await deliver(LINES, [...poison, first], { send: async () => new Response() });
    expect(fates).toEqual([2, 2, 2, 2, 2, "ack"]);
  });

  test("become objects by workspace and hour, whose names and contents are the same each time", async () => {
    const objects = new Map<string, string>();
    let isDown = false;
    const EVENTS = {
      async put(name: string, body: ArrayBuffer): Promise<void> {
        if (isDown) throw new Error("bucket is down");
        objects.set(name, gunzipSync(new Uint8Array(body)).toString());
      },
    };
    const message = messageOf(eventAt(NOW), eventAt(NOW + 1_000), eventAt(NOW, "other"));
    const { batchId } = message;
    await storeEvents(ARCHIVE, message, { EVENTS });
    const kept = new Map(objects);
    expect([...kept.keys()].sort()).toEqual([
      `events/workspace=default/date=2026-11-23/hour=12/${batchId}-0-3.ndjson.gz`,
      `events/workspace=default/date=2026-11-23/hour=13/${batchId}-0-3.ndjson.gz`,
      `events/workspace=other/date=2026-11-23/hour=12/${batchId}-0-3.ndjson.gz`,
    ]);
    expect(nameObjects(message).size).toBe(3);
    expect(await deliver(ARCHIVE, [message], { env: { EVENTS } })).toEqual(["ack"]);
    expect(objects).toEqual(kept);
    const log = quiet();
    isDown = true;
    expect(await deliver(ARCHIVE, [message], { env: { EVENTS } })).toEqual([2]);
    expect(await deliver(ARCHIVE, [message], { env: {} })).toEqual([2]);
    expect(log).toHaveBeenCalledTimes(2);
  });
});

describe("`sinks` of the configuration", () => {
  const env = {
    SINK: newQueue(),
    SINK_DEAD: newQueue(),
    EVENTS: { put: () => undefined },
    POINTS: { writeDataPoint: () => undefined },
    UP: "https://up.example.com",
  };
  const check = (sinks: unknown) =>
    checkConfig({ upstreams: { up: { urlFromEnv: "UP" } }, sinks } as never, env).map(({ place }) => place); // on purpose

  test("is sound for each kind", () => {
    for (const type of ["elasticsearch", "splunk-hec", "ndjson", "cloudevents-batch"]) {
      expect(check({ logs: { ...LINES, type } })).toEqual([]);
    }
    expect(check({ archive: ARCHIVE })).toEqual([]);
    expect(check({ points: POINTS })).toEqual([]);
  });

  test.each([
    ["no workspaces", { ...LINES, workspaces: undefined }, "workspaces"],
    ["no workspace in the list", { ...LINES, workspaces: [] }, "workspaces"],
    ["a queue that wrangler.toml lacks", { ...LINES, queue: "GONE" }, "queue"],
    ["one queue for both", { ...LINES, deadQueue: "SINK" }, "deadQueue"],
    ["a bucket that wrangler.toml lacks", { ...ARCHIVE, bucket: "GONE" }, "bucket"],
    ["no point an invocation", { ...POINTS, pointsPerInvocation: 0 }, "pointsPerInvocation"],
    ["a dataset that is a bucket", { ...POINTS, dataset: "EVENTS" }, "dataset"],
    ["a URL in place of its variable", { ...LINES, urlFromEnv: "https://x.example.com" }, "urlFromEnv"],
    ["Splunk without a token", { ...LINES, type: "splunk-hec", tokenFromEnv: undefined }, "tokenFromEnv"],
    ["an index with a space", { ...LINES, type: "elasticsearch", index: "a b" }, "index"],
    ["a source in quotes", { ...LINES, type: "splunk-hec", source: '"' }, "source"],
    ["another kind", { ...LINES, type: "kafka" }, "type"],
  ])("names its fault: %s", (_what, sink, place) => {
    expect(check({ logs: sink })).toEqual([`sinks.logs.${place}`]);
  });

  test("names fields of other kinds, and names that would be a dead-letter queue's or no queue's", () => {
    expect(check({ logs: { ...LINES, index: "x" } })).toEqual(["sinks.logs"]);
    expect(check({ "logs-dead": LINES })).toEqual(["sinks.logs-dead"]);
    expect(check({ Logs: LINES })).toEqual(["sinks.Logs"]);
  });
});

describe("events for a dataset", () => {
  /** As the platform's: it says nothing, and throws for what is no point. */
  function newDataset() {
    const written: DataPoint[] = [];
    return { written, writeDataPoint: (point: DataPoint) => void written.push(point) };
  }

  test("are points within its bounds, their columns in the documented order", () => {
    const long = "r".repeat(1_024);
    const event = usageEvent({ time: NOW, route: long, upstream: long, requestId: long, upstreamMs: null, asn: null });
    const { indexes, blobs, doubles } = toDataPoint(event);
    expect(new TextEncoder().encode(indexes[0]).length).toBeLessThanOrEqual(96);
    expect(blobs.length).toBeLessThanOrEqual(20);
    expect(blobs.join("").length).toBeLessThan(5_120);
    expect(doubles.length).toBeLessThanOrEqual(20);
    expect(indexes[0]).toBe(event.keyId);
    expect([blobs[0], blobs[10]]).toEqual([event.id, event.code]);
    expect([doubles[0], doubles[2], doubles[5]]).toEqual([NOW, event.cost, -1]);
    expect(toDataPoint({ ...event, keyId: null }).indexes[0]).toBe(event.workspace);
  });

  test("of more than an invocation may write are queued again, each once", async () => {
    const [dataset, queue] = [newDataset(), newQueue()];
    const env = { POINTS: dataset, SINK: queue };
    const bodies = batchesOf(3, 100);
    const sink = { ...POINTS, pointsPerInvocation: 250 };
    expect(await deliver(sink, bodies, { env })).toEqual(["ack", "ack", "ack"]);
    expect(dataset.written).toHaveLength(250);
    let rest = queue.sent.splice(0).flat();
    expect(rest.flatMap(({ events }) => events)).toHaveLength(50);
    // 25 where nobody says more.
    for (let left = 50; left > 0; left -= 25) {
      expect(await deliver(POINTS, rest, { env })).toEqual(["ack"]);
      rest = queue.sent.splice(0).flat();
    }
    expect(rest).toEqual([]);
    const ids = dataset.written.map(({ blobs }) => blobs[0]);
    expect(new Set(ids).size).toBe(300);
    expect(ids).toHaveLength(300);
    // What was not begun comes again as it is.
    expect(await deliver(sink, batchesOf(4, 125), { env })).toEqual(["ack", "ack", 0, 0]);
  });

  test("wait while there is no dataset, or it does not take them", async () => {
    quiet();
    expect(await deliver(POINTS, batchesOf(1, 2), { env: {} })).toEqual([2]);
    const broken = {
      writeDataPoint: () => {
        throw new Error("no");
      },
    };
    expect(await deliver(POINTS, batchesOf(1, 2), { env: { POINTS: broken } })).toEqual([2]);
  });

  function batchesOf(count: number, events: number): readonly SinkMessage[] {
    return Array.from({ length: count }, () => messageOf(...Array.from({ length: events }, () => eventAt(NOW))));
  }
});
