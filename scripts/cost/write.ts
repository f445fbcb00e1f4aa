import { writeFile } from "node:fs/promises";
import path from "node:path";
import { OBJECT_GB, PLAN_USD_PER_MONTH, PRICE_SHEET, PRICES_READ_ON } from "../../src/usage/price-sheet.ts";
import { ROOT } from "../local/bundle.ts";
import { describeMachine } from "../report/machine.ts";
import { markdownTable, targetRows } from "../report/table.ts";
import type { Rows, Target } from "../report/table.ts";
import { fitHalfCold } from "./fit.ts";
import { CALL_MS, WAIT_MS } from "./measure.ts";
import { billRows, boundOf, breakdownRows, objectRows } from "./report.ts";
import { referenceRow } from "./results.ts";
import type { Row } from "./results.ts";
import type { Measured } from "./run.ts";
import { COLD_PERIOD_SECONDS, MONTH_SECONDS, REFERENCE_REQUESTS_PER_MONTH, SHAPES, VOLUMES } from "./shapes.ts";

/** What `--write` keeps of a run: docs/cost.md for readers, and the prices behind the estimates of `GET /usage`. */

export interface Written {
  readonly measured: Measured;
  readonly rows: readonly Row[];
  readonly targets: readonly Target[];
  readonly seed: number;
  readonly keys: number;
}

export async function writeCost(written: Written): Promise<void> {
  const date = new Date().toISOString().slice(0, 10);
  const estimate = estimateFrom(written);
  await writeFile(path.join(ROOT, "docs/cost.md"), pageOf(written, date, estimate));
  await writeFile(path.join(ROOT, "src/usage/measured-cost.ts"), moduleOf(estimate, date));
}

interface Estimate {
  readonly warmNanoUsd: number;
  readonly coldExtraNanoUsd: number;
  readonly halfColdPerMinute: number;
}

/** Dollars per million are micro-dollars per request: a thousand nano-dollars each. */
function estimateFrom({ rows, keys }: Written): Estimate {
  const [hot, zipf, cold] = (["hot", "zipf", "cold"] as const).map((name) => referenceRow(rows, name).usdPerMillion);
  if (hot === undefined || zipf === undefined || cold === undefined) throw new RangeError("a shape is missing");
  const share = Math.min(1, Math.max(0, (zipf - hot) / (cold - hot)));
  const perMinute = (REFERENCE_REQUESTS_PER_MONTH / MONTH_SECONDS) * 60;
  const weights = Array.from({ length: keys }, (_, index) => 1 / (index + 1));
  const all = weights.reduce((sum, weight) => sum + weight, 0);
  return {
    warmNanoUsd: Math.round(hot * 1_000),
    coldExtraNanoUsd: Math.round(Math.max(0, cold - hot) * 1_000),
    halfColdPerMinute: fitHalfCold(
      weights.map((weight) => (perMinute * weight) / all),
      share,
    ),
  };
}

function moduleOf({ warmNanoUsd, coldExtraNanoUsd, halfColdPerMinute }: Estimate, date: string): string {
  return `/** Written by \`npm run cost -- --write\`, out of a run; docs/cost.md says how it was measured. Nano-dollars are 10⁻⁹ US dollars. */
export const MEASURED_COST = {
  measuredOn: "${date}",
  /** A request of a key that is busy: it is admitted on a lease that is there. */
  warmNanoUsd: ${grouped(warmNanoUsd)},
  /** What a request of a key that was quiet costs on top. */
  coldExtraNanoUsd: ${grouped(coldExtraNanoUsd)},
  /** With so many requests of a key a minute, half of them are as dear as those of a quiet key. */
  halfColdPerMinute: ${grouped(halfColdPerMinute)},
} as const;
`;
}

function grouped(value: number): string {
  return value.toLocaleString("en-US").replaceAll(",", "_");
}

