import {
  createExecutionContext,
  createMessageBatch,
  evictDurableObject,
  getQueueResult,
  runDurableObjectAlarm,
  runInDurableObject,
} from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { LogPage, LogSearch, RequestBatch } from "../../durable-objects/request-log/api.ts";
import { findKept, requestLogByName, searchKept } from "../../durable-objects/request-log/client.ts";
import { newId } from "../../src/platform/ids.ts";
import { deliverTo, type DeliverRequests } from "../../src/request-log/deliver.ts";
import { LOG_BOUNDS } from "../../src/request-log/keep-budget.ts";
import type { KeptRequest, LeftOut } from "../../src/request-log/kept-request.ts";
import { consumeUsage, DEFAULT_POLICY } from "../../src/usage/consumer.ts";
import { BATCH_ID_PREFIX } from "../../src/usage/parse-batch.ts";
import { keptRequest } from "../support/request-makers.ts";
import { seeded } from "../support/seeded.ts";
import { usageBatch } from "../support/usage-makers.ts";

/** The log of kept requests, inside workerd: once over redelivery, within its bounds, for as long as it says. */

const START = Date.parse("2026-11-20T10:00:00.000Z");
const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const POLICY = { retentionMs: 7 * DAY, maxBytes: 1_024 * 1_048_576 };

let count = 0;

function newLog() {
  const workspace = `log-${++count}`;
  const stub = env.REQUEST_LOG.getByName(`${workspace}/0`);
  return { workspace, stub, log: requestLogByName(env.REQUEST_LOG, `${workspace}/0`) };
}

function batchOf(kept: readonly KeptRequest[], left: readonly LeftOut[] = [], at = Date.now()): RequestBatch {
  return { batchId: newId(BATCH_ID_PREFIX, at), kept, left };
}

const ALL: LogSearch = { from: 0, to: START + 400 * DAY, filters: {}, limit: 100, before: null };

const idsOf = (page: Pick<LogPage, "requests">): string[] => page.requests.map(({ event }) => event.id);

async function rowCount(stub: ReturnType<typeof newLog>["stub"]): Promise<number> {
  return await runInDurableObject(
    stub,
    (_log, { storage: { sql } }) => sql.exec<{ n: number }>("SELECT COUNT(*) AS n FROM pack").one().n,
  );
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"] });
  vi.setSystemTime(START);
});

afterEach(() => {
  vi.useRealTimers();
});

describe("a batch that is delivered again", () => {
  test("is stored once: at once, with others, and after the object was evicted", async () => {
    const { log, stub } = newLog();
    const left = [{ workspace: "w", keyId: "key_a", code: "rate_limited", time: START, count: 7 }];
    const first = batchOf([keptRequest({ time: START })], left);
    expect(await log.ingest([first, first], POLICY)).toMatchObject({ stored: 1, rowsWritten: 1 });
    expect(await log.ingest([first], POLICY)).toEqual({ stored: 0, rowsWritten: 0 });
    await evictDurableObject(stub);
    const second = batchOf([keptRequest({ time: START + 1 })]);
    expect(await log.ingest([second, first], POLICY)).toMatchObject({ stored: 1 });
    await evictDurableObject(stub);
    vi.setSystemTime(START + 8 * HOUR);
    expect(await log.ingest([first, second], POLICY)).toEqual({ stored: 0, rowsWritten: 0 });
    const page = await log.search(ALL);
    expect(page).toMatchObject({ left: 7, next: null });
    expect(page.requests).toHaveLength(2);
  });

  test("is known by rows alone, once memory has let go of it", async () => {
    const { log, stub } = newLog();
    const old = batchOf([keptRequest({ time: START })]);
    await log.ingest([old], POLICY);
    await evictDurableObject(stub);
    // Late, and of a minute that has rows of others too.
    await log.ingest([batchOf([keptRequest({ time: START + 2 })])], POLICY);
    expect((await log.ingest([old], POLICY)).stored).toBe(0);
  });
});

