import type { AcquireRequest, Holding, HourlySpend, LimitGrant, RefusalCode } from "./acquire.ts";
import { countHolders, type Holders } from "./holders.ts";
import type { Limit } from "./limit.ts";
import { type MeterPace, newPace, nextAhead } from "./meter-pace.ts";
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
  readonly holders: Holders;
  /** Cost admitted, by clock hour: what reconciliation compares with the ledger. */
  readonly spent: Map<number, number>;
  readonly pace: MeterPace;
}

export interface Counter {
  /** The limit's value when it was last asked for; 0: not since the meter woke. */
  limit: number;
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

/** Reconciliation looks at most this far back. */
const SPENT_HOURS = 72;
/** A window that is over is remembered this long, so that a clock which jumps, and jumps back, cannot begin it again. */
const OVER_MEMORY_MS = 24 * HOUR_MS;
/** Callers of a limit that is used up may ask again after this at the earliest … */
const ASK_AGAIN_MS = 250;
/** … and the more they are the later, so that together they ask about 250 times a second. */
const ASK_AGAIN_MS_PER_HOLDER = 4;

export function newMeterState(checkpoint: MeterCheckpoint | null): MeterState {
  const counters = new Map<string, Counter>();
  const spent = new Map<number, number>();
  for (const [name, { start, end, reserved }] of Object.entries(checkpoint?.counters ?? {})) {
    counters.set(name, { limit: 0, windowStart: start, windowEnd: end, used: reserved, reserved });
  }
  for (const [hour, units] of Object.entries(checkpoint?.spent ?? {})) spent.set(Number(hour), units);
  return { counters, holders: new Map(), spent, pace: newPace() };
}

/** What to write: as reserved, or `exact`, without what was reserved and not used. `meter-writes.ts` says which and when. */
export function checkpointOf(state: MeterState, now: number, exact: boolean): MeterCheckpoint {
  const counters: Record<string, { start: number; end: number; reserved: number }> = {};
  for (const [name, counter] of state.counters) {
    if (counter.windowEnd <= now - OVER_MEMORY_MS) {
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
  /** See `Refused`; 0 when granted. */
  readonly askAgainInMs: number;
  /** `reserved` moved: storage must know before the answer leaves. */
  readonly mustPersist: boolean;
}

type Asked = Pick<
  AcquireRequest,
  "holder" | "cost" | "hour" | "want" | "urgent" | "holdings" | "returned" | "spent" | "ttlMs"
>;

/** Grants the request on every limit, or on none; counts what the caller reports and hands back first. */
export function decide(state: MeterState, limits: readonly Limit[], asked: Asked, now: number): MeterDecision {
  settle(state, asked.returned, asked.spent);
  const holders = countHolders(state.holders, asked.holder, now);
  const lines = limits.map((limit) => openLine(state, limit, asked, now));

  const short = lines.filter((line) => line.remaining < line.need);
  if (short.length > 0) return refusal(lines, short, holders, now);

  const ahead = unitsAhead(lines, asked, holders, now);
  const granted = lines.map((line) => line.need + Math.max(0, ahead - line.inHandAfter));
  for (const [index, { counter }] of lines.entries()) counter.used += granted[index] ?? 0;
  const mustPersist = lines.some(({ counter }) => counter.used > counter.reserved);
  const most = Math.max(0, ...granted);
  if (mustPersist) reserve(state, lines, most, now);
  if (most > 0) state.pace.changed = true;
  if (asked.cost > 0) addSpent(state, asked.hour, asked.cost);
  const grants = lines.map((line, index) => grantOf(line, granted[index] ?? 0, now));
  return { granted: true, grants, code: null, violated: [], retryAfterMs: 0, askAgainInMs: 0, mustPersist };
}

/** Takes what a caller hands back and what it reports as spent. */
export function settle(state: MeterState, returned: readonly Holding[], spent: readonly HourlySpend[]): void {
  for (const holding of returned) {
    const counter = state.counters.get(holding.counter);
    // Units of a window that is over are gone with it.
    if (counter?.windowStart !== holding.windowStart || holding.units === 0) continue;
    counter.used = Math.max(0, counter.used - holding.units);
    state.pace.changed = true;
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
    counter = { limit: 0, windowStart: span.start, windowEnd: span.end, used: 0, reserved: 0 };
    state.counters.set(name, counter);
  }
  counter.limit = limit.limit;
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
  let urgent = asked.urgent;
  for (const line of lines) {
    const share = prudentShare({
      limit: line.limit.limit,
      remaining: line.remaining - line.need,
      windowEndsInMs: line.counter.windowEnd - now,
      ttlMs: asked.ttlMs,
      holders,
    });
    ahead = Math.min(ahead, Math.max(share, line.inHandAfter));
    urgent = Math.min(urgent, line.remaining - line.need);
  }
  return asked.ttlMs === 0 ? 0 : Math.max(ahead, urgent);
}

/**
 * Moves `reserved` ahead, on all limits of the request by the same number of units: they are written in one row, and
 * where one of them runs out the others need not be reserved further.
 */
function reserve(state: MeterState, lines: readonly Line[], granted: number, now: number): void {
  const atMost = Math.min(
    ...lines.map(({ limit, counter }) => reserveAhead(limit.limit, counter.windowEnd - counter.windowStart)),
  );
  const ahead = nextAhead(state.pace, granted, atMost, now);
  for (const { limit, counter } of lines) {
    counter.reserved = Math.min(Math.max(limit.limit, counter.used), counter.used + ahead);
  }
}

function refusal(lines: readonly Line[], short: readonly Line[], holders: number, now: number): MeterDecision {
  // The caller can go on when the last of the refusing windows has ended; a quota outweighs a rate.
  const retryAfterMs = Math.max(...short.map((line) => line.counter.windowEnd - now));
  const quota = short.some((line) => line.limit.kind === "quota");
  return {
    granted: false,
    grants: lines.map((line) => grantOf(line, 0, now)),
    code: quota ? "quota_exhausted" : "rate_limited",
    violated: short.map((line) => line.limit.name),
    retryAfterMs,
    askAgainInMs: Math.min(retryAfterMs, Math.max(ASK_AGAIN_MS, holders * ASK_AGAIN_MS_PER_HOLDER)),
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
  if (units === 0) return;
  state.spent.set(hour, (state.spent.get(hour) ?? 0) + units);
  state.pace.changed = true;
  state.pace.reportsWait = true;
}
