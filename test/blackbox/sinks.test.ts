import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Edges, startEdges } from "../../scripts/lab/edges.ts";
import type { Sinks } from "../../src/sinks/config.ts";
import { control } from "../support/control.ts";
import { type SinkReceiver, startSinkReceiver } from "../support/sink-receiver.ts";
import { usageBatch, usageEvent } from "../support/usage-makers.ts";

/** Events from real requests to receivers on this machine and a bucket, each by a queue of its own. */

const NAMES = ["search", "splunk", "lines", "partner", "archive"] as const;
const queueOf = (name: string) => ({
  queue: `SINK_${name.toUpperCase()}`,
  deadQueue: `SINK_${name.toUpperCase()}_DEAD`,
});
const http = (name: string) => ({
  ...queueOf(name),
  urlFromEnv: `${name.toUpperCase()}_URL`,
  tokenFromEnv: "SINK_TOKEN",
});
const SINKS: Sinks = {
  search: { type: "elasticsearch", workspaces: "*", ...http("search") },
  splunk: { type: "splunk-hec", workspaces: "*", ...http("splunk") },
  lines: { type: "ndjson", workspaces: "*", ...http("lines") },
  partner: { type: "cloudevents-batch", workspaces: ["other"], ...http("partner") },
  archive: { type: "r2", workspaces: "*", bucket: "EVENTS", ...queueOf("archive") },
};
const TOKEN = "token-of-the-lab";

let receiver: SinkReceiver;
let lab: Edges;
beforeAll(async () => {
  receiver = await startSinkReceiver();
  receiver.answers.set("/lines", 500);
  lab = await startEdges({
    count: 0,
    entry: path.join(import.meta.dirname, "../support/sinks-worker.ts"),
    maxBatchTimeout: 0,
    queues: Object.fromEntries(
      NAMES.flatMap((name) => [
        [queueOf(name).queue, `latchkey-sink-${name}`],
        [queueOf(name).deadQueue, `latchkey-sink-${name}-dead`],
      ]),
    ),
    buckets: ["EVENTS"],
    variables: {
      LATCHKEY_LAB_SINKS: JSON.stringify(SINKS),
      LATCHKEY_SINKS_TO_LOOPBACK: "true",
      SINK_TOKEN: TOKEN,
      SEARCH_URL: `${receiver.url}/_bulk`,
      SPLUNK_URL: `${receiver.url}/services/collector/event`,
      LINES_URL: `${receiver.url}/lines`,
      PARTNER_URL: `${receiver.url}/partner`,
    },
  });
});
afterAll(async () => {
  await lab.stop();
  await receiver.stop();
});

async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if (await holds()) return;
    await sleep(200);
  }
  throw new Error(`${what}: not seen in 80 s`);
}

const bodies = (at: string): string =>
  receiver.posted
    .filter((one) => one.path === at)
    .map(({ body }) => body)
    .join("\n");
const stored = async (): Promise<string[]> =>
  Array.from(await lab.objects("EVENTS"), ([, bytes]) => gunzipSync(bytes).toString()).flatMap((text) =>
    text.trimEnd().split("\n"),
  );

test("real requests reach every sink in its form, without keys, while one that is down stops neither the others nor the ledger, and catches up", async () => {
  const api = control(lab.home);
  const { key, id } = await api.issue();
  const statuses = [];
  for (const presented of [key, key, `${key.slice(0, -2)}00`]) {
    const response = await lab.home.fetch("/hello", {
      headers: { authorization: `Bearer ${presented}` },
    });
    await response.text();
    statuses.push(response.status);
  }
  expect(statuses).toEqual([200, 200, 401]);
  await until(() => receiver.documents.size === 3, "three documents");
  const ids = [...receiver.documents.keys()];
  await until(async () => (await stored()).length === 3, "three lines in the bucket");
  await until(() => ids.every((event) => bodies("/services/collector/event").includes(event)), "Splunk's events");
  expect([...receiver.documents.values()].filter(({ keyId }) => keyId === id)).toHaveLength(2);
  const usage = await api.call<{ readonly totals: { readonly requests: number } }>("GET", "/usage?granularity=minute");
  expect(usage.body.totals.requests).toBe(3);
  expect(bodies("/lines")).not.toBe("");
  expect(receiver.posted.find((one) => one.path === "/_bulk")).toMatchObject({
    authorization: `ApiKey ${TOKEN}`,
    contentType: "application/x-ndjson",
  });
  expect(receiver.posted.find((one) => one.path === "/services/collector/event")?.authorization).toBe(
    `Splunk ${TOKEN}`,
  );

  receiver.answers.delete("/lines");
  const before = receiver.posted.length;
  const after = (): string =>
    receiver.posted
      .slice(before)
      .filter((one) => one.path === "/lines")
      .map(({ body }) => body)
      .join("");
  await until(() => ids.every((event) => after().includes(event)), "what the sink missed");
  for (const told of [...receiver.posted.map(({ body }) => body), ...(await stored())]) {
    expect(told).not.toContain(key.slice(8, -2));
    expect(told).not.toContain("credentialTag");
  }
});

test("a message that is delivered again doubles nothing in Elasticsearch and in the bucket, and a workspace's sink is given its own events alone", async () => {
  const [mine, others] = [usageEvent({ time: Date.now() }), usageEvent({ time: Date.now(), workspace: "other" })];
  const batch = usageBatch([{ ...mine, credentialTag: 7 }, others], Date.now());
  await lab.enqueue(batch);
  await until(() => receiver.documents.has(others.id) && bodies("/partner").includes(others.id), "the events");
  await until(async () => (await stored()).filter((line) => line.includes(others.id)).length === 1, "its line");
  const [documents, lines, conflicts] = [receiver.documents.size, (await stored()).length, receiver.conflicts()];
  const kept = (await lab.objects("EVENTS")).size;
  await lab.enqueue(batch);
  await until(() => receiver.conflicts() === conflicts + 2, "the second delivery");
  await until(() => bodies("/partner").split(others.id).length > 2, "the second delivery at the partner's");
  expect(receiver.documents.size).toBe(documents);
  expect([(await lab.objects("EVENTS")).size, (await stored()).length]).toEqual([kept, lines]);
  const names = [...(await lab.objects("EVENTS")).keys()].filter((name) => name.includes(batch.batchId));
  const partitions = new Set(names.map((name) => name.split("/")[1]));
  expect([names.length, partitions]).toEqual([2, new Set(["workspace=default", "workspace=other"])]);
  expect(bodies("/partner")).not.toContain(mine.id);
  expect(bodies("/partner")).not.toContain('"workspace":"default"');
});

test("of one bulk request each event goes its own way: taken, tried again, or put aside in the dead-letter queue", async () => {
  const events = [1, 2, 3].map(() => usageEvent({ time: Date.now() }));
  const [good, busy, bad] = events.map(({ id }) => id);
  receiver.faults.set(busy ?? "", { status: 429, times: 1 });
  receiver.faults.set(bad ?? "", { status: 400, times: 100 });
  await lab.enqueue(usageBatch(events, Date.now()));
  await until(async () => (await lab.deadLetters()).length > 0, "the event that is refused");
  expect(receiver.documents.has(good ?? "")).toBe(true);
  expect(receiver.documents.has(busy ?? "")).toBe(true);
  expect(await lab.deadLetters()).toMatchObject([{ sink: "search", events: [{ id: bad }] }]);
});
