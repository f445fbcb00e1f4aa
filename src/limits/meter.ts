import type { AcquireRequest, Holding, HourlySpend, LimitGrant, RefusalCode } from "./acquire.ts";
import type { Limit } from "./limit.ts";
import { prudentShare, reserveAhead } from "./sizing.ts";
import { counterOf, HOUR_MS, hourOf, windowAt } from "./window.ts";

/**
 * What a meter knows: for each counter, how much of the present window is used. Plain data, changed by the functions
 * below and by nothing else; no clock, no storage. The Durable Object keeps it, simulators and tests run it as it is.
 *
 * The invariant: in every window, the units granted and not handed back never exceed the limit; and what storage knows
 * as used (`reserved`) is never less than what is used.
 */
export interface MeterState {
  readonly counters: Map<string, Counter>;
  /** Callers by the time they were last heard, for sizing. Bounded; lost on eviction without harm. */
  readonly holders: Map<string, number>;
  /** Cost admitted, by clock hour: what reconciliation compares with the ledger. */
  readonly spent: Map<number, number>;
}

export interface Counter {
  windowStart: number;
  /** When the window ends, so that a counter which is over can be forgotten. */
  windowEnd: number;
  used: number;
  reserved: number;
}

/** What storage keeps. `reserved` stands for `used` when it is read back: a crash can only under-use. */
export interface MeterCheckpoint {
  readonly counters: Readonly<
    Record<string, { readonly start: number; readonly end: number; readonly reserved: number }>
  >;
  readonly spent: Readonly<Record<string, number>>;
}

/** Leases that are further apart than this do not compete. */
const HOLDER_MEMORY_MS = 10_000;
const HOLDERS_MAX = 4_096;
/** Reconciliation looks at most this far back. */
const SPENT_HOURS = 72;

export function newMeterState(checkpoint: MeterCheckpoint | null): MeterState {
  const counters = new Map<string, Counter>();
  const spent = new Map<number, number>();
  for (const [name, { start, end, reserved }] of Object.entries(checkpoint?.counters ?? {})) {
    counters.set(name, { windowStart: start, windowEnd: end, used: reserved, reserved });
  }
  for (const [hour, units] of Object.entries(checkpoint?.spent ?? {})) spent.set(Number(hour), units);
  return { counters, holders: new Map(), spent };
}

/** What to write: as reserved by default; `exact` gives back what was reserved and not used, for a quiet moment. */
export function checkpointOf(state: MeterState, now: number, exact: boolean): MeterCheckpoint {
  const counters: Record<string, { start: number; end: number; reserved: number }> = {};
  for (const [name, counter] of state.counters) {
    if (counter.windowEnd <= now) {
      state.counters.delete(name);
      continue;
    }
    if (exact) counter.reserved = counter.used;
    counters[name] = { start: counter.windowStart, end: counter.windowEnd, reserved: counter.reserved };
  }
  const oldest = hourOf(now) - SPENT_HOURS * HOUR_MS;
  const spent: Record<string, number> = {};
  for (const [hour, units] of state.spent) {
    if (hour < oldest) state.spent.delete(hour);
    else spent[hour] = units;
  }
  return { counters, spent };
}

export interface MeterDecision {
  readonly granted: boolean;
  readonly grants: readonly LimitGrant[];
  readonly code: Extract<RefusalCode, "rate_limited" | "quota_exhausted"> | null;
  readonly violated: readonly string[];
  readonly retryAfterMs: number;
  /** `reserved` moved: storage must know before the answer leaves. */
  readonly mustPersist: boolean;
}

type Asked = Pick<AcquireRequest, "holder" | "cost" | "hour" | "want" | "holdings" | "returned" | "spent" | "ttlMs">;

/** Grants the request on every limit, or on none; counts what the caller reports and hands back first. */
export function decide(state: MeterState, limits: readonly Limit[], asked: Asked, now: number): MeterDecision {
  settle(state, asked.returned, asked.spent);
  const holders = countHolders(state, asked.holder, now);
  const lines = limits.map((limit) => openLine(state, limit, asked, now));

  const short = lines.filter((line) => line.remaining < line.need);
  if (short.length > 0) return refusal(lines, short, now);

  const ahead = unitsAhead(lines, asked, holders, now);
  let mustPersist = false;
  const grants = lines.map((line) => {
    const granted = line.need + Math.max(0, ahead - line.inHandAfter);
    if (take(line.counter, line.limit, granted)) mustPersist = true;
    return grantOf(line, granted, now);
  });
  if (asked.cost > 0) addSpent(state, asked.hour, asked.cost);
  return { granted: true, grants, code: null, violated: [], retryAfterMs: 0, mustPersist };
}

