import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { GatewayConfig } from "../../src/config.ts";
import { dollars, duration, milliseconds, percent, relative, short, whole } from "../../src/dashboard/format.ts";
import { pageUrl, safeReturn } from "../../src/dashboard/paths.ts";
import { roleFor } from "../../src/dashboard/session/access.ts";
import { seal, unseal } from "../../src/dashboard/session/seal.ts";
import { cookieSeconds, isSessionOver } from "../../src/dashboard/session/session.ts";
import { bucketStarts, readTimeRange } from "../../src/dashboard/time-range.ts";
import { authSuccess, budgetUsed, sumBy } from "../../src/dashboard/usage-sums.ts";
import type { UsageRow } from "../../src/dashboard/usage-sums.ts";
import { Runbook } from "../../src/dashboard/view/runbook.tsx";
import { checkConfig } from "../../src/gateway/config-check.ts";

/** The parts of the pages that are functions of their input. */

const NOW = Date.UTC(2026, 10, 24, 4, 10, 30);

describe("numbers", () => {
  test("are written as people read them", () => {
    expect([whole(1_234_567), short(9_999), short(12_345), short(3_400_000)]).toEqual([
      "1,234,567",
      "9,999",
      "12.3K",
      "3.4M",
    ]);
    expect([
      milliseconds(0.34),
      milliseconds(4.23),
      milliseconds(340),
      milliseconds(1_350),
      milliseconds(null),
    ]).toEqual(["340 µs", "4.2 ms", "340 ms", "1.35 s", "–"]);
    expect([dollars("0"), dollars("0.004120000"), dollars("12.5")]).toEqual(["$0", "$0.0041", "$12.50"]);
    expect([duration(45), duration(725), duration(5 * 3_600), duration(86_400 * 3 + 7_200)]).toEqual([
      "45 s",
      "12 min 5 s",
      "5 h",
      "3 d 2 h",
    ]);
    expect([relative(NOW - 245_000, NOW), relative(NOW + 3 * 86_400_000, NOW), relative(NOW, NOW)]).toEqual([
      "4 min ago",
      "in 3 d",
      "now",
    ]);
  });

  test("a share is never rounded to all or nothing unless it is", () => {
    expect([percent(1), percent(0), percent(0.999_999_9), percent(0.000_000_1), percent(0.5)]).toEqual([
      "100 %",
      "0 %",
      ">99.99 %",
      "<0.01 %",
      "50 %",
    ]);
  });
});

describe("the time range of a page", () => {
  const read = (query: string) => readTimeRange(new URLSearchParams(query), NOW);

  test("stands in its address, and is the usual one for what cannot be read", () => {
    expect(read("range=7d")).toMatchObject({ preset: "7d", from: NOW - 7 * 86_400_000, to: NOW, granularity: "hour" });
    expect(read("from=2026-11-01T00:00:00Z&to=2026-11-02T00:00:00Z")).toMatchObject({
      preset: null,
      granularity: "hour",
    });
    for (const nonsense of [
      "",
      "range=9y",
      "from=yesterday",
      "from=2026-11-02T00:00Z&to=2026-11-01T00:00Z",
      "from=1900-01-01T00:00Z",
    ]) {
      expect(read(nonsense), nonsense).toMatchObject({ preset: "24h", from: NOW - 86_400_000 });
    }
  });

  test("has every bucket of it, and not too many", () => {
    fc.assert(
      fc.property(fc.integer({ min: 60_000, max: 800 * 86_400_000 }), (ms) => {
        const from = new Date(NOW - ms).toISOString();
        const starts = bucketStarts(readTimeRange(new URLSearchParams({ from }), NOW));
        const [first = 0] = starts;
        expect(first).toBeLessThanOrEqual(NOW - ms);
        expect(starts.at(-1)).toBeLessThan(NOW);
        expect(starts.length).toBeLessThanOrEqual(802);
      }),
    );
  });
});

describe("addresses", () => {
  test("are written with what they are given, whatever it is", () => {
    expect(pageUrl("keys/a b/ü", { q: "x&y", empty: "", none: null })).toBe("/_latchkey/keys/a%20b/%C3%BC?q=x%26y");
  });

  test.each([
    "https://evil.test/_latchkey/",
    "//evil.test/_latchkey/",
    String.raw`/\evil.test/_latchkey/`,
    String.raw`/_latchkey/\..\..\evil`,
    "/_latchkey/../charges",
    "javascript:alert(1)",
    "/elsewhere",
    "/_latchkey/\tx",
  ])("to come back to are pages, never %j", (text) => {
    expect(safeReturn(text)).toBe("/_latchkey/");
  });

  test("to come back to keep their filters", () => {
    expect(safeReturn("/_latchkey/keys?status=active")).toBe("/_latchkey/keys?status=active");
  });
});

