import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { newId } from "../../src/platform/ids.ts";
import { toCloudEvent } from "../../src/usage/cloud-event.ts";
import type { UsageEvent } from "../../src/usage/event.ts";
import type { RequestFactsForEvent } from "../../src/usage/make-event.ts";
import { eventId, makeEvent } from "../../src/usage/make-event.ts";
import { parseBatch } from "../../src/usage/parse-batch.ts";
import { clientIpForEvent, ipSaltFrom, userAgentFamily } from "../../src/usage/privacy.ts";
import { ledgerShard, splitByLedger } from "../../src/usage/shard.ts";
import { strangerEvent, usageBatch, usageEvent } from "../support/usage-makers.ts";

const NOW = Date.parse("2026-11-23T12:00:00.000Z");

const FACTS: RequestFactsForEvent = {
  credentialTag: null,
  requestId: newId("req_", NOW),
  time: NOW,
  record: {
    id: "key_1",
    lineageId: "lin_1",
    workspace: "team",
    owner: "acme",
    environment: "live",
    hint: "lk_live_AbCd…wxyz",
  },
  method: "GET",
  upstream: "demo",
  route: "/reports/*",
  status: 200,
  code: "allowed",
  cost: 5,
  latencyMs: 12.4,
  authMs: 0.2,
  upstreamMs: 11.6,
  bytesIn: 0,
  bytesOut: 120,
  country: "DE",
  asn: 64_500,
  colo: "FRA",
  clientIp: "203.0.113.77",
  ipPolicy: "truncated",
  ipSalt: null,
  userAgent: "curl/8.5.0",
  degraded: false,
  tokenId: null,
};
const TOKEN_ID = newId("tok_", NOW);

describe("a usage event", () => {
  test("has an id that the request alone decides", () => {
    expect(eventId(FACTS.requestId)).toBe(FACTS.requestId.replace("req_", "evt_"));
    expect(makeEvent(FACTS)).toEqual(makeEvent(FACTS));
    expect(eventId("from elsewhere")).toBe(eventId("from elsewhere"));
    expect(eventId("from elsewhere")).toMatch(/^evt_[0-9a-z]{26}$/);
    expect(new Set([eventId(FACTS.requestId), eventId(FACTS.requestId, 1), eventId(FACTS.requestId, 2)]).size).toBe(3);
  });

  test("of an unknown key belongs to the default workspace and names no one", () => {
    expect(makeEvent({ ...FACTS, record: null })).toMatchObject({
      workspace: "default",
      keyId: null,
      lineageId: null,
      owner: null,
      environment: null,
    });
  });

  test("is one that the ledger accepts, whatever was measured", () => {
    const wild = fc.record({
      latencyMs: fc.double(),
      authMs: fc.double(),
      upstreamMs: fc.option(fc.double()),
      bytesIn: fc.double(),
      bytesOut: fc.double(),
      cost: fc.double(),
      method: fc.string({ maxLength: 100 }),
      route: fc.option(fc.string({ maxLength: 3_000 })),
      upstream: fc.option(fc.string({ maxLength: 3_000 })),
      requestId: fc.string({ maxLength: 100 }),
      clientIp: fc.option(fc.oneof(fc.string(), fc.ipV4(), fc.ipV6())),
      userAgent: fc.option(fc.string()),
      status: fc.integer({ min: 100, max: 599 }),
      tokenId: fc.option(fc.string({ maxLength: 100 })),
    });
    fc.assert(
      fc.property(wild, (changes) => {
        const event = makeEvent({ ...FACTS, ...changes });
        expect(parseBatch(structuredClone(usageBatch([event], NOW)), NOW)).toMatchObject({ ok: true });
      }),
      { numRuns: 500 },
    );
  });

  test("of a key is what it was before there were tokens, to the byte", () => {
    const tail = FACTS.requestId.slice("req_".length);
    expect(JSON.stringify(makeEvent(FACTS))).toBe(
      `{"id":"evt_${tail}","requestId":"req_${tail}","time":${NOW},"workspace":"team","keyId":"key_1","lineageId":"lin_1",` +
        `"owner":"acme","environment":"live","method":"GET","upstream":"demo","route":"/reports/*","status":200,"code":"allowed",` +
        `"cost":5,"latencyMs":12,"authMs":0,"upstreamMs":12,"bytesIn":0,"bytesOut":120,"country":"DE","asn":64500,"colo":"FRA",` +
        `"clientIp":"203.0.113.0/24","userAgentFamily":"curl","degraded":false}`,
    );
    // Neither on the way as JSON nor as a structured clone.
    expect(Object.keys(makeEvent(FACTS)).filter((name) => name.includes("oken"))).toEqual([]);
  });

  test("names the token that was used, and the one that an exchange came to", () => {
    const used = makeEvent({ ...FACTS, tokenId: TOKEN_ID });
    expect(used).toEqual({ ...makeEvent(FACTS), tokenId: TOKEN_ID });
    const exchanged = makeEvent({ ...FACTS, mintedTokenId: TOKEN_ID });
    expect(exchanged).toEqual({ ...makeEvent(FACTS), mintedTokenId: TOKEN_ID });
    expect(toCloudEvent(used, "/x").data).toMatchObject({ keyId: "key_1", tokenId: TOKEN_ID });
    expect(parseBatch(usageBatch([used, exchanged, makeEvent(FACTS)], NOW), NOW).ok).toBe(true);
  });

  test("as a CloudEvent has the required attributes and its time as RFC 3339", () => {
    const event = makeEvent(FACTS);
    const cloudEvent = toCloudEvent(event, "https://api.example.com/_latchkey");
    expect(cloudEvent).toMatchObject({
      specversion: "1.0",
      id: event.id,
      source: "https://api.example.com/_latchkey",
      type: "dev.latchkey.request.v1",
      subject: "key_1",
      time: "2026-11-23T12:00:00.000Z",
      datacontenttype: "application/json",
      data: {
        time: "2026-11-23T12:00:00.000Z",
        cost: 5,
        latencyMs: 12,
        clientIp: "203.0.113.0/24",
        userAgentFamily: "curl",
      },
    });
    expect(cloudEvent.data).not.toHaveProperty("id");
    expect(toCloudEvent(strangerEvent(NOW), "/x")).not.toHaveProperty("subject");
    for (const name of Object.keys(cloudEvent)) expect(name).toMatch(/^[a-z0-9]{1,20}$/);
  });
});

