import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { mergePages } from "../../durable-objects/request-log/client.ts";
import type { LogPage } from "../../durable-objects/request-log/api.ts";
import { newGround } from "../../src/gateway/ground.ts";
import { detailOf, workspaceOf } from "../../src/gateway/request-detail.ts";
import type { Way } from "../../src/gateway/way.ts";
import { PROBLEMS } from "../../src/http/codes.ts";
import { newId, timeOfId } from "../../src/platform/ids.ts";
import { CHECKS, checksOf, refusedAt } from "../../src/request-log/checks.ts";
import { splitByLog } from "../../src/request-log/deliver.ts";
import { explain } from "../../src/request-log/explain.ts";
import { ISOLATE_BOUNDS, KeepBudget, type KeepBounds, LOG_BOUNDS } from "../../src/request-log/keep-budget.ts";
import { detailBytes, KeptWithBatch } from "../../src/request-log/kept-with-batch.ts";
import { parseBatchRequests } from "../../src/request-log/parse-kept.ts";
import { requestLogOf } from "../../src/request-log/policy.ts";
import { timelineOf } from "../../src/request-log/view.ts";
import { parseBatch } from "../../src/usage/parse-batch.ts";
import { strangerKey } from "../support/contract.ts";
import { keptRequest, requestDetail } from "../support/request-makers.ts";
import { usageBatch, usageEvent } from "../support/usage-makers.ts";

const NOW = Date.parse("2026-11-24T10:00:00.000Z");

describe("what is kept", () => {
  const take = (budget: KeepBudget, keyId: string | null, code: string, now = NOW, workspace = "w"): boolean =>
    budget.take({ workspace, keyId, code, why: "refused" }, now);
  const takeMany = (count: number, one: () => boolean): number =>
    Array.from({ length: count }, one).filter(Boolean).length;

  test.each([
    ["an isolate", ISOLATE_BOUNDS],
    ["a log", LOG_BOUNDS],
  ])("of %s stays within its bounds in every minute, for each key and each workspace", (_of, bounds: KeepBounds) => {
    const budget = new KeepBudget(bounds);
    for (const minute of [NOW, NOW + 60_000]) {
      expect(takeMany(1_000, () => take(budget, "key_a", "rate_limited", minute))).toBe(bounds.perKeyAndCode);
      // What it is refused for once has room beside what it is refused for by the thousand.
      expect(take(budget, "key_a", "scope_insufficient", minute)).toBe(true);
      const codes = ["a", "b", "c", "d", "e", "f", "g"];
      const rest = codes.reduce((sum, code) => sum + takeMany(100, () => take(budget, "key_a", code, minute)), 0);
      expect(rest).toBe(bounds.perKey - bounds.perKeyAndCode - 1);
      let key = 0;
      const others = takeMany(1_000, () => take(budget, `key_${(key += 1)}`, "key_revoked", minute));
      expect(others).toBe(bounds.perWorkspace - bounds.perKey);
      // Whoever has no key does not take the room of those who have one, nor the other way round.
      expect(takeMany(1_000, () => take(budget, null, "key_invalid", minute))).toBe(bounds.strangers);
      expect(take(budget, "key_a", "rate_limited", minute, "another")).toBe(true);
      const sampled = () => budget.take({ workspace: "w", keyId: "key_a", code: "allowed", why: "sampled" }, minute);
      expect(takeMany(1_000, sampled)).toBe(bounds.successes);
    }
  });

  test("by its own trace is bounded for each key: anyone may say that a trace is recorded", () => {
    const budget = new KeepBudget(ISOLATE_BOUNDS);
    const traced = (keyId: string) => () => budget.take({ workspace: "w", keyId, code: "allowed", why: "traced" }, NOW);
    expect(takeMany(1_000, traced("key_a"))).toBe(ISOLATE_BOUNDS.perKeyAndCode);
    expect(traced("key_b")()).toBe(true);
  });

  test("a flood of names cannot fill the memory", () => {
    const budget = new KeepBudget({ ...LOG_BOUNDS, perWorkspace: Infinity });
    let key = 0;
    const taken = takeMany(100_000, () => take(budget, `key_${(key += 1)}`, "key_revoked"));
    expect(taken).toBeLessThanOrEqual(10_000);
    expect(take(budget, "key_later", "key_revoked", NOW + 60_000)).toBe(true);
  });

  test("follows the configuration, and is nothing where it says so", () => {
    expect(requestLogOf({})).toEqual({ sampleRate: 0.01, retentionMs: 7 * 86_400_000, maxBytes: 1_024 * 1_048_576 });
    expect(requestLogOf({ requestLog: { sampleRate: 0, retentionDays: 1, maxMegabytes: 2 } })).toEqual({
      sampleRate: 0,
      retentionMs: 86_400_000,
      maxBytes: 2 * 1_048_576,
    });
    expect(requestLogOf({ requestLog: false })).toBeNull();
  });
});