function pageOf(written: Written, date: string, estimate: Estimate): string {
  const { measured, rows, targets, seed, keys } = written;
  const { cpu, cores, memoryGib, system, node } = describeMachine();
  const { requestsPerMonth: least } = VOLUMES[0] ?? { requestsPerMonth: 0 };
  return `# What a million requests cost

Written by \`npm run cost -- --write\` on ${date}, seed ${seed}, ${keys.toLocaleString("en-US")} keys. Machine: ${cpu}, ${cores} cores, ${memoryGib} GiB, ${system}, Node ${node}.
The counts do not depend on the machine; the processor time does.

${markdownTable(targetRows(targets))}

## The bill

$/million is the marginal price: what a million more requests cost once everything that the plan includes is used up. The bill has the
plan's $${PLAN_USD_PER_MONTH} and what it includes. *naive* is a gateway that reads KV, calls a Durable Object, writes a row and sends a queue message for each request.

${markdownTable(billRows(rows))}

Requests come at random moments at a flat rate; ${volumeRates()}. Traffic is spread evenly over the isolates, which stand in two locations by turns.
${SHAPES.map(({ name, about }) => `* **${name}**: ${about}.`).join("\n")}

The targets are for 1 B a month. At ${(least / 1e6).toFixed(0)} M there are fewer requests to a lease, to a queue message and to a row, so that a request costs more, of a bill that is small.

## Where it goes, at 1 B a month

${SHAPES.map(({ name }) => `* **${name}**: ${boundOf(referenceRow(rows, name))}`).join("\n")}

${markdownTable(breakdownRows(rows))}

By object, per 1,000 requests:

${markdownTable(objectRows(measured.cases))}

## What bounds it

* **zipf and cold: the meter's row.** What a meter grants must be in storage before the answer leaves: an object that is idle for 10 s may lose its memory, and a limit must not forget what was used. A key that is used every few seconds
  at a location is granted units for its next uses, which its broker keeps, and pays a row for many of them; one that is used less often pays a row for each use, in *cold* for all.
* **zipf: calls.** A lease stands for 4.5 s, so that a revoked key stops within 5 s everywhere. Whoever uses a key less often than that asks again, at a broker and mostly at the meter too; a broker renews what will be used again.
* **cold: the read of KV** for a record that nobody near has, and the two calls.
* What would write less, and is not built: a grant of a few units in each of the next windows, written once an hour, which a broker spends with no more than a question whether the key still stands. It would leave that part of a limit unused
  wherever a broker dies or a key moves, and it does nothing for a key that is used once an hour.

## How it is counted

* **Counted**: the shipped Worker runs on workerd, as several real isolates over one set of objects, KV and queue. Counted are the gateway's requests and the
  queue consumer's runs (each is taken for a billed request), KV operations, calls of objects and alarms, rows as the platform's own cursors
  report them plus one for each \`setAlarm\`, queue messages (an operation for each 64 KB written, read and deleted), and log lines. The isolates' clocks run faster or slower than the
  machine's, so that each volume is run at its own rate per key and isolate: leases, batches and minutes see the traffic that they would see.
* **DO GB-s**: an object is charged for ${OBJECT_GB} GB while a call is in it and while it cannot hibernate, not while it idles. Pending timers are counted as they
  run. A call to an idle object is taken for ${CALL_MS} ms, and a call from one object to another for ${WAIT_MS} ms of waiting: assumed, on the high side.
* **Derived**: the deletion of rows that the run left in the ledger (a row each), hour and day sums and their deletion, and the hourly reconciliation with each
  key's meter, from the number of different keys in an hour and a day. 10 B a month: the units per request of 1 B, with ten times the isolates at the same rate each.
* **CPU**: ${measured.cpu.source}. ${measured.cpu.warmMs.toFixed(2)} ms on a warm isolate, ${measured.cpu.coldMs.toFixed(2)} ms for a request that asks for a lease, ${measured.cpu.naiveMs.toFixed(2)} ms naive.
* **Logs**: Latchkey's own lines (1 % of requests) alone. The platform's line per invocation is a log event more: switch it off with \`invocation_logs = false\`. The naive gateway has it.
* **Not counted**: storage (10,000 keys are below what is included), the control API, the origin, Logpush.

## Prices

Workers Paid, read on ${PRICES_READ_ON} under developers.cloudflare.com; \`src/usage/price-sheet.ts\`.

${markdownTable(priceRows())}

## Cost per key and per owner

\`GET /_latchkey/v1/usage\` has \`estimatedCostUsd\` for each row and in \`totals\`: US dollars at the marginal price, a text with nine decimals. A row of \`r\` requests in a bucket is priced as
\`r × ${estimate.warmNanoUsd} + floor(r × C ÷ (r + C)) × ${estimate.coldExtraNanoUsd}\` nano-dollars, with \`C\` = ${estimate.halfColdPerMinute} for each minute of the bucket, for each key, route, status, code and country apart. The two prices are
those of *hot* and *cold* above; \`C\` is fitted so that *zipf* comes out as counted. It is an estimate: a key's share of what is
shared, not a line of the bill. \`npm run cost -- --write\` renews it.
`;
}

function volumeRates(): string {
  return VOLUMES.map(
    ({ requestsPerMonth, isolates }) =>
      `${requestsPerMonth / 1e6} M a month are ${(requestsPerMonth / MONTH_SECONDS).toFixed(1)} a second over ${isolates} isolates`,
  )
    .join(", ")
    .concat(`. A cold key asks once in ${COLD_PERIOD_SECONDS} s`);
}

function priceRows(): Rows {
  return [
    ["unit", "$/million", "included a month", "page"],
    ...Object.values(PRICE_SHEET).map(({ label, usdPerMillion, included, source }) => [
      label,
      String(usdPerMillion),
      included.toLocaleString("en-US"),
      source,
    ]),
  ];
}