describe("what is asked for", () => {
  test("is found by id, by whoever made it first and however late it came", async () => {
    const { log } = newLog();
    const started = START - 3 * SECOND;
    const request = keptRequest({ time: START, requestId: newId("req_", started) });
    const { requestId } = request.event;
    const parts = [1_000, 0].map((index) => {
      const id = index === 0 ? request.event.id : `${request.event.id}-${index}`;
      return keptRequest({ time: START, requestId, id });
    });
    vi.setSystemTime(START + 3 * HOUR);
    await log.ingest([batchOf([...parts, keptRequest({ time: START + 3 * HOUR })])], POLICY);
    expect((await log.find(requestId)).map(({ event }) => event.id)).toEqual([
      request.event.id,
      `${request.event.id}-1000`,
    ]);
    expect(await log.find(newId("req_", started))).toEqual([]);
    expect(await log.find("req_of_nobody")).toEqual([]);
  });

  test("is found by key, owner, code, status and time, newest first, page by page, as a plain list would give it", async () => {
    const { log } = newLog();
    const random = seeded(7);
    const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] ?? (from[0] as T); // never empty
    const all: KeptRequest[] = [];
    for (let call = 0; call < 60; call++) {
      const at = START + call * 20 * SECOND;
      vi.setSystemTime(at);
      // Some of them come late, by minutes.
      const requests = Array.from({ length: 5 }, () =>
        keptRequest({
          time: at - Math.floor(random() * (random() < 0.2 ? 9 * MINUTE : SECOND)),
          keyId: pick(["key_a", "key_ab", "key_b", null]),
          owner: pick(["acme", "acme.two"]),
          ...pick([
            { code: "scope_insufficient", status: 403 },
            { code: "key_revoked", status: 401 },
          ]),
        }),
      );
      all.push(...requests);
      await log.ingest([batchOf(requests)], POLICY);
    }
    const expected = (filters: LogSearch["filters"], from = 0, to = Infinity): string[] =>
      all
        .filter(({ event }) => event.time >= from && event.time < to)
        .filter(({ event }) => filters.key === undefined || event.keyId === filters.key)
        .filter(({ event }) => filters.owner === undefined || event.owner === filters.owner)
        .filter(({ event }) => filters.code === undefined || event.code === filters.code)
        .filter(({ event }) => filters.status === undefined || event.status === filters.status)
        .toSorted(({ event: a }, { event: b }) => b.time - a.time || (a.id < b.id ? 1 : -1))
        .map(({ event }) => event.id);
    const filters: readonly LogSearch["filters"][] = [
      {},
      { key: "key_a" },
      { owner: "acme" },
      { code: "key_revoked" },
      { status: 403, key: "key_b" },
      { key: "key_none" },
    ];
    for (const filter of filters) {
      const seen: string[] = [];
      let before: LogSearch["before"] = null;
      for (let page = 0; page < 200; page++) {
        const found: LogPage = await log.search({ ...ALL, filters: filter, limit: 7, before });
        expect(found.requests.length).toBeLessThanOrEqual(7);
        seen.push(...idsOf(found));
        before = found.next;
        if (before === null) break;
      }
      expect(seen).toEqual(expected(filter));
    }
    const from = START + 3 * MINUTE + 11;
    const to = START + 9 * MINUTE + 333;
    expect(idsOf(await log.search({ ...ALL, from, to, limit: 1_000 }))).toEqual(expected({}, from, to));
    expect(expected({}, from, to).length).toBeGreaterThan(20);
  });

  test("goes on where it stopped when there is more than one call may read", async () => {
    const { log, stub } = newLog();
    const oldest = keptRequest({ time: START, keyId: "key_old" });
    await log.ingest([batchOf([oldest])], POLICY);
    // As many calls as a consumer makes in hours, written as the object writes them.
    await runInDurableObject(stub, (_log, { storage }) => {
      storage.transactionSync(() => {
        for (let minute = 1; minute <= 250; minute++) {
          for (let row = 0; row < 60; row++) {
            const place = (Math.floor(START / MINUTE) + minute) * 100_000 + row;
            storage.sql.exec(
              "INSERT INTO pack (place, batch_ids, facets, left_out, requests) VALUES (?, '', ' k:key_new ', '[]', '[]')",
              place,
            );
          }
        }
      });
    });
    vi.setSystemTime(START + DAY);
    let calls = 0;
    let before: LogSearch["before"] = null;
    const seen: string[] = [];
    do {
      const page: LogPage = await log.search({ ...ALL, filters: { key: "key_old" }, before });
      seen.push(...idsOf(page));
      before = page.next;
      calls += 1;
    } while (before !== null && calls < 10);
    expect(seen).toEqual([oldest.event.id]);
    expect(calls).toBe(2);
  });

  test("is never another workspace's", async () => {
    const ours = newLog();
    const theirs = newLog();
    const request = keptRequest({ time: START, workspace: ours.workspace });
    await ours.log.ingest([batchOf([request])], POLICY);
    const found = await findKept(env.REQUEST_LOG, ours.workspace, request.event.requestId);
    expect(found.ok && found.value).toHaveLength(1);
    const foreign = await findKept(env.REQUEST_LOG, theirs.workspace, request.event.requestId);
    expect(foreign.ok && foreign.value).toEqual([]);
    const listed = await searchKept(env.REQUEST_LOG, theirs.workspace, ALL);
    expect(listed.ok && listed.value.requests).toEqual([]);
  });

  test("cannot be had while the log does not answer, and that is said", async () => {
    const broken = {
      getByName: () => ({
        find: () => Promise.reject(new Error("down")),
        search: () => Promise.reject(new Error("down")),
      }),
    };
    expect((await findKept(broken, "w", newId("req_", START))).ok).toBe(false);
    expect((await searchKept(broken, "w", ALL)).ok).toBe(false);
  });
});