describe("a session", () => {
  const secrets = { LATCHKEY_TOKEN_SECRET: "s".repeat(40) };

  test("is over after 30 minutes without use and 8 hours in all", () => {
    const at = (seenAt: number, now: number) => isSessionOver({ signedInAt: 0, seenAt }, now);
    expect([at(0, 1_799), at(0, 1_800), at(28_000, 28_799), at(28_000, 28_800)]).toEqual([false, true, false, true]);
    expect(cookieSeconds({ signedInAt: 0 }, 28_000)).toBe(800);
  });

  test("opens for the purpose and by the secret that sealed it, and the one before", async () => {
    const sealed = (await seal({ v: 1 }, "session", secrets)) ?? "";
    expect(await unseal(sealed, "session", secrets)).toEqual({ v: 1 });
    expect(await unseal(sealed, "portal-session", secrets)).toBeNull();
    const next = {
      LATCHKEY_TOKEN_SECRET: "n".repeat(40),
      LATCHKEY_TOKEN_SECRET_PREVIOUS: secrets.LATCHKEY_TOKEN_SECRET,
    };
    expect(await unseal(sealed, "session", next)).toEqual({ v: 1 });
    expect(await unseal(sealed, "session", { LATCHKEY_TOKEN_SECRET: "n".repeat(40) })).toBeNull();
    for (const secret of [undefined, "short"])
      expect(await seal({ v: 1 }, "session", { LATCHKEY_TOKEN_SECRET: secret })).toBeNull();
  });
});

describe("roles of who comes through Access", () => {
  const roles = [
    { emails: ["Boss@Example.com"], scopes: ["admin:*"] },
    { groups: ["sre"], workspace: "ops", scopes: ["keys:read"] },
    { emailDomain: "example.com", scopes: ["usage:read"] },
  ] as const;

  test("the first that fits holds, and who fits none has none", () => {
    expect(roleFor(roles, "boss@example.com", [])).toBe(roles[0]);
    expect(roleFor(roles, "x@elsewhere.test", ["sre"])).toBe(roles[1]);
    expect(roleFor(roles, "X@EXAMPLE.COM", [])).toBe(roles[2]);
    for (const email of ["x@example.com.evil.test", "x@sub.example.com", "example.com", "x@example.com@evil.test"])
      expect(roleFor(roles, email, []), email).toBeNull();
  });

  test("are checked with the configuration", () => {
    const check = (dashboard: unknown) => {
      const config = { upstreams: { a: { url: "https://a.test" } }, dashboard } as GatewayConfig; // may come from anywhere
      return checkConfig(config, {}).map(({ place }) => place);
    };
    const access = { teamDomain: "acme.cloudflareaccess.com", audience: "abc", roles };
    expect(check({ access })).toEqual([]);
    expect(check(false)).toEqual([]);
    expect(check({ access: { ...access, teamDomain: "https://acme" } })).toEqual(["dashboard.access.teamDomain"]);
    expect(check({ access: { ...access, roles: [] } })).toEqual(["dashboard.access.roles"]);
    expect(check({ access: { ...access, roles: [{ scopes: ["keys:read"] }] } })).toEqual(["dashboard.access.roles[0]"]);
    expect(check({ access: { ...access, roles: [{ emails: ["a@b"], scopes: ["charges:read"] }] } })).toEqual([
      "dashboard.access.roles[0].scopes[0]",
    ]);
    expect(check({ acces: access })).toEqual(["dashboard"]);
  });
});

describe("sums", () => {
  const row = (code: string, requests: number): UsageRow => ({
    start: "2026-11-24T04:00:00.000Z",
    code,
    requests,
    allowed: code === "allowed" ? requests : 0,
    refused: code === "allowed" ? 0 : requests,
    cost: requests,
    bytesIn: 0,
    bytesOut: 0,
    averageLatencyMs: 1,
    estimatedCostUsd: "0.000001000",
  });

  test("clients' own mistakes are no failure of authentication; what could not be decided is", () => {
    const sums = sumBy(
      [row("allowed", 900), row("key_invalid", 99), row("verification_unavailable", 1), row("allowed", 0)],
      "code",
    );
    expect(sums[0]).toMatchObject({ group: "allowed", requests: 900 });
    expect(authSuccess(sums)).toBe(0.999);
    expect(budgetUsed(0.999, 0.999)).toBeCloseTo(1);
    expect(authSuccess([])).toBeNull();
  });
});

describe("an alert's page", () => {
  test("links to the runbook of its kind where there is an address of runbooks", async () => {
    const shown = String(await Runbook({ place: "https://wiki.example.com/operations?a=1&b=2#alert-spike" }));
    expect(shown).toContain('<a href="https://wiki.example.com/operations?a=1&amp;b=2#alert-spike">');
  });

  test.each(["docs/operations.md#alert-spike", "javascript:alert(1)#alert-spike"])(
    "names %s and does not link to it",
    async (place) => {
      const shown = String(await Runbook({ place }));
      expect(shown).toContain(`<code>${place}</code>`);
      expect(shown).not.toContain("<a ");
    },
  );
});
