import type { UsageBatch, UsageEvent } from "../../src/usage/event.ts";
import { meterOfLineage } from "../../durable-objects/key-meter/client.ts";
import { fnv1a } from "../../src/platform/fnv.ts";
import { newId } from "../../src/platform/ids.ts";
import { BATCH_ID_PREFIX } from "../../src/usage/parse-batch.ts";
import type { DemoWeek } from "../traffic/demo-week.ts";
import { planOf } from "./customers.ts";
import type { Filler } from "./filler.ts";
import { PLANS } from "./gateway.config.ts";
import { type KeyInHour, eventsOf, inHour, stuffingEvents } from "./requests.ts";
import type { Spend } from "./step.ts";
import { type IssuedSecrets, Keyring } from "./keyring.ts";

/** Goes through the demo's weeks hour by hour: what was done to keys, what they did, and the clock between. */

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
const MINUTES_AN_HOUR = 60;
/** The week comes in pieces of so many minutes, as fine as the detectors by minute want it; what was before it, hour by hour. */
const STEP_MINUTES = 10;
/** Events are counted a moment after they happened. */
const LAG_MS = 5_000;
/** As isolates cut their buffers. */
const EVENTS_PER_BATCH = 100;
/** The cron runs each minute; here, when it has hourly work: last uses that are not confirmed, and the workspace's own minute. */
const CRON_MINUTES = [7, fnv1a("default") % MINUTES_AN_HOUR].toSorted((a, b) => a - b);

export interface FillOptions {
  readonly week: DemoWeek;
  /** Hours since the epoch: all keys from `from`, those with a story from `start`. */
  readonly start: number;
  readonly from: number;
  /** The present, epoch ms. */
  readonly now: number;
  /** Share that is done, and how many hours of what is shown; below 0: what was before it. */
  readonly onProgress: (share: number, hour: number) => void;
}

export interface Filled {
  readonly events: number;
  readonly keys: IssuedSecrets;
}

export async function fill(filler: Filler, options: FillOptions): Promise<Filled> {
  const { week, start, from, now } = options;
  const ring = new Keyring(filler);
  await filler.step({ batches: [], spends: [], cron: [], until: start * HOUR_MS });
  const successor = week.story.successor;
  await ring.issue(
    week.keys.filter(({ facts }) => facts.keyId !== successor),
    now,
  );

  const story = new Set(Object.values(week.story));
  const end = now / HOUR_MS;
  let events = 0;
  for (let hour = start; hour < end; hour++) {
    options.onProgress((hour - start) / (end - start), hour - from);
    await act(ring, filler, week, { hour, isFirst: hour === start });
    const active = ring.keys.filter(({ traffic }) => hour >= from || story.has(traffic.facts.keyId));
    const used = active.map((key) => inHour(key, hour)).filter((of) => of !== null);
    const minutes = hour < from ? MINUTES_AN_HOUR : STEP_MINUTES;
    for (let minute = 0; minute < MINUTES_AN_HOUR; minute += minutes) {
      const since = hour * HOUR_MS + minute * MINUTE_MS;
      if (since >= now) break;
      const until = Math.min(since + minutes * MINUTE_MS, now);
      const found = eventsIn(used, { hour, from: minute, to: minute + minutes }, week).filter(({ time }) => time < now);
      events += found.length;
      const isLast = minute + minutes >= MINUTES_AN_HOUR;
      await filler.step({
        batches: batchesOf(found),
        spends: isLast ? spendsOf(used) : [],
        cron: CRON_MINUTES.filter((at) => at >= minute && at < minute + minutes)
          .map((at) => hour * HOUR_MS + at * MINUTE_MS)
          .filter((at) => at < now),
        until: Math.min(until + LAG_MS, now),
      });
    }
  }
  await filler.settled();
  options.onProgress(1, 0);
  return { events, keys: ring.secrets() };
}

interface Moment {
  readonly hour: number;
  /** What is older than what is shown was done before it. */
  readonly isFirst: boolean;
}

/** What whoever is on call does. */
async function act(ring: Keyring, filler: Filler, week: DemoWeek, { hour, isFirst }: Moment): Promise<void> {
  const isDue = (at: number): boolean => at === hour || (isFirst && at < hour);
  for (const { facts, handover } of week.keys) {
    if (handover === null || !isDue(handover.since)) continue;
    if (handover.role === "revoked") {
      await filler.settled();
      await ring.revoke(facts.keyId, facts.keyId === week.story.leaked ? "leaked" : "retired");
    } else if (handover.role === "new") {
      await filler.settled();
      const successor = week.keys.find((key) => key.facts.keyId === facts.keyId);
      if (successor !== undefined) await ring.rotate(week.story.rotating, successor, handover.until - hour);
    }
  }
}

function eventsIn(
  used: readonly KeyInHour[],
  { hour, from, to }: { readonly hour: number; readonly from: number; readonly to: number },
  { stuffing }: DemoWeek,
): readonly UsageEvent[] {
  const events: UsageEvent[] = [];
  for (let minute = from; minute < to; minute++) {
    for (const of of used) events.push(...eventsOf(of, minute));
    events.push(...stuffingEvents(stuffing, hour * MINUTES_AN_HOUR + minute));
  }
  return events.toSorted((a, b) => a.time - b.time);
}

function batchesOf(events: readonly UsageEvent[]): readonly UsageBatch[] {
  const batches: UsageBatch[] = [];
  for (let at = 0; at < events.length; at += EVENTS_PER_BATCH) {
    const slice = events.slice(at, at + EVENTS_PER_BATCH);
    const last = slice.at(-1);
    if (last !== undefined) batches.push({ v: 1, batchId: newId(BATCH_ID_PREFIX, last.time), events: slice });
  }
  return batches;
}

function spendsOf(used: readonly KeyInHour[]): readonly Spend[] {
  return used
    .filter(({ cost }) => cost > 0)
    .map(({ key, hour, cost }) => {
      const { keyId, lineageId, traffic } = key;
      return {
        meter: meterOfLineage("default", lineageId),
        keyId,
        limits: PLANS[planOf(traffic)].filter(({ kind }) => kind === "quota"),
        cost,
        hour: hour * HOUR_MS,
      };
    });
}
