import { readFileSync } from "node:fs";
import path from "node:path";
import { Webhook } from "standardwebhooks";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BURN_RULES, burnOver, findBurn } from "../../src/alerts/burn-rate.ts";
import type { BurnCount } from "../../src/alerts/burn-rate.ts";
import { formatWebhook } from "../../src/alerts/channels/webhook.ts";
import { ALERT_KINDS, runbookAnchorOf } from "../../src/alerts/kinds.ts";
import type { AlertKind } from "../../src/alerts/kinds.ts";
import { MAX_ATTEMPTS, nextAttemptAt } from "../../src/alerts/retry.ts";
import { checkTarget } from "../../src/alerts/target.ts";
import { FINDING_KINDS } from "../../src/detection/finding.ts";
import { ALERTS_START as START, ONE_WEBHOOK, condition } from "../support/alert-makers.ts";
import { AlertWorld } from "../support/alert-world.ts";

describe("kinds", () => {
  const operations = readFileSync(path.resolve(import.meta.dirname, "../../docs/operations.md"), "utf8");

  test.each(Object.keys(ALERT_KINDS) as AlertKind[])("%s has a runbook under the anchor that messages name", (kind) => {
    const heading = operations.split("\n").find((line) => line === `### Alert ${kind}`);
    expect(heading).toBeDefined();
    // As GitHub makes anchors of headings.
    const anchor = (heading ?? "").slice(4).toLowerCase().replaceAll(" ", "-");
    expect(anchor).toBe(runbookAnchorOf(kind));
    const runbook = operations.split(`### Alert ${kind}\n`)[1]?.split("\n### ")[0] ?? "";
    expect(runbook.trim().length).toBeGreaterThan(100);
  });

  test("every finding of a detector is a kind of alert", () => {
    expect(FINDING_KINDS.filter((kind) => !Object.hasOwn(ALERT_KINDS, kind))).toEqual([]);
  });
});

describe("burn rate", () => {
  const NOW = 1_800_000_000;
  const HOUR = 3_600;
  /** One count a minute for `minutes` until now, with `share` of `total` bad. */
  const steady = (minutes: number, share: number, total = 1_000): BurnCount[] =>
    Array.from({ length: minutes }, (_, index) => ({
      start: NOW - index * 60,
      good: total - Math.round(total * share),
      bad: Math.round(total * share),
    }));
  const burn = (counts: readonly BurnCount[], objective = 0.999) => findBurn({ objective, counts, now: NOW });

  test.each([
    ["2 % bad for an hour", "page", HOUR, () => steady(61, 0.02)],
    ["0.7 % bad for six hours", "page", 6 * HOUR, () => steady(361, 0.007)],
    ["0.4 % bad for a day", "ticket", 24 * HOUR, () => steady(1_441, 0.004)],
    ["0.11 % bad for three days", "ticket", 72 * HOUR, () => steady(4_321, 0.0011, 10_000)],
  ] as const)("%s is a %s, by the rule for %i s", (_name, severity, longSeconds, series) => {
    expect(burn(series())).toMatchObject({ severity, longSeconds });
  });

  test.each([
    ["all is well", steady(4_321, 0)],
    ["half of the budget is spent", steady(4_321, 0.0004, 10_000)],
    ["nothing happens at all", []],
    ["it was bad for an hour, and has been well for ten minutes", [...steady(70, 0.03).slice(10), ...steady(10, 0)]],
    ["one of two requests fails", [{ start: NOW, good: 1, bad: 1 }]],
    ["nine requests fail, and no other comes", [{ start: NOW, good: 0, bad: 9 }]],
  ] as const)("is silent where %s", (_name, counts) => {
    const page = findBurn({ objective: 0.999, counts, now: NOW }, BURN_RULES.slice(0, 1));
    expect(page).toBeNull();
    if (!_name.startsWith("it was bad")) expect(burn(counts)).toBeNull();
  });

  test("is the share of bad ones over the share that may be bad, whatever the order and the pieces", () => {
    const counts = fc.array(
      fc.record({ start: fc.integer({ min: NOW - 7_200, max: NOW }), good: fc.nat(1_000), bad: fc.nat(1_000) }),
      { minLength: 1, maxLength: 50 },
    );
    fc.assert(
      fc.property(counts, (series) => {
        const inside = series.filter(({ start }) => start > NOW - HOUR);
        const bad = inside.reduce((sum, of) => sum + of.bad, 0);
        const total = bad + inside.reduce((sum, of) => sum + of.good, 0);
        const found = burnOver({ objective: 0.99, counts: series.toReversed(), now: NOW }, HOUR);
        expect(found.rate).toBeCloseTo(total === 0 ? 0 : bad / total / 0.01, 6);
      }),
    );
  });

  test("never falls silent because more goes bad", () => {
    const rank = (severity: string | undefined): number => ["page", "ticket", undefined].indexOf(severity);
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 0.5, noNaN: true }),
        fc.double({ min: 0, max: 0.5, noNaN: true }),
        (a, b) => {
          const [less, more] = [Math.min(a, b), Math.max(a, b)];
          const severities = [less, more].map((share) => burn(steady(400, share, 10_000))?.severity);
          expect(rank(severities[1])).toBeLessThanOrEqual(rank(severities[0]));
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe("where messages may go", () => {
  test.each([
    "https://hooks.example.com/services/a/b?c=d",
    "https://hooks.example.com:8443/",
    "https://203.0.114.1/",
    "https://[2606:4700::1]/",
    "https://xn--bcher-kva.example/",
  ])("%s is allowed", (url) => {
    expect(checkTarget(url, false)).toMatchObject({ ok: true });
  });

  test.each([
    "http://hooks.example.com/",
    "ftp://hooks.example.com/",
    "https://user:secret@hooks.example.com/",
    "https://hooks.example.com/#x",
    "https://hooks.example.com:22/",
    "https://hooks.example.com:6379/",
    "https://localhost/",
    "https://a.localhost/",
    "https://metadata.google.internal/",
    "https://printer.local/",
    "https://router.home.arpa/",
    "https://intranet/",
    "https://localhost./",
    "https://127.0.0.1/",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0177.0.0.1/",
    "https://0.0.0.0/",
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://192.168.1.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.64.0.1/",
    "https://100.100.100.200/",
    "https://198.18.0.1/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://192.0.2.1/",
    "https://[::1]/",
    "https://[::]/",
    "https://[fe80::1]/",
    "https://[fc00::1]/",
    "https://[fd00:ec2::254]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::10.0.0.1]/",
    "https://[64:ff9b::a00:1]/",
    "https://[2002:a00:1::]/",
    "https://[2001:db8::1]/",
    "https://1.2.3.4.5/",
    "https://exa mple.com/",
    "hooks.example.com",
    `https://hooks.example.com/${"a".repeat(3_000)}`,
  ])("%s is refused, without being repeated", (url) => {
    const checked = checkTarget(url, false);
    expect(checked.ok).toBe(false);
    if (!checked.ok) expect(checked.error).not.toContain("example");
  });

  test("this machine is allowed where a variable says so, and nothing else is by it", () => {
    for (const url of ["http://127.0.0.1:4000/x", "http://localhost:4000/", "https://[::1]:4000/"]) {
      expect(checkTarget(url, true).ok).toBe(true);
    }
    for (const url of ["http://10.0.0.1/", "http://hooks.example.com/", "https://169.254.169.254/"]) {
      expect(checkTarget(url, true).ok).toBe(false);
    }
  });
});

describe("attempts", () => {
  test("take about three days in all, each later than the one before, never together", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 20, maxLength: 20 }),
        (draws) => {
          let at = START;
          for (let attempts = 1; attempts < MAX_ATTEMPTS; attempts++) {
            const next = nextAttemptAt(attempts, at, draws[attempts] ?? 0);
            expect(next).toBeGreaterThan(at);
            at = next ?? 0;
          }
          expect(nextAttemptAt(MAX_ATTEMPTS, at, 0)).toBeNull();
          const hours = (at - START) / 3_600_000;
          expect(hours).toBeGreaterThan(70);
          expect(hours).toBeLessThan(90);
        },
      ),
    );
  });

  test("heed Retry-After, up to six hours", () => {
    expect(nextAttemptAt(1, START, 0, 60_000)).toBe(START + 60_000);
    expect(nextAttemptAt(1, START, 0, 1e12)).toBe(START + 6 * 3_600_000);
    expect(nextAttemptAt(5, START, 0, 1)).toBe(START + 2 * 3_600_000);
  });
});