describe("retention", () => {
  test("what is past it is not told any more, and the alarm deletes it; run twice, the second finds nothing", async () => {
    const { log, stub } = newLog();
    const old = keptRequest({ time: START });
    await log.ingest([batchOf([old])], POLICY);
    vi.setSystemTime(START + 3 * DAY);
    const young = keptRequest({ time: START + 3 * DAY });
    await log.ingest([batchOf([young])], POLICY);
    vi.setSystemTime(START + 7 * DAY + MINUTE);
    expect(idsOf(await log.search(ALL))).toEqual([young.event.id]);
    expect(await log.find(old.event.requestId)).toEqual([]);
    expect(await rowCount(stub)).toBe(2);
    expect(await runDurableObjectAlarm(stub)).toBe(true);
    expect(await rowCount(stub)).toBe(1);
    expect(await runDurableObjectAlarm(stub)).toBe(true);
    expect(await rowCount(stub)).toBe(1);
    vi.setSystemTime(START + 30 * DAY);
    await runDurableObjectAlarm(stub);
    expect(await rowCount(stub)).toBe(0);
    // An empty log sleeps for good.
    expect(await runDurableObjectAlarm(stub)).toBe(false);
  });

  test("is the newest that was told, over an eviction", async () => {
    const { log, stub } = newLog();
    const request = keptRequest({ time: START });
    await log.ingest([batchOf([request])], { ...POLICY, retentionMs: DAY });
    await evictDurableObject(stub);
    vi.setSystemTime(START + DAY + MINUTE);
    expect(idsOf(await log.search(ALL))).toEqual([]);
    await log.ingest([batchOf([keptRequest({ time: START + DAY + MINUTE })])], { ...POLICY, retentionMs: 2 * DAY });
    expect(idsOf(await log.search(ALL))).toContain(request.event.id);
  });
});

