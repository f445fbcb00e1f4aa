/** What a limit is, as configured on a key, a plan, an owner or a route. */

/** Calendar windows are UTC. */
export type CalendarWindow = "minute" | "hour" | "day" | "month";

/** `{ seconds }` windows are aligned to the Unix epoch: `floor(now / seconds)`. */
export type LimitWindow = CalendarWindow | { readonly seconds: number };

/** A `rate` refuses with `rate_limited`, a `quota` with `quota_exhausted`. */
export type LimitKind = "rate" | "quota";

export interface Limit {
  readonly name: string;
  /** Cost units that one window holds. */
  readonly limit: number;
  readonly window: LimitWindow;
  readonly kind: LimitKind;
}

/** One limit as a client may see it. */
export interface LimitView {
  readonly name: string;
  readonly limit: number;
  readonly remaining: number;
  readonly resetSeconds: number;
  readonly windowSeconds: number;
}