describe("a batch from the queue", () => {
  test("that is not one is refused, and never throws", () => {
    fc.assert(
      fc.property(fc.anything(), (body) => {
        expect(parseBatch(body, NOW).ok).toBe(false);
      }),
    );
  });

  test("with one field of one event wrong is refused whole", () => {
    const good = usageBatch([usageEvent({ time: NOW }), usageEvent({ time: NOW })], NOW);
    expect(parseBatch(good, NOW).ok).toBe(true);
    const wrong: readonly Partial<Record<keyof UsageEvent, unknown>>[] = [
      { id: 1 },
      { time: -1 },
      { time: 1.5 },
      { workspace: "" },
      { workspace: "a/b" },
      { keyId: undefined },
      { environment: "prod" },
      { status: "200" },
      { code: "DROP TABLE" },
      { cost: 0.5 },
      { cost: Number.NaN },
      { bytesIn: 2e12 },
      { route: "x".repeat(1_025) },
      { degraded: 0 },
      { tokenId: null },
      { tokenId: 7 },
      { tokenId: "t".repeat(65) },
      { mintedTokenId: {} },
      { mintedTokenId: "t".repeat(65) },
    ];
    for (const change of wrong) {
      const events = [usageEvent({ time: NOW }), { ...usageEvent({ time: NOW }), ...change }];
      expect(parseBatch({ ...good, events }, NOW), JSON.stringify(change)).toEqual({
        ok: false,
        error: "event_invalid",
      });
    }
  });

  test("that the ledger may have forgotten is not counted", () => {
    const batch = usageBatch([usageEvent({ time: NOW })], NOW);
    expect(parseBatch(batch, NOW + 9.9 * 86_400_000).ok).toBe(true);
    expect(parseBatch(batch, NOW + 10.1 * 86_400_000)).toEqual({ ok: false, error: "batch_forgotten" });
    expect(parseBatch(batch, NOW - 2 * 3_600_000)).toEqual({ ok: false, error: "batch_invalid" });
  });

  test("splits alike each time, every event into exactly one ledger", () => {
    const events = [
      usageEvent({ time: NOW, workspace: "a" }),
      usageEvent({ time: NOW, workspace: "b" }),
      strangerEvent(NOW),
    ];
    const parts = splitByLedger({ events });
    expect([...parts.keys()]).toEqual(["a/0", "b/0", "default/0"]);
    expect([...parts.values()].flatMap((part) => part.events)).toEqual(events);
  });

  test("with several shards, keys of one lineage stay together and lineages spread", () => {
    const shards = Array.from({ length: 4_000 }, () => ledgerShard(newId("lin_", NOW), 4));
    expect(new Set(shards)).toEqual(new Set(["0", "1", "2", "3"]));
    for (const shard of ["0", "1", "2", "3"]) expect(shards.filter((of) => of === shard).length).toBeGreaterThan(800);
    expect(ledgerShard("lin_x", 4)).toBe(ledgerShard("lin_x", 4));
  });
});