describe("bounds", () => {
  test("of a minute: a flood of one key or of strangers is counted in place of being kept", async () => {
    const { log } = newLog();
    const flood = (keyId: string | null, code: string) =>
      Array.from({ length: 1_000 }, () => keptRequest({ time: START, keyId, code }));
    const { stored } = await log.ingest(
      [
        batchOf([
          ...flood("key_a", "rate_limited"),
          ...flood(null, "key_invalid"),
          keptRequest({ time: START, keyId: "key_b" }),
        ]),
      ],
      POLICY,
    );
    expect(stored).toBe(LOG_BOUNDS.perKeyAndCode + LOG_BOUNDS.strangers + 1);
    const ofKey = await log.search({ ...ALL, filters: { key: "key_a" }, limit: 1_000 });
    expect(ofKey.requests.length + ofKey.left).toBe(1_000);
    expect((await log.search({ ...ALL, filters: { key: "key_b" } })).requests).toHaveLength(1);
    const all = await log.search({ ...ALL, limit: 1_000 });
    expect(all.requests.length + all.left).toBe(2_001);
  });

  test("of the object: when it is full the oldest go, and what comes is taken", async () => {
    const { log, stub } = newLog();
    const policy = { ...POLICY, maxBytes: 1_048_576 };
    const told = "x".repeat(400);
    let newest = "";
    for (let call = 0; call < 1_200; call++) {
      const at = START + call * MINUTE;
      vi.setSystemTime(at);
      const requests = Array.from({ length: 2 }, (_none, index) =>
        keptRequest({ time: at, keyId: `key_${index}` }, { told }),
      );
      newest = requests[1]?.event.id ?? "";
      await log.ingest([batchOf(requests)], policy);
    }
    const size = await runInDurableObject(stub, (_log, { storage: { sql } }) => sql.databaseSize);
    // Room is made by the row: it may be past the bound by what one call brings.
    expect(size).toBeLessThanOrEqual(policy.maxBytes + 65_536);
    const page = await log.search({ ...ALL, limit: 5_000 });
    expect(idsOf(page)).toContain(newest);
    // Most of what fits is still there: it is the oldest alone that goes.
    expect(page.requests.length).toBeGreaterThan(300);
    expect(page.requests.length).toBeLessThan(2_400);
  });
});

describe("the consumer", () => {
  async function consume(attempts: number, deliver: DeliverRequests) {
    const request = keptRequest({ time: START });
    const body = { ...usageBatch([request.event], START), requests: { kept: [request.detail], left: [] } };
    const messages = createMessageBatch("latchkey-usage", [{ id: "m", timestamp: new Date(START), attempts, body }]);
    const ctx = createExecutionContext();
    await consumeUsage(messages, env, { ...DEFAULT_POLICY, deliverRequests: deliver });
    return await getQueueResult(messages, ctx);
  }

  test("a log that fails makes a message come again, five times at the most", async () => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const down = { getByName: () => ({ ingest: () => Promise.reject(new Error("down")) }) };
    for (const attempts of [1, 2, 3, 4])
      expect((await consume(attempts, deliverTo(down, POLICY))).retryMessages).toHaveLength(1);
    for (const attempts of [5, 6, 50])
      expect((await consume(attempts, deliverTo(down, POLICY))).explicitAcks).toEqual(["m"]);
    expect((await consume(1, deliverTo(env.REQUEST_LOG, POLICY))).explicitAcks).toEqual(["m"]);
  });
});

describe("rows written", () => {
  test("are one for each call, whatever it brings, and so 3 for 1,000 requests of a busy workspace with a refusal in each hundred", async () => {
    const { log } = newLog();
    const random = seeded(11);
    await log.ingest([batchOf([keptRequest({ time: START })])], POLICY);
    const PER_SECOND = 386;
    const SECONDS = 300;
    let rows = 0;
    for (let second = 1; second <= SECONDS; second++) {
      const at = START + second * SECOND;
      vi.setSystemTime(at);
      // Eight isolates, one consumer's call; 1 % of the others by sample.
      const batches = Array.from({ length: 8 }, () => {
        const kept = Array.from({ length: Math.round((PER_SECOND / 8) * 0.02 + random() - 0.5) }, (_none, index) =>
          index % 2 === 0
            ? keptRequest({ time: at - 500, keyId: `key_${Math.floor(random() * 100)}` })
            : keptRequest({ time: at - 500, status: 200, code: "allowed" }, { why: "sampled" }),
        );
        return batchOf(kept);
      });
      rows += (await log.ingest(batches, POLICY)).rowsWritten;
    }
    expect((rows / (SECONDS * PER_SECOND)) * 1_000).toBeLessThanOrEqual(3);
  });

  test("are one for a call that brings nothing but what was left out, and none for one that brings nothing new", async () => {
    const { log } = newLog();
    const batch = batchOf([], [{ workspace: "w", keyId: null, code: "key_invalid", time: START, count: 5_000 }]);
    expect((await log.ingest([batch], POLICY)).rowsWritten).toBe(1);
    expect((await log.ingest([batch], POLICY)).rowsWritten).toBe(0);
    expect((await log.search(ALL)).left).toBe(5_000);
  });
});
