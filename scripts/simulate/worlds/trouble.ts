import { exponential, pick, type Random } from "../clock/random.ts";
import { Actor } from "../clock/virtual-time.ts";
import type { ObjectHost } from "../platform/objects.ts";
import type { World } from "../platform/world.ts";
import type { WorldPlan } from "./plan.ts";
import type { Trace } from "./trace.ts";

/** What goes wrong in a random world, and when. */

export interface TroubleInput {
  readonly plan: WorldPlan;
  readonly world: World;
  readonly trace: Trace;
  readonly random: Random;
  readonly begin: number;
  readonly end: number;
  /** Kills an isolate; a new one takes its place. `which`: a share. */
  readonly kill: (which: number) => void;
  /** Moves an isolate's clock. */
  readonly step: (which: number, ms: number) => void;
}

const STEPS_MS = [-600_000, -10_000, -3_000, -400, 400, 3_000, 600_000] as const;
const PARTITION_MEAN_MS = 4_000;

export function planTrouble(input: TroubleInput): void {
  const { plan, world, random, begin, end, kill, step } = input;
  const { trouble } = plan;
  const fate = new Actor("fate");
  const sometime = (): number => begin + random() * (end - begin);
  world.network.losses = trouble.losses;
  world.kv.failures = trouble.kvFailures;
  world.queue.faults = { ...trouble.queue };
  for (let n = 0; n < trouble.isolateDeaths; n++) world.time.at(sometime(), fate, () => kill(random()));
  for (let n = 0; n < trouble.clockSteps; n++) {
    world.time.at(sometime(), fate, () => step(random(), pick(random, STEPS_MS)));
  }
  for (let n = 0; n < trouble.restarts; n++) world.time.at(sometime(), fate, () => restartOne(input));
  for (let n = 0; n < trouble.partitions; n++) world.time.at(sometime(), fate, () => cutOne(input, fate));
  world.time.at(end, fate, () => {
    world.network.losses = { request: 0, answer: 0 };
    world.kv.failures = 0;
    world.queue.faults = { refuse: 0, loseAnswer: 0, redeliver: 0 };
  });
}

/** Meters and brokers more often than the rest. */
function drawHost({ world, random }: TroubleInput): ObjectHost | null {
  const all = [...world.objects.hosts.values()];
  const counting = all.filter(({ binding }) => binding === "KEY_METER" || binding === "LEASE_BROKER");
  const from = counting.length > 0 && random() < 0.8 ? counting : all;
  return from.length === 0 ? null : pick(random, from);
}

function restartOne(input: TroubleInput): void {
  const host = drawHost(input);
  if (host === null) return;
  input.world.objects.restart(host);
  input.trace.note(input.world.time.now, "fate", `restarts ${labelOf(host)}`);
}

function cutOne(input: TroubleInput, fate: Actor): void {
  const { plan, world, trace, random, end } = input;
  const host = drawHost(input);
  if (host === null) return;
  const location = random() < 0.5 ? "*" : pick(random, plan.colos).code;
  const object = location !== "*" && random() < 0.3 ? "*" : host.label;
  const ms = exponential(random, PARTITION_MEAN_MS);
  world.network.cut(location, object);
  trace.note(
    world.time.now,
    "fate",
    `cuts ${location} from ${object === "*" ? "all objects" : labelOf(host)} for ${Math.round(ms)} ms`,
  );
  world.time.at(Math.min(world.time.now + ms, end), fate, () => world.network.heal(location, object));
}

/** Ids and workspaces differ from run to run in one process; the kind of object does not. */
function labelOf(host: ObjectHost): string {
  const isOwner = host.name.includes("/owner/");
  return `${host.binding}${isOwner ? " of an owner" : ""}`;
}