/** Takes what a caller hands back and what it reports as spent. */
export function settle(state: MeterState, returned: readonly Holding[], spent: readonly HourlySpend[]): void {
  for (const holding of returned) {
    const counter = state.counters.get(holding.counter);
    // Units of a window that is over are gone with it.
    if (counter?.windowStart === holding.windowStart) counter.used = Math.max(0, counter.used - holding.units);
  }
  for (const { hour, units } of spent) addSpent(state, hour, units);
}

interface Line {
  readonly limit: Limit;
  readonly counter: Counter;
  readonly remaining: number;
  /** What must be granted for the request in hand. */
  readonly need: number;
  /** What the caller will hold once the request in hand is paid. */
  readonly inHandAfter: number;
}

function openLine(state: MeterState, limit: Limit, asked: Asked, now: number): Line {
  const name = counterOf(limit);
  const span = windowAt(limit.window, now);
  let counter = state.counters.get(name);
  // A clock that steps back must not reopen a window that was left: keep counting in the newest one.
  if (counter === undefined || counter.windowStart < span.start) {
    counter = { windowStart: span.start, windowEnd: span.end, used: 0, reserved: 0 };
    state.counters.set(name, counter);
  }
  const current = counter;
  const held = asked.holdings.find(
    (holding) => holding.counter === name && holding.windowStart === current.windowStart,
  );
  const inHand = held?.units ?? 0;
  return {
    limit,
    counter,
    remaining: Math.max(0, limit.limit - counter.used),
    need: Math.max(0, asked.cost - inHand),
    inHandAfter: Math.max(0, inHand - asked.cost),
  };
}

/** The same number of units ahead on every limit: units of one without the other would be useless. */
function unitsAhead(lines: readonly Line[], asked: Asked, holders: number, now: number): number {
  let ahead = asked.want;
  for (const line of lines) {
    const share = prudentShare({
      limit: line.limit.limit,
      remaining: line.remaining - line.need,
      windowEndsInMs: line.counter.windowEnd - now,
      ttlMs: asked.ttlMs,
      holders,
    });
    ahead = Math.min(ahead, Math.max(share, line.inHandAfter));
  }
  return asked.ttlMs === 0 ? 0 : ahead;
}

/** Subtracts, and moves `reserved` ahead when it is passed. Returns whether storage must be told. */
function take(counter: Counter, limit: Limit, units: number): boolean {
  counter.used += units;
  if (counter.used <= counter.reserved) return false;
  counter.reserved = Math.min(
    Math.max(limit.limit, counter.used),
    counter.used - units + reserveAhead(limit.limit, units),
  );
  return true;
}

function refusal(lines: readonly Line[], short: readonly Line[], now: number): MeterDecision {
  // The caller can go on when the last of the refusing windows has ended; a quota outweighs a rate.
  const retryAfterMs = Math.max(...short.map((line) => line.counter.windowEnd - now));
  const quota = short.some((line) => line.limit.kind === "quota");
  return {
    granted: false,
    grants: lines.map((line) => grantOf(line, 0, now)),
    code: quota ? "quota_exhausted" : "rate_limited",
    violated: short.map((line) => line.limit.name),
    retryAfterMs,
    mustPersist: false,
  };
}

function grantOf(line: Line, granted: number, now: number): LimitGrant {
  return {
    limit: line.limit,
    granted,
    remaining: Math.max(0, line.limit.limit - line.counter.used),
    windowStart: line.counter.windowStart,
    windowEndsInMs: Math.max(0, line.counter.windowEnd - now),
  };
}

function addSpent(state: MeterState, hour: number, units: number): void {
  state.spent.set(hour, (state.spent.get(hour) ?? 0) + units);
}

function countHolders(state: MeterState, holder: string, now: number): number {
  // Re-inserting keeps the map in the order of last hearing, so that the old ones stand first.
  state.holders.delete(holder);
  state.holders.set(holder, now);
  for (const [name, heardAt] of state.holders) {
    if (heardAt > now - HOLDER_MEMORY_MS && state.holders.size <= HOLDERS_MAX) break;
    state.holders.delete(name);
  }
  return state.holders.size;
}
