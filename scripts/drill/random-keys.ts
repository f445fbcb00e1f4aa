import { setTimeout as sleep } from "node:timers/promises";
import { generateKey } from "../../src/keys/generate.ts";
import type { Edge } from "../lab/edges.ts";
import type { CallCounts } from "../lab/faults.ts";
import { isAdmitted, tally } from "./client.ts";
import type { Seen } from "./client.ts";
import type { Drill, DrillContext, Lab, Outcome } from "./drill.ts";
import { atLeast, atMost, exactly, judgeSpeed, spreadOf, spreadText } from "./figures.ts";
import { edgeAt, warmUp } from "./lab-use.ts";
import { startLoad } from "./load.ts";

/** Guessing: keys of the right form that nobody issued, keys of any other form, then plain garbage. An honest client goes on beside it. */

const HONEST_PER_SECOND = 20;
const ATTACKER = "198.51.100.7";
const OTHER_ATTACKER = "198.51.100.8";
/** wrangler.toml: failures that an address has in a period, which may end in the middle; and what is looked up all the same once they are used up. */
const SHIELD = { failures: 200, lookups: 100 };
/** An honest client's median wait may be longer by this than under as many ordinary requests: row M2 of the requirements. */
const ADDED_P50_MS = 50;

export const randomKeys: Drill = {
  name: "random-keys",
  breaks: "A flood of random well-formed keys, of keys of another form, and of garbage",
  seconds: { full: 40, quick: 14 },
  run,
};

async function run({ quick, random, timeline, lab: open }: DrillContext): Promise<Outcome> {
  const lab = await open();
  const [attacked, , spare] = lab.edges.edges;
  if (attacked === undefined || spare === undefined) throw new RangeError("the drill needs three isolates");
  const { key } = await lab.api.issue();
  const honestEdges = lab.edges.edges.slice(0, -1);
  await warmUp(lab, key, honestEdges);
  const [perSecond, floodMs] = quick ? [100, 6_000] : [80, 10_000];
  const honest = startLoad(HONEST_PER_SECOND, (index) =>
    // The same address as the attacker's for every other request: a neighbour behind one NAT.
    lab.client.send({
      url: edgeAt(lab, index % honestEdges.length).url,
      key,
      ip: index % 4 < 2 ? ATTACKER : "192.0.2.20",
    }),
  );
  timeline.note(`${perSecond} ordinary requests a second, to compare with`);
  const ordinary = startLoad(perSecond, () => lab.client.send({ url: attacked.url, key }));
  await sleep(quick ? 2_000 : 5_000);
  await ordinary.stop();
  const calmUntil = Date.now();

  const guess = (): string => guessKey(random);
  const ordered = { lab, edge: attacked, perSecond, key: guess };
  timeline.note(`${perSecond} random well-formed keys a second from one address`);
  const oneAddress = await flood({ ...ordered, ms: floodMs, ip: () => ATTACKER });
  const firstBlocked = oneAddress.seen.find(({ status }) => status === 429);
  if (firstBlocked !== undefined) timeline.note("the first 429 too_many_failures", firstBlocked.answeredAt);
  timeline.note(`${perSecond} random keys of another form a second, as imported ones may have, from one address`);
  const foreign = await flood({ ...ordered, key: () => guess().slice(8), ms: floodMs, ip: () => OTHER_ATTACKER });
  timeline.note(`${perSecond} keys with a wrong checksum a second`);
  const garbage = await flood({ ...ordered, edge: spare, key: () => spoil(guess()), ms: floodMs / 2, ip: anyAddress });
  const seen = await honest.stop();
  return conclude({ quick, seen, calmUntil, oneAddress, foreign, garbage });
}

interface Flood {
  readonly seen: readonly Seen[];
  /** Of the isolate that was asked. */
  readonly calls: CallCounts;
  /** Of the isolate, and of the brokers. */
  readonly kvReads: number;
}

interface FloodOrder {
  readonly lab: Lab;
  readonly edge: Edge;
  readonly perSecond: number;
  readonly ms: number;
  readonly key: () => string;
  readonly ip: (index: number) => string;
}

async function flood({ lab, edge, perSecond, ms, key, ip }: FloodOrder): Promise<Flood> {
  const { home } = lab.edges;
  await Promise.all([edge.resetCalls(), home.resetCalls()]);
  const load = startLoad(perSecond, (index) => lab.client.send({ url: edge.url, key: key(), ip: ip(index) }));
  await sleep(ms);
  const seen = await load.stop();
  const [calls, atHome] = await Promise.all([edge.calls(), home.calls()]);
  // A broker, which lives at home here, reads KV for the isolates that ask it.
  return { seen, calls, kvReads: (calls["KEYS.get"] ?? 0) + (atHome["KEYS.get"] ?? 0) };
}