describe("beside a batch", () => {
  test("travels what was kept and how many were left out, once", () => {
    const beside = new KeptWithBatch();
    expect(beside.cut()).toBeNull();
    beside.keep(requestDetail());
    const left = { workspace: "w", keyId: "key_a", code: "rate_limited", time: NOW, count: 1 };
    beside.leave(left);
    beside.leave({ ...left, time: NOW + 5 });
    expect(beside.cut()).toEqual({ kept: [requestDetail()], left: [{ ...left, count: 2 }] });
    expect(beside.cut()).toBeNull();
  });

  test("a flood of different keys is counted whole, in few entries", () => {
    const beside = new KeptWithBatch();
    for (let key = 0; key < 1_000; key++)
      beside.leave({ workspace: "w", keyId: `key_${key}`, code: "rate_limited", time: NOW, count: 1 });
    const left = beside.cut()?.left ?? [];
    expect(left.length).toBeLessThanOrEqual(51);
    expect(left.reduce((sum, { count }) => sum + count, 0)).toBe(1_000);
  });

  test("a batch that is full of the largest details fits into a queue message", () => {
    const long = Array.from({ length: 16 }, (_none, index) => `${"s".repeat(110)}${index}:read`);
    const { key, asked } = requestDetail();
    const limits = Array.from({ length: 12 }, (_none, index) => ({
      name: `limit-${index}-${"n".repeat(50)}`,
      limit: 1_000_000_000_000,
      remaining: 999_999_999_999,
      resetSeconds: 31_000_000,
      windowSeconds: 31_000_000,
    }));
    const largest = requestDetail({
      told: "t".repeat(500),
      limits,
      key:
        key === null ? null : { ...key, scopes: long, bindings: { ips: long.slice(0, 8), origins: long.slice(0, 8) } },
      asked: asked === null ? null : { ...asked, scopes: long },
    });
    for (const detail of [largest, requestDetail()]) {
      const bytes = Buffer.byteLength(JSON.stringify(detail));
      // A third of the message is to spare: see the buffer.
      expect(bytes).toBeLessThanOrEqual(detailBytes(detail) * 1.3);
    }
  });

  test("what cannot be read is left away, and the events are counted all the same", () => {
    const kept = requestDetail();
    const left = { workspace: "w", keyId: null, code: "key_invalid", time: NOW, count: 3 };
    const batch = usageBatch([usageEvent({ time: NOW })], NOW);
    const read = (requests: unknown) => {
      const parsed = parseBatch({ ...batch, requests }, NOW);
      return parsed.ok ? (parsed.value.requests ?? null) : parsed.error;
    };
    expect(read({ kept: [kept], left: [left] })).toEqual({ kept: [kept], left: [left] });
    const spoilt = [
      { ...kept, v: 2 },
      { ...kept, why: "other" },
      { ...kept, workspace: "a/b" },
      { ...kept, told: 1 },
      { ...kept, limits: [{}] },
      { ...kept, key: { hint: "x" } },
      { ...kept, lease: { from: "isolate" } },
      { ...kept, told: "x".repeat(20_000) },
      null,
      "text",
    ];
    expect(read({ kept: [...spoilt, kept], left: [{ ...left, count: -1 }, { ...left, code: "A B" }, left] })).toEqual({
      kept: [kept],
      left: [left],
    });
    for (const nothing of [null, 1, "x", [], {}, { kept: 1, left: 2 }, undefined]) expect(read(nothing)).toBeNull();
    fc.assert(
      fc.property(fc.anything(), (value) => {
        expect(() => parseBatchRequests(value)).not.toThrow();
      }),
    );
  });

  test("each workspace's requests go to its own log, whatever a message says of a known key", () => {
    const ours = usageEvent({ time: NOW, workspace: "ours" });
    const nobody = usageEvent({ time: NOW, workspace: "default", keyId: null });
    const requests = {
      kept: [
        requestDetail({ eventId: ours.id, workspace: "theirs" }),
        requestDetail({ eventId: nobody.id, workspace: "theirs" }),
        requestDetail({ eventId: "evt_of_another_batch", workspace: "theirs" }),
      ],
      left: [{ workspace: "ours", keyId: null, code: "key_invalid", time: NOW, count: 1 }],
    };
    const split = splitByLog([{ ...usageBatch([ours, nobody], NOW), requests }]);
    expect([...split.keys()].toSorted()).toEqual(["ours/0", "theirs/0"]);
    expect(split.get("ours/0")?.[0]).toMatchObject({
      kept: [{ event: ours, detail: { workspace: "ours" } }],
      left: requests.left,
    });
    expect(split.get("theirs/0")?.[0]?.kept.map(({ event }) => event.id)).toEqual([nobody.id]);
  });
});

