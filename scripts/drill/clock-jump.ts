import { setTimeout as sleep } from "node:timers/promises";
import { REVOCATION_BOUND_SECONDS } from "../../src/constants.ts";
import type { Edge } from "../lab/edges.ts";
import { tally } from "./client.ts";
import type { Seen } from "./client.ts";
import type { Drill, DrillContext, Lab, Outcome } from "./drill.ts";
import { atMost, exactly } from "./figures.ts";
import { edgeAt, warmUp } from "./lab-use.ts";
import { startLoad } from "./load.ts";
import { measureStopLag } from "./stop-lag.ts";

/** Clocks are set, of isolates and of objects, while keys are in use. Windows and leases go by clocks; promises must not. */

const BOUND_MS = REVOCATION_BOUND_SECONDS * 1_000;
const HOUR_MS = 3_600_000;
const PER_SECOND = 40;

interface Jump {
  readonly what: string;
  readonly whose: "isolates" | "objects";
  readonly offsetMs: number;
}

const JUMPS: readonly Jump[] = [
  { what: "the isolates' clocks go 1 h back", whose: "isolates", offsetMs: -HOUR_MS },
  { what: "the isolates' clocks go 1 h forward", whose: "isolates", offsetMs: HOUR_MS },
  { what: "the isolates' clocks go 3 s back", whose: "isolates", offsetMs: -3_000 },
  { what: "the objects' clock goes 1 h back", whose: "objects", offsetMs: -HOUR_MS },
  { what: "the objects' clock goes 1 h forward", whose: "objects", offsetMs: HOUR_MS },
];
const QUICK_JUMPS = JUMPS.filter(({ offsetMs }) => offsetMs === -HOUR_MS);

export const clockJump: Drill = {
  name: "clock-jump",
  breaks: "The clocks of isolates, and of the objects, are set forward and back under load",
  seconds: { full: 75, quick: 30 },
  run,
};

async function run({ quick, timeline, lab: open }: DrillContext): Promise<Outcome> {
  const lab = await open();
  const lags: { readonly what: string; readonly lagMs: number; readonly letThrough: number }[] = [];
  const seen: Seen[] = [];
  for (const jump of quick ? QUICK_JUMPS : JUMPS) {
    const { lag, after } = await revokeAcross(lab, jump);
    lags.push({ what: jump.what, lagMs: lag.lagMs, letThrough: lag.letThrough });
    seen.push(...lag.seen, ...after);
    timeline.note(`${jump.what}: a key that was revoked then was admitted last ${lag.lagMs} ms after`);
  }
  const windows: Spent[] = [];
  for (const scene of quick ? SCENES.slice(0, 1) : SCENES) {
    const spent = await spendAcross(lab, scene);
    windows.push(spent);
    seen.push(...spent.seen);
    timeline.note(`${spent.what}: ${spent.admitted} admitted, ${spent.allowed} allowed`);
  }
  return {
    targets: [
      ...lags.map(({ what, lagMs }) => atMost(`revoke → last acceptance, ${what}`, lagMs, BOUND_MS, " ms")),
      ...windows.map(({ what, admitted, allowed }) => atMost(`units admitted, ${what}`, admitted, allowed)),
      exactly(
        "answers other than 200, 401 and 429",
        seen.filter(({ status }) => ![200, 401, 429].includes(status)).length,
        0,
      ),
    ],
    facts: lags.map(({ what, letThrough }) => [what, `${letThrough} requests of the revoked key let through`]),
    detectMs: null,
    refuseMs: Math.max(...lags.map(({ lagMs }) => lagMs)),
    letThrough:
      lags.reduce((sum, each) => sum + each.letThrough, 0) +
      windows.reduce((sum, each) => sum + Math.max(0, each.admitted - each.allowed), 0),
    eventsLost: null,
    clientsSaw: tally(seen),
  };
}

function ownersOf({ edges }: Lab, whose: Jump["whose"]): readonly Edge[] {
  return whose === "isolates" ? edges.edges : [edges.home];
}

async function setClocks(lab: Lab, whose: Jump["whose"], offsetMs: number): Promise<void> {
  await Promise.all(ownersOf(lab, whose).map((worker) => worker.setClock(offsetMs)));
}

/** The clock is set while isolates hold leases, then the key is revoked. */
async function revokeAcross(lab: Lab, { whose, offsetMs }: Jump) {
  const { api, edges } = lab;
  const { key, id } = await api.issue();
  const bystander = await api.issue();
  for (const each of [key, bystander.key]) await warmUp(lab, each, edges.edges);
  const lag = await measureStopLag(lab, {
    key,
    edges: edges.edges,
    stop: async () => {
      await setClocks(lab, whose, offsetMs);
      await api.revoke(id);
    },
  });
  // A key that nobody revoked works on.
  const after = await warmUp(lab, bystander.key, edges.edges);
  await setClocks(lab, whose, 0);
  return { lag, after };
}

interface Scene {
  readonly what: string;
  readonly whose: Jump["whose"];
  /** One after the other, each for a second and a half under load, or without a request. */
  readonly steps: readonly { readonly offsetMs: number; readonly load: boolean }[];
  /** Windows of an hour that the meter's clock sees: each may be used once. */
  readonly windows: number;
}

const SCENES: readonly Scene[] = [
  {
    what: "the objects' clock 1 h forward and back again",
    whose: "objects",
    steps: [
      { offsetMs: 0, load: true },
      { offsetMs: HOUR_MS, load: true },
      { offsetMs: 0, load: true },
    ],
    windows: 2,
  },
  {
    what: "the objects' clock 1 h forward and back again, with no request meanwhile",
    whose: "objects",
    steps: [
      { offsetMs: 0, load: true },
      { offsetMs: HOUR_MS, load: false },
      { offsetMs: 0, load: true },
    ],
    windows: 1,
  },
  {
    what: "the isolates' clocks 1 h back and forth",
    whose: "isolates",
    steps: [
      { offsetMs: 0, load: true },
      { offsetMs: -HOUR_MS, load: true },
      { offsetMs: 0, load: true },
    ],
    windows: 1,
  },
];

interface Spent {
  readonly what: string;
  readonly admitted: number;
  readonly allowed: number;
  readonly seen: readonly Seen[];
}

const LIMIT = 100;
const STEP_MS = 4_000;
/** Isolates hand back what they hold, and the meter writes down what is used, within a lease and a little. */
const IDLE_MS = 8_000;

/** A limit for an hour, more requests than it allows, and the clock set in the middle. */
async function spendAcross(lab: Lab, { what, whose, steps, windows }: Scene): Promise<Spent> {
  const limits = [{ name: "hourly", limit: LIMIT, window: "hour", kind: "quota" }];
  const { key } = await lab.api.issue({ limits });
  await awayFromHour();
  const seen: Seen[] = [];
  for (const { offsetMs, load } of steps) {
    await setClocks(lab, whose, offsetMs);
    if (!load) {
      await sleep(IDLE_MS);
      continue;
    }
    const requests = startLoad(PER_SECOND, (index) => lab.client.send({ url: edgeAt(lab, index).url, key }));
    await sleep(STEP_MS);
    seen.push(...(await requests.stop()));
  }
  await setClocks(lab, whose, 0);
  return { what, admitted: seen.filter(({ status }) => status === 200).length, allowed: LIMIT * windows, seen };
}

/** The hour must not end by itself meanwhile. */
async function awayFromHour(): Promise<void> {
  const leftMs = HOUR_MS - (Date.now() % HOUR_MS);
  if (leftMs < 30_000) await sleep(leftMs + 100);
}
