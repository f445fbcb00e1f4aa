import { describe, expect, test } from "vitest";
import { counters } from "../../src/platform/counters.ts";
import { renderMetrics } from "../../src/usage/metrics-text.ts";
import type { MetricsInput } from "../../src/usage/metrics.ts";
import { metricFamilies } from "../../src/usage/metrics.ts";
import { compareHour, differenceUnits, differing } from "../../src/usage/reconcile.ts";

const INPUT: MetricsInput = {
  workspace: "default",
  ledgers: [
    {
      totals: [
        { code: "allowed", statusClass: 2, requests: 10, cost: 14, degraded: 1, latencyMs: 1_500 },
        { code: "rate_limited", statusClass: 4, requests: 3, cost: 0, degraded: 0, latencyMs: 3 },
        { code: "made_up_by_someone", statusClass: 4, requests: 2, cost: 0, degraded: 0, latencyMs: 0 },
        { code: "another_made_up", statusClass: 4, requests: 2, cost: 0, degraded: 0, latencyMs: 0 },
      ],
      reconciliation: { differenceUnits: 0, lineagesDiffering: 0, unchecked: 0, newestHour: 1_700_000_000_000 },
      sinceStart: { batches: 2, duplicates: 1, events: 13, rowsWritten: 20 },
    },
  ],
  registry: {
    workspace: "default",
    keysByStatus: { active: 4, rotating: 1, disabled: 0, expired: 0, revoked: 2 },
    outboxPending: 0,
    outboxOldestSeconds: 0,
    revocationDelivery: { lastSeconds: 0.02, maxSeconds: null, count: 2 },
    keysIssuedTotal: 7,
  },
  queueBacklog: 0,
  isolate: counters,
};

describe("the metrics page", () => {
  test("is well-formed Prometheus text: each family once, help and type before its samples, a line feed at the end", () => {
    const text = renderMetrics(metricFamilies(INPUT));
    expect(text.endsWith("\n")).toBe(true);
    const seen = new Set<string>();
    let current = "";
    for (const line of text.slice(0, -1).split("\n")) {
      const help = /^# HELP ([a-z_]+) \S/.exec(line);
      if (help !== null) {
        current = String(help[1]);
        expect(seen.has(current)).toBe(false);
        seen.add(current);
        continue;
      }
      const type = /^# TYPE ([a-z_]+) (counter|gauge)$/.exec(line);
      if (type !== null) {
        expect(type[1]).toBe(current);
        expect(current.endsWith("_total")).toBe(type[2] === "counter");
        continue;
      }
      expect(line).toMatch(/^[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? -?[0-9.e+-]+$/);
      expect(line.startsWith(current)).toBe(true);
    }
    expect(seen.size).toBeGreaterThan(25);
  });

  test("shows the isolate's own figures, calls to lease brokers and their failures among them", () => {
    const text = renderMetrics(
      metricFamilies({ ...INPUT, isolate: { ...counters, brokerCalls: 5, brokerFailures: 2 } }),
    );
    expect(text).toContain("\nlatchkey_isolate_broker_calls_total 5\n");
    expect(text).toContain("\nlatchkey_isolate_broker_failures_total 2\n");
  });

  test("shows requests by outcome, cost, refusals and the keys", () => {
    const text = renderMetrics(metricFamilies(INPUT));
    for (const line of [
      `latchkey_requests_total{workspace="default",code="allowed",status_class="2xx"} 10`,
      `latchkey_requests_total{workspace="default",code="rate_limited",status_class="4xx"} 3`,
      `latchkey_requests_allowed_total{workspace="default"} 10`,
      `latchkey_requests_refused_total{workspace="default"} 7`,
      `latchkey_requests_limited_total{workspace="default"} 3`,
      `latchkey_cost_units_total{workspace="default"} 14`,
      `latchkey_keys{workspace="default",status="revoked"} 2`,
      `latchkey_reconciliation_difference_units{workspace="default"} 0`,
      `latchkey_part_up{part="ledger"} 1`,
      `latchkey_isolate_record_hits_total 0`,
    ]) {
      expect(text.split("\n")).toContain(line);
    }
    expect(text).not.toContain("latchkey_revocation_delivery_max_seconds");
  });

  test("folds codes that are not public into one, so that labels stay few", () => {
    const text = renderMetrics(metricFamilies(INPUT));
    expect(text).toContain(`latchkey_requests_total{workspace="default",code="other",status_class="4xx"} 4\n`);
    expect(text).not.toContain("made_up");
  });

  test("says which part did not answer and leaves out its figures", () => {
    const text = renderMetrics(metricFamilies({ ...INPUT, ledgers: null, queueBacklog: null }));
    expect(text).toContain(`latchkey_part_up{part="ledger"} 0\n`);
    expect(text).toContain(`latchkey_part_up{part="queue"} 0\n`);
    expect(text).not.toContain("latchkey_requests_total");
    expect(text).toContain("latchkey_keys_issued_total");
  });

  test("escapes label values and help texts by their own rules", () => {
    const text = renderMetrics([
      {
        name: "m",
        type: "gauge",
        help: 'a "b"\n\\c',
        samples: [{ labels: { l: 'x"y\nz\\' }, value: Infinity }, { value: Number.NaN }],
      },
    ]);
    expect(text).toBe('# HELP m a "b"\\n\\\\c\n# TYPE m gauge\nm{l="x\\"y\\nz\\\\"} +Inf\nm NaN\n');
  });
});

describe("comparing meter and ledger", () => {
  test("finds what either side lacks, and lets no excess hide a lack", () => {
    const compared = compareHour(
      new Map([
        ["lin_b", 3],
        ["lin_c", 4],
      ]),
      new Map([
        ["lin_a", 3],
        ["lin_c", 4],
      ]),
    );
    expect(compared.map(({ lineageId }) => lineageId)).toEqual(["lin_a", "lin_b", "lin_c"]);
    expect(differing(compared)).toEqual([
      { lineageId: "lin_a", meter: 0, ledger: 3 },
      { lineageId: "lin_b", meter: 3, ledger: 0 },
    ]);
    expect(differenceUnits(compared)).toBe(6);
  });
});