describe("the explanation", () => {
  const nothing = { key: null, asked: null, lease: null, record: null, told: null, via: null, form: null } as const;

  test.each(Object.keys(PROBLEMS))("of %s says why, and what would have to change, however little is known", (code) => {
    const status = PROBLEMS[code as keyof typeof PROBLEMS].status; // one of its own names
    for (const detail of [requestDetail(), requestDetail(nothing), requestDetail({ certificate: true })]) {
      for (const event of [
        {},
        { keyId: null, route: null, upstream: null, clientIp: null, country: null, environment: null },
      ]) {
        const kept = keptRequest({ time: NOW, status, code, ...event }, detail);
        const told = explain(kept, null);
        expect(told?.why.length).toBeGreaterThan(10);
        expect(told?.change.length).toBeGreaterThan(10);
        expect(told?.operator.length).toBeGreaterThan(5);
        expect(`${told?.why} ${told?.change}`).not.toMatch(/undefined|null|NaN|\[object|^\s|\s{2}/);
        const checks = checksOf(kept);
        expect(checks.map(({ check }) => check)).toEqual([...CHECKS]);
        const at = checks.findIndex(({ answer }) => answer === "refused");
        expect(checks[at]?.check).toBe(refusedAt(kept));
        expect(checks.slice(0, at).some(({ answer }) => answer === "not_reached")).toBe(false);
        expect(checks.slice(at + 1).every(({ answer }) => answer === "not_reached")).toBe(true);
      }
    }
  });

  test("names what is asked and what is held", () => {
    expect(explain(keptRequest({ time: NOW }), null)).toMatchObject({
      why: "/reports/* needs the scope reports:read; the key holds charges:read and charges:write.",
      change: "PATCH scopes gives the key what it lacks; or the client uses one that has it.",
    });
  });

  test("of a revoked key names the revocation, its reason, and the lease that was in hand", () => {
    const lease = { from: "meter", by: "broker", granted: false, ageMs: 5_500, leftMs: -1_000 } as const;
    const kept = keptRequest({ time: NOW, status: 401, code: "key_revoked" }, { lease });
    const now = { status: "revoked", revokedAt: new Date(NOW - 4_800).toISOString(), revokedReason: "leaked" };
    expect(explain(kept, now)?.why).toBe(
      "The key was revoked at 2026-11-24T09:59:55.200Z (leaked), 4800 ms before. The isolate's lease, which the lease broker nearby had granted 5.5 s before, had been over for 1.0 s. The key's meter was asked.",
    );
  });

  test("is nothing for a request that was let in, whose checks all passed or were not needed", () => {
    const kept = keptRequest(
      { time: NOW, status: 200, code: "allowed", upstreamMs: 10 },
      { why: "sampled", told: null },
    );
    expect(explain(kept, null)).toBeNull();
    const answers = new Set(checksOf(kept).map(({ answer }) => answer));
    expect(answers).toEqual(new Set(["passed", "not_needed"]));
    expect(timelineOf(kept, null).timing).toEqual({ totalMs: 12, authMs: 1, upstreamMs: 10, otherMs: 1 });
  });
});

describe("what a client wrote", () => {
  const prefixes = new Set(["lk"]);
  const key = strangerKey();
  const hex = "0af7651916cd43dd8448eb211c80319c";
  const way = (headers: Record<string, string>, url = "https://api.test/x"): Way => ({
    ...newGround(),
    route: null,
    via: "bearer",
    refusal: { code: "key_invalid", detail: "No." },
    limits: [],
    trace: null,
    fields: new Map(Object.entries(headers)),
    url,
    incoming: undefined,
  });
  const detail = (headers: Record<string, string>, url?: string) =>
    detailOf({ way: way(headers, url), record: null, eventId: "evt_a", why: "refused", prefixes });
  const traceparent = `00-${hex}-00f067aa0ba902b7-01`;

  test("is taken where it is an origin and a trace", () => {
    const authorization = `Bearer ${key}`;
    expect(detail({ authorization, origin: "https://app.example", traceparent })).toMatchObject({
      origin: "https://app.example",
      traceId: hex,
    });
  });

  test.each([
    ["a trace id that is the key", { authorization: `Bearer ${hex}`, traceparent }],
    ["a trace id that is half the key", { authorization: `Bearer ${hex}${hex}`, traceparent }],
    ["an origin with the key", { authorization: `Bearer ${key}`, origin: `https://${key.toLowerCase()}.example` }],
    [
      "an origin with a piece of the key",
      { "x-api-key": key, origin: `https://a${key.slice(10, 24).toLowerCase()}.example` },
    ],
    [
      "an origin with another key",
      { authorization: `Bearer ${key}`, origin: `https://${strangerKey().toLowerCase()}.x` },
    ],
    ["an origin of no origin's form", { authorization: `Bearer ${key}`, origin: "https://a.example/path?x" }],
    ["an origin without end", { authorization: `Bearer ${key}`, origin: `https://${"a.".repeat(200)}example` }],
    [
      "either of two keys",
      { authorization: `Bearer ${key}`, "x-api-key": hex, traceparent, origin: "https://a.example" },
    ],
    [
      "a key by Basic",
      {
        authorization: `Basic ${Buffer.from(`${hex}:`).toString("base64")}`,
        traceparent,
        origin: `https://${hex}.example`,
      },
    ],
  ])("is left away where it is %s", (_what, headers: Record<string, string>) => {
    expect(detail(headers)).toMatchObject({ origin: null, traceId: null });
  });

  test("belongs to the workspace of the upstream where no key is known", () => {
    expect(workspaceOf({ route: null }, null)).toBe("default");
  });
});

describe("pages", () => {
  test("of several logs together are what one log of all would answer, up to where each has looked", () => {
    const request = fc.record({ time: fc.integer({ min: 0, max: 20 }), shard: fc.integer({ min: 0, max: 2 }) });
    fc.assert(
      fc.property(fc.array(request, { maxLength: 40 }), fc.integer({ min: 1, max: 7 }), (made, limit) => {
        const all = made
          .map(({ time, shard }, index) => ({
            shard,
            kept: keptRequest({ time, requestId: `req_${String(index).padStart(3, "0")}` }),
          }))
          .toSorted(({ kept: { event: a } }, { kept: { event: b } }) => b.time - a.time || (a.id < b.id ? 1 : -1));
        const pageOf = (shard: number, before: LogPage["next"]): LogPage => {
          const left = all
            .filter((one) => one.shard === shard)
            .map(({ kept }) => kept)
            .filter(
              ({ event }) =>
                before === null ||
                event.time < before.time ||
                (event.time === before.time && event.id < before.eventId),
            );
          const requests = left.slice(0, limit);
          const last = requests.at(-1);
          const isCut = left.length > limit && last !== undefined;
          return { requests, left: 0, next: isCut ? { time: last.event.time, eventId: last.event.id } : null };
        };
        const seen: string[] = [];
        let before: LogPage["next"] = null;
        do {
          const page: LogPage = mergePages(
            [0, 1, 2].map((shard) => pageOf(shard, before)),
            limit,
          );
          expect(page.requests.length).toBeLessThanOrEqual(limit);
          seen.push(...page.requests.map(({ event }) => event.id));
          before = page.next;
        } while (before !== null);
        expect(seen).toEqual(all.map(({ kept }) => kept.event.id));
      }),
    );
  });

  test("an id tells its time", () => {
    expect(timeOfId(newId("req_", NOW), "req_")).toBe(NOW);
    for (const id of ["", "req_", "key_01jd8q3v5x9k2m4n6p8r0s2t4v", "req_~~~~~~~~~~~~~~~~"])
      expect(timeOfId(id, "req_")).toBeNull();
  });
});