function anyAddress(index: number): string {
  return `100.${64 + (index % 64)}.${(index >> 6) % 256}.${index % 250}`;
}

/** Well-formed, and nobody's. */
function guessKey(random: () => number): string {
  const randomBytes = (length: number): Uint8Array => Uint8Array.from({ length }, () => Math.floor(random() * 256));
  return generateKey({ prefix: "lk", environment: "live", randomBytes });
}

function spoil(key: string): string {
  return `${key.slice(0, -1)}${key.endsWith("0") ? "1" : "0"}`;
}

interface Measured {
  readonly quick: boolean;
  readonly seen: readonly Seen[];
  readonly calmUntil: number;
  readonly oneAddress: Flood;
  readonly foreign: Flood;
  readonly garbage: Flood;
}

function conclude({ quick, seen, calmUntil, oneAddress, foreign, garbage }: Measured): Outcome {
  const took = (those: readonly Seen[]) => spreadOf(those.map(({ sentAt, answeredAt }) => answeredAt - sentAt));
  const calm = took(seen.filter(({ answeredAt }) => answeredAt < calmUntil));
  const busy = took(seen.filter(({ sentAt }) => sentAt >= calmUntil));
  const guesses = [...oneAddress.seen, ...foreign.seen, ...garbage.seen];
  const blocked = oneAddress.seen.filter(({ code }) => code === "too_many_failures");
  const first = blocked[0];
  // What was under way when the address was blocked had been looked up; then come those that are looked up all the same, and one more budget.
  const blockedAt = foreign.seen.find(({ status }) => status === 429)?.answeredAt ?? Infinity;
  const before = foreign.seen.filter(({ sentAt }) => sentAt <= blockedAt).length;
  const readsAtMost = before + SHIELD.lookups + SHIELD.failures;
  const start = oneAddress.seen[0]?.sentAt ?? 0;
  const garbageCalls = Object.entries(garbage.calls).filter(([name]) => name !== "FAILURE_SHIELD.limit");
  const added = busy.p50 - calm.p50;
  const speed = judgeSpeed(
    quick,
    atMost("honest requests: median wait, beyond that under ordinary load", added, ADDED_P50_MS, " ms"),
  );
  return {
    targets: [
      exactly("guesses that were admitted", guesses.filter(({ status }) => status === 200).length, 0),
      exactly(
        "answers to guesses other than 401 and 429",
        guesses.filter(({ status }) => status !== 401 && status !== 429).length,
        0,
      ),
      atLeast("429 too_many_failures to the one address", blocked.length, 1),
      atMost(`KV reads for ${oneAddress.seen.length} well-formed keys`, oneAddress.kvReads, oneAddress.seen.length),
      atMost(`KV reads for ${foreign.seen.length} keys of another form`, foreign.kvReads, readsAtMost),
      exactly(
        `calls to KV, objects and queue for ${garbage.seen.length} keys with a wrong checksum, events apart`,
        ioOf(garbageCalls),
        0,
      ),
      exactly("honest requests that were not admitted", seen.filter((one) => !isAdmitted(one)).length, 0),
      ...speed.targets,
    ],
    facts: [
      ...speed.facts,
      ["honest requests, under ordinary load", spreadText(calm)],
      ["honest requests, under the floods", spreadText(busy)],
      [
        "KV reads for well-formed keys",
        `${oneAddress.kvReads} for ${oneAddress.seen.length}: always looked up, one read each`,
      ],
      [
        "KV reads for keys of another form",
        `${foreign.kvReads} for ${foreign.seen.length}, ${before} of them sent before the block`,
      ],
    ],
    detectMs: first === undefined ? null : first.answeredAt - start,
    refuseMs: 0,
    letThrough: 0,
    eventsLost: null,
    clientsSaw: tally([...seen, ...guesses]),
    figures: {
      kvReads: { wellFormed: oneAddress.kvReads, otherForm: foreign.kvReads, garbage: garbage.kvReads },
    },
  };
}

/** Events of refusals leave by the queue, as all events do. */
function ioOf(calls: readonly (readonly [name: string, times: number])[]): number {
  return calls.filter(([name]) => !name.startsWith("USAGE.")).reduce((sum, [, times]) => sum + times, 0);
}
