/** Numbers and spans of time as people read them. Pure. */

const WHOLE = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });

/** 12,345 */
export function whole(value: number): string {
  return WHOLE.format(value);
}

/** 12.3K: for figures in large type; the exact one stands in its title. */
export function short(value: number): string {
  return Math.abs(value) < 10_000 ? whole(value) : SHORT.format(value);
}

/** 99.95 %. Never rounded up to 100 or down to 0: one failure in a million is not none. */
export function percent(share: number, digits = 2): string {
  const text = (share * 100).toFixed(digits);
  const step = 10 ** -digits;
  if (share < 1 && Number(text) === 100) return `>${(100 - step).toFixed(digits)} %`;
  if (share > 0 && Number(text) === 0) return `<${step.toFixed(digits)} %`;
  return `${text.replace(/\.0+$/, "")} %`;
}

/** 340 µs, 4.2 ms, 1.35 s */
export function milliseconds(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0 ms";
  if (value < 1) return `${Math.max(1, Math.round(value * 1_000))} µs`;
  if (value < 10) return `${value.toFixed(1)} ms`;
  if (value < 1_000) return `${Math.round(value)} ms`;
  return `${(value / 1_000).toFixed(2)} s`;
}

/** Dollars as the ledger says them, nine decimals: two are shown, or as many as it takes to see anything. */
export function dollars(text: string | number | undefined): string {
  const value = Number(text ?? 0);
  if (value === 0) return "$0";
  if (value < 0.01) return `$${value.toPrecision(2).replace(/e-(\d+)$/, "×10⁻$1")}`;
  return new Intl.NumberFormat("en-US", { style: "currency", currency: "USD" }).format(value);
}

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** The two largest units: `3 d 4 h`, `12 min`, `45 s`. */
export function duration(seconds: number): string {
  const left = Math.max(0, Math.round(seconds));
  if (left < MINUTE) return `${left} s`;
  if (left < HOUR) return join([left, MINUTE, "min"], [left % MINUTE, 1, "s"]);
  if (left < 2 * DAY) return join([left, HOUR, "h"], [left % HOUR, MINUTE, "min"]);
  return join([left, DAY, "d"], [left % DAY, HOUR, "h"]);
}

type Part = readonly [amount: number, unit: number, name: string];

function join([large, largeUnit, largeName]: Part, [small, smallUnit, smallName]: Part): string {
  const rest = Math.floor(small / smallUnit);
  const first = `${whole(Math.floor(large / largeUnit))} ${largeName}`;
  return rest === 0 ? first : `${first} ${rest} ${smallName}`;
}

/** `in 3 d`, `4 min ago`, `now`: seen from `now`, epoch ms. */
export function relative(time: number, now: number): string {
  const seconds = Math.round((time - now) / 1_000);
  const distance = Math.abs(seconds);
  if (distance < 5) return "now";
  const largest = duration(distance).split(" ").slice(0, 2).join(" ");
  return seconds > 0 ? `in ${largest}` : `${largest} ago`;
}

/** 2026-11-24 04:10 UTC. What stands there before the browser puts it into the reader's zone, and on paper. */
export function utc(time: number): string {
  return `${new Date(time).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

/** `key.revoke` → `Key revoke`; `rate_limited` → `Rate limited`. */
export function label(code: string): string {
  const text = code.replaceAll(/[._]/g, " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** "1 key", "2 keys" */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${whole(count)} ${count === 1 ? one : many}`;
}
