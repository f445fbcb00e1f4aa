import { setTimeout as sleep } from "node:timers/promises";
import { tally } from "./client.ts";
import type { Seen } from "./client.ts";
import type { Drill, DrillContext, Outcome } from "./drill.ts";
import { atLeast, atMost, exactly, spreadOf, spreadText } from "./figures.ts";
import { edgeAt, warmUp } from "./lab-use.ts";
import { startLoad } from "./load.ts";

/** The meter's object ends, with what it has in memory and the calls that are in it, under a load that asks for more than the limit. */

/** Of the limit: what a meter may have reserved, and not given out, when it is evicted (`src/limits/sizing.ts`). */
const UNUSED_PER_EVICTION = 0.05;
/** Left in hands that did not come back in time. */
const UNUSED_ANYWAY = 0.02;

export const meterEvicted: Drill = {
  name: "meter-evicted",
  breaks: "The meter of a key over its limit is thrown out of memory again and again, in the middle of its calls",
  seconds: { full: 25, quick: 8 },
  run,
};

async function run({ quick, timeline, lab: open }: DrillContext): Promise<Outcome> {
  const lab = await open();
  const { api, client, edges } = lab;
  const [limit, perSecond, evictions] = quick ? [200, 60, 3] : [1_000, 50, 8];
  const { key, lineageId } = await api.issue({ limits: [{ name: "daily", limit, window: "day", kind: "quota" }] });
  // An owner's limit has a meter of its own.
  const owner = `evicted-${Date.now()}`;
  await api.call("PUT", `/owners/${owner}`, { limits: [{ name: "shared", limit, window: "day", kind: "quota" }] });
  const owned = await api.issue({ owner });
  for (const each of [key, owned.key]) await warmUp(lab, each, edges.edges);
  timeline.note(
    `${perSecond} requests a second of each of two keys, one with a limit of ${limit}, one whose owner has it`,
  );
  const meters = [`default/${lineageId}`, `default/owner/${owner}`];
  const start = (of: string) => startLoad(perSecond, (index) => client.send({ url: edgeAt(lab, index).url, key: of }));
  const startedAt = Date.now();
  const loads = [start(key), start(owned.key)];
  const expectedMs = (limit / perSecond) * 1_000;
  for (let count = 1; count <= evictions; count++) {
    await sleep(Math.max(100, startedAt + (expectedMs * count) / (evictions + 1) - Date.now()));
    await Promise.all(meters.map((meter) => edges.crashMeter(meter)));
    timeline.note(`both meters lose their memory, time ${count}`);
  }
  await sleep(Math.max(0, startedAt + expectedMs * 1.2 + 1_500 - Date.now()));
  const [own = [], shared = []] = await Promise.all(loads.map((load) => load.stop()));
  const warm = edges.edges.length;
  const passed = [own, shared].map((seen) => warm + seen.filter(({ status }) => status === 200).length);
  const most = Math.max(...passed);
  const least = Math.min(...passed);
  const refusedAt = own.find(({ status }) => status === 429)?.answeredAt;
  if (refusedAt !== undefined) timeline.note("the first 429", refusedAt);
  const all = [...own, ...shared];
  const unavailable = all.filter(({ status }) => status === 503).length;
  const floor = Math.floor(limit * (1 - UNUSED_ANYWAY - evictions * UNUSED_PER_EVICTION));
  return {
    targets: [
      atMost("units admitted, of each limit", most, limit),
      atLeast("units admitted, of each limit", least, floor),
      exactly("answers other than 200, 429 and 503 with Retry-After", all.filter(isNotHonest).length, 0),
      atMost("503s for each lost memory", unavailable / evictions, perSecond),
    ],
    facts: [
      ["limit, and admitted of it (key's own, owner's)", `${limit}: ${passed.join(", ")}`],
      ["evictions of each meter", String(evictions)],
      ["requests", spreadText(spreadOf(all.map(took)))],
    ],
    detectMs: null,
    refuseMs: null,
    letThrough: Math.max(0, most - limit),
    eventsLost: null,
    clientsSaw: tally(all),
    figures: { limit, admitted: passed, evictions },
  };
}

function isNotHonest({ status, retryAfter }: Seen): boolean {
  return status !== 200 && status !== 429 && (status !== 503 || retryAfter === null);
}

function took({ sentAt, answeredAt }: Seen): number {
  return answeredAt - sentAt;
}