describe("the client's address in an event", () => {
  test("truncated keeps /24 and /48, and nothing of what is no address", () => {
    const cases: readonly (readonly [string | null, string | null])[] = [
      ["203.0.113.77", "203.0.113.0/24"],
      ["::ffff:203.0.113.77", "203.0.113.0/24"],
      ["2001:db8:85a3:8d3:1319:8a2e:370:7348", "2001:db8:85a3::/48"],
      ["2001:db8::1", "2001:db8:0::/48"],
      ["::1", "0:0:0::/48"],
      ["999.1.1.1", null],
      ["203.0.113.77, 10.0.0.1", null],
      ["lk_live_something", null],
      ["", null],
      [null, null],
    ];
    for (const [address, expected] of cases)
      expect(clientIpForEvent(address, "truncated", null), String(address)).toBe(expected);
  });

  test("truncated never holds the host part, for any address", () => {
    fc.assert(
      fc.property(fc.ipV4(), (address) => {
        expect(clientIpForEvent(address, "truncated", null)).toBe(`${address.split(".").slice(0, 3).join(".")}.0/24`);
      }),
    );
  });

  test("hashed is equal for equal addresses, different under another secret, and absent without one", () => {
    const hash = (address: string, salt: string | null) => clientIpForEvent(address, "hashed", salt);
    expect(hash("203.0.113.77", "s1")).toBe(hash("::ffff:203.0.113.77", "s1"));
    expect(hash("2001:db8::1", "s1")).toBe(hash("2001:0db8:0:0::1", "s1"));
    expect(hash("203.0.113.77", "s1")).not.toBe(hash("203.0.113.78", "s1"));
    expect(hash("203.0.113.77", "s1")).not.toBe(hash("203.0.113.77", "s2"));
    expect(hash("203.0.113.77", null)).toBeNull();
    expect(ipSaltFrom({ eventSalt: undefined, rootToken: undefined })).toBeNull();
    expect(ipSaltFrom({ eventSalt: "own", rootToken: "root" })).toBe("own");
    expect(ipSaltFrom({ eventSalt: "", rootToken: "root" })).not.toContain("root");
  });

  test("whole is whole, in one spelling", () => {
    expect(clientIpForEvent("2001:0DB8:0:0::1", "whole", null)).toBe("2001:db8::1");
  });
});

describe("the user agent in an event", () => {
  test("is one of few families, never the header", () => {
    expect(
      userAgentFamily(
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36",
      ),
    ).toBe("chrome");
    expect(
      userAgentFamily("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/131.0 Safari/537.36 Edg/131.0"),
    ).toBe("edge");
    expect(userAgentFamily("python-requests/2.32")).toBe("python-requests");
    expect(userAgentFamily("Jane Doe's private tool")).toBe("other");
    expect(userAgentFamily(null)).toBeNull();
    const families = new Set<string | null>();
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 900 }), (header) => {
        families.add(userAgentFamily(header));
      }),
      { numRuns: 1_000 },
    );
    expect(families.size).toBeLessThan(40);
  });
});
