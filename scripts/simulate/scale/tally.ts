import { PRICE_SHEET, type Units } from "../../../src/usage/price-sheet.ts";
import type { Limit } from "../../../src/limits/limit.ts";
import { windowAt } from "../../../src/limits/window.ts";
import type { ObjectHost } from "../platform/objects.ts";
import type { World } from "../platform/world.ts";

/** What a large scenario counts, from the moment that it has settled. */

/** How a request was served: without waiting; waiting, in an isolate that knew the key; waiting in one that did not. */
export type Service = "warm" | "asked" | "cold";

export class Tally {
  readonly served: Record<Service, number> = { warm: 0, asked: 0, cold: 0 };
  readonly waits: Record<"asked" | "cold", number[]> = { asked: [], cold: [] };
  refused = 0;
  unavailable = 0;
  /** Units admitted by window start, of the one limit that a scenario watches. */
  readonly admittedByWindow = new Map<number, number>();
  readonly #limit: Limit | null;
  #windowEnd = 0;
  #windowStart = 0;
  #inWindow = 0;
  isCounting = false;

  constructor(limit: Limit | null) {
    this.#limit = limit;
  }

  get requests(): number {
    return this.served.warm + this.served.asked + this.served.cold;
  }

  wait(service: "asked" | "cold", ms: number): void {
    if (!this.isCounting) return;
    this.served[service]++;
    this.waits[service].push(ms);
  }

  /** One unit. Every admission is counted, from the first on: a limit holds before the scenario has settled, too. */
  admit(now: number): void {
    if (this.#limit === null) return;
    if (now >= this.#windowEnd || now < this.#windowStart) this.#turn(now);
    this.#inWindow++;
  }

  /** Windows that lie between the two moments, with what was admitted in them. */
  windowsWithin(from: number, to: number): { readonly start: number; readonly admitted: number }[] {
    const limit = this.#limit;
    if (limit === null) return [];
    this.#turn(to);
    return [...this.admittedByWindow]
      .map(([start, admitted]) => ({ start, admitted }))
      .filter(({ start }) => start >= from && windowAt(limit.window, start).end <= to);
  }

  #turn(now: number): void {
    if (this.#limit === null) return;
    if (this.#windowEnd > 0) {
      this.admittedByWindow.set(
        this.#windowStart,
        (this.admittedByWindow.get(this.#windowStart) ?? 0) + this.#inWindow,
      );
    }
    const { start, end } = windowAt(this.#limit.window, now);
    this.#windowStart = start;
    this.#windowEnd = end;
    this.#inWindow = 0;
  }
}

export interface ObjectLoad {
  readonly objects: number;
  readonly calls: number;
  readonly maxCallsPerSecond: number;
  readonly rowsWritten: number;
  readonly busySeconds: number;
}

export function loadOf(world: World, binding: string, measuredMs: number): ObjectLoad {
  const hosts = world.objects.ofBinding(binding).filter(({ calls }) => calls > 0);
  const sum = (of: (host: (typeof hosts)[number]) => number): number =>
    hosts.reduce((total, host) => total + of(host), 0);
  return {
    objects: hosts.length,
    calls: sum(({ calls }) => calls),
    maxCallsPerSecond: hosts.reduce((most, host) => Math.max(most, perSecond(host, measuredMs)), 0),
    rowsWritten: sum(({ storage }) => storage.rowsWritten),
    busySeconds: sum(({ busyMs }) => busyMs) / 1_000,
  };
}

/** The most in one second; where less than that was measured, at the rate that was seen. */
function perSecond({ calls, maxCallsPerSecond }: ObjectHost, measuredMs: number): number {
  return measuredMs < 1_000 ? Math.round((calls * 1_000) / measuredMs) : maxCallsPerSecond;
}

/** The part of the bill that a topology decides: KV, objects, rows. The request, its CPU, queue and logs are the same for all. */
export function usdPerMillion(requests: number, units: Units): number {
  let usd = 0;
  for (const [unit, { usdPerMillion: price }] of Object.entries(PRICE_SHEET)) {
    // The price sheet has the units' names.
    usd += (units[unit as keyof Units] ?? 0) * price;
  }
  return requests === 0 ? 0 : usd / requests;
}

/** The value that `share` of them do not exceed. Sorts in place. */
export function quantile(values: number[], share: number): number {
  if (values.length === 0) return Number.NaN;
  values.sort((a, b) => a - b);
  return values[Math.min(values.length - 1, Math.floor(share * values.length))] ?? Number.NaN;
}