describe("the webhook", () => {
  const secret = (letter: string) => `whsec_${Buffer.from(letter.repeat(32)).toString("base64")}`;
  const variables: Record<string, string> = {
    U: "https://hooks.example.com/",
    OLD: secret("o"),
    NEW: secret("n"),
    BAD: "whsec_short",
  };
  const world = new AlertWorld(ONE_WEBHOOK, START);
  world.report(condition({ summary: "Ünïcode “quotes” and \\ slashes" }));
  world.runUntil(START + 60_000);
  const [message] = world.messages;
  if (message === undefined) throw new Error("nothing was told");
  const format = (...secretsFromEnv: string[]) =>
    formatWebhook(
      message,
      { type: "webhook", urlFromEnv: "U", secretsFromEnv },
      { read: (name) => variables[name], timestamp: Math.floor(Date.now() / 1_000), recipients: [] },
    );

  test("is verified by the library of Standard Webhooks, with either of two secrets while one replaces the other", () => {
    const sent = format("OLD", "NEW");
    if (!sent.ok) throw new Error(sent.error);
    for (const name of ["OLD", "NEW"]) {
      const payload = new Webhook(variables[name] ?? "").verify(sent.value.body, { ...sent.value.headers });
      expect(payload).toMatchObject({ type: "alerts.notify", data: { items: [{ kind: "spike" }] } });
    }
    expect(() => new Webhook(secret("x")).verify(sent.value.body, { ...sent.value.headers })).toThrow();
    expect(() => new Webhook(secret("o")).verify(`${sent.value.body} `, { ...sent.value.headers })).toThrow();
  });

  test("goes with the secret that is there, and not without any, or with a bad one", () => {
    expect(format("MISSING", "NEW").ok).toBe(true);
    expect(format("MISSING")).toEqual({ ok: false, error: "the variable MISSING is not set" });
    expect(format("BAD")).toMatchObject({ ok: false });
    expect(JSON.stringify(format("BAD"))).not.toContain("short");
  });
});
