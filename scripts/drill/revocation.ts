import { setTimeout as sleep } from "node:timers/promises";
import { REVOCATION_BOUND_SECONDS } from "../../src/constants.ts";
import type { Edge } from "../lab/edges.ts";
import { exchangeKey } from "../lab/exchange.ts";
import { figure } from "../report/table.ts";
import { isAdmitted, kindOf } from "./client.ts";
import type { Client, Seen } from "./client.ts";
import { waitFor } from "./load.ts";
import type { Drill, DrillContext, Lab, Outcome } from "./drill.ts";
import { atLeast, atMost, exactly, judgeSpeed, percentile, spreadOf, spreadText } from "./figures.ts";

/**
 * Keys are revoked one after the other while clients use each of them, and a token of it, by turns on every isolate, until all refuse
 * both.
 */

const BOUND_MS = REVOCATION_BOUND_SECONDS * 1_000;
const STRICT_BOUND_MS = 100;
/** Between two requests of one key at one isolate: what the lags are exact to. After the revoke of a strict key it is finer. */
const PROBE_EVERY_MS = 200;
const STRICT_PROBE_EVERY_MS = 20;
/** How long a key is in use before it is revoked: leases are of every age by then. */
const WARM_MS = { from: 1_000, to: 4_000 };
/** Two of each: by turns key and token. */
const WARM_ADMISSIONS = 4;
/** Clients go on for so long after the last isolate refused: a key must not come back. */
const AFTERWARDS_MS = 1_000;
/** An isolate that admits for longer has missed the bound; it is not waited for. One that does not answer is, for a while. */
const GIVE_UP_MS = 8_000;
const SILENCE_MS = 60_000;
/** The lags are to be Latchkey's, not the queue's in front of it: no further key while answers take longer, or so many are in use. */
const CALM_MS = 60;
const LIVE_KEYS = 60;
/** Of the running mean of waits: the last twenty or so count. */
const SMOOTHING = 0.05;

const SIZES = {
  full: { keys: 1_000, strictKeys: 200, perSecond: 8 },
  quick: { keys: 32, strictKeys: 8, perSecond: 10 },
};

/** One key at one isolate. */
interface Watch {
  admittedBefore: number;
  /** Epoch ms of the answers; `null`: none yet. */
  firstRefusedAt: number | null;
  lastAdmittedAt: number | null;
  letThrough: number;
  /** Sent after the bound, and admitted: a breach, however busy the machine. */
  tooLate: number;
  backAgain: number;
}

/** How the machine bears the load. */
interface Pulse {
  live: number;
  /** Running mean of the time that a request takes. */
  waitMs: number;
}

interface Subject {
  readonly strict: boolean;
  readonly watches: readonly Watch[];
  /** When the revoke was answered, epoch ms. */
  revokedAt: number | null;
}

export const revocation: Drill = {
  name: "revocation",
  breaks: "Keys in use on every isolate, and tokens of them, are revoked, one after the other, under load",
  seconds: { full: 170, quick: 12 },
  run,
};

async function run(context: DrillContext): Promise<Outcome> {
  const lab = await context.lab();
  const { timeline } = context;
  const size = context.quick ? SIZES.quick : SIZES.full;
  if (context.plant === "revoke-skips-meter") {
    timeline.note("PLANTED: revokes do not reach the meter");
    const skipped = { kind: "skipped", methods: ["publish"], holding: '"state":"revoked"', answer: [] } as const;
    await lab.edges.home.setFaults({ KEY_METER: skipped });
  }
  const total = size.keys + size.strictKeys;
  timeline.note(
    `${total} keys (${size.strictKeys} strict) over ${lab.edges.edges.length} isolates, ${size.perSecond} revokes a second`,
  );
  const strictEvery = Math.round(total / size.strictKeys);
  const subjects: Subject[] = [];
  const seen: Record<string, number> = {};
  const lives: Promise<void>[] = [];
  const pulse: Pulse = { live: 0, waitMs: 0 };
  const startedAt = Date.now();
  for (let index = 0; index < total; index++) {
    const strict = index % strictEvery === 0;
    const subject: Subject = { strict, watches: lab.edges.edges.map(() => newWatch()), revokedAt: null };
    subjects.push(subject);
    pulse.live++;
    lives.push(live({ subject, lab, random: context.random, seen, pulse }).finally(() => pulse.live--));
    if ((index + 1) % Math.ceil(total / 4) === 0) timeline.note(`${index + 1} keys issued and in use`);
    await sleep(1_000 / size.perSecond);
    await waitFor(() => pulse.live < LIVE_KEYS && pulse.waitMs < CALM_MS, { forMs: SILENCE_MS, everyMs: 20 });
  }
  await Promise.all(lives);
  const seconds = (Date.now() - startedAt) / 1_000;
  timeline.note("every key is revoked, and refused or given up on, at every isolate");
  return conclude({ subjects, seen, seconds, quick: context.quick, waitMs: pulse.waitMs });
}

function newWatch(): Watch {
  return { admittedBefore: 0, firstRefusedAt: null, lastAdmittedAt: null, letThrough: 0, tooLate: 0, backAgain: 0 };
}

interface Life {
  readonly subject: Subject;
  readonly lab: Lab;
  readonly random: () => number;
  readonly seen: Record<string, number>;
  readonly pulse: Pulse;
}

/** A key from its issue until nothing more can come of it. */
async function live({ subject, lab, random, seen, pulse }: Life): Promise<void> {
  const { edges, client, api } = lab;
  const warmMs = WARM_MS.from + random() * (WARM_MS.to - WARM_MS.from);
  const issued = await api.issue(subject.strict ? { policy: { strict: true } } : {});
  const credentials = [issued.key, await exchangeKey(edges.home.url, issued.key)];
  const revoked = Promise.withResolvers<undefined>();
  const probes = edges.edges.map(async (edge, index) => {
    const watch = subject.watches[index];
    if (watch === undefined) throw new RangeError("an isolate without a watch");
    await probe({
      subject,
      watch,
      edge,
      client,
      seen,
      pulse,
      credentials,
      revoked: revoked.promise,
      phaseMs: random() * PROBE_EVERY_MS,
    });
  });
  await sleep(warmMs);
  await waitFor(() => subject.watches.every((watch) => watch.admittedBefore >= WARM_ADMISSIONS), {
    forMs: SILENCE_MS,
    everyMs: 20,
  });
  ({ answeredAt: subject.revokedAt } = await api.revoke(issued.id));
  revoked.resolve(undefined);
  await Promise.all(probes);
}

interface Probe {
  readonly subject: Subject;
  readonly watch: Watch;
  readonly edge: Edge;
  readonly client: Client;
  readonly seen: Record<string, number>;
  readonly pulse: Pulse;
  /** The key and its token. */
  readonly credentials: readonly string[];
  readonly revoked: Promise<undefined>;
  readonly phaseMs: number;
}

/** One client at one isolate. */
async function probe({
  subject,
  watch,
  edge,
  client,
  seen,
  pulse,
  credentials,
  revoked,
  phaseMs,
}: Probe): Promise<void> {
  await sleep(phaseMs);
  for (let turn = 0; ; turn++) {
    const one = await client.send({ url: edge.url, key: credentials[turn % credentials.length] ?? "" });
    seen[kindOf(one)] = (seen[kindOf(one)] ?? 0) + 1;
    pulse.waitMs += SMOOTHING * (one.answeredAt - one.sentAt - pulse.waitMs);
    note(subject, watch, one);
    if (isOver(subject)) return;
    const pause = (every: number): Promise<void> => sleep(Math.max(0, one.sentAt + every - Date.now()));
    // A strict key's clients look at once when it is revoked, and then often: the lag must not be that of their own pause.
    if (!subject.strict || watch.firstRefusedAt !== null) await pause(PROBE_EVERY_MS);
    else if (subject.revokedAt === null) await Promise.race([pause(PROBE_EVERY_MS), revoked]);
    else await pause(STRICT_PROBE_EVERY_MS);
  }
}

function isOver({ revokedAt, watches }: Subject): boolean {
  if (revokedAt === null) return false;
  const refusedEverywhereAt = Math.max(...watches.map(({ firstRefusedAt }) => firstRefusedAt ?? Infinity));
  const isMissed = watches.some(({ tooLate }) => tooLate > 0);
  return Date.now() > Math.min(refusedEverywhereAt + AFTERWARDS_MS, revokedAt + (isMissed ? GIVE_UP_MS : SILENCE_MS));
}

function note({ revokedAt }: Subject, watch: Watch, one: Seen): void {
  if (one.code === "key_revoked") watch.firstRefusedAt ??= one.answeredAt;
  if (!isAdmitted(one)) return;
  if (revokedAt === null) {
    watch.admittedBefore++;
    return;
  }
  watch.lastAdmittedAt = one.answeredAt;
  if (one.sentAt >= revokedAt) watch.letThrough++;
  if (one.sentAt > revokedAt + BOUND_MS) watch.tooLate++;
  // It was sent after a refusal had been answered.
  if (watch.firstRefusedAt !== null && one.sentAt > watch.firstRefusedAt) watch.backAgain++;
}

interface Measured {
  readonly subjects: readonly Subject[];
  readonly seen: Readonly<Record<string, number>>;
  readonly seconds: number;
  readonly quick: boolean;
  readonly waitMs: number;
}

function conclude({ subjects, seen, seconds, quick, waitMs }: Measured): Outcome {
  const normal = lagsOf(subjects.filter(({ strict }) => !strict));
  const strict = lagsOf(subjects.filter((subject) => subject.strict));
  const watches = subjects.flatMap((subject) => subject.watches);
  const cold = watches.filter(({ admittedBefore }) => admittedBefore < WARM_ADMISSIONS).length;
  const requests = Object.values(seen).reduce((sum, count) => sum + count, 0);
  const [refusal, last] = [spreadOf(normal.refusal), spreadOf(normal.lastAdmission)];
  const strictP50 = percentile(strict.refusal, 50);
  const speed = judgeSpeed(
    quick,
    atMost("revoke → first refusal at the slowest isolate, max", refusal.max, BOUND_MS, " ms"),
    atMost("revoke → last acceptance anywhere, max", last.max, BOUND_MS, " ms"),
    atMost("strict: revoke → first refusal, p50", strictP50, STRICT_BOUND_MS, " ms"),
  );
  return {
    targets: [
      ...speed.targets,
      exactly("requests sent more than 5 s after the revoke, and admitted", normal.tooLate + strict.tooLate, 0),
      exactly("key and isolate that never refused", normal.never + strict.never, 0),
      exactly("requests admitted after a refusal by the same isolate", normal.backAgain + strict.backAgain, 0),
      exactly("key and isolate that were not warm", cold, 0),
      atLeast("revokes", subjects.filter(({ revokedAt }) => revokedAt !== null).length, subjects.length),
    ],
    facts: [
      ...speed.facts,
      ["revoke → first refusal, each key and isolate", spreadText(refusal)],
      ["revoke → first refusal, fastest isolate of each key", spreadText(spreadOf(normal.fastest))],
      ["revoke → last acceptance, all isolates of each key", spreadText(last)],
      ["strict: revoke → first refusal", spreadText(spreadOf(strict.refusal))],
      [
        "resolution",
        `${PROBE_EVERY_MS} ms (a request so often for each key and isolate); strict ${STRICT_PROBE_EVERY_MS} ms`,
      ],
      ["wait of a request at the end, mean", `${figure(waitMs)} ms`],
      ["load", `${figure(requests / seconds)} requests a second for ${figure(seconds)} s`],
    ],
    detectMs: null,
    refuseMs: refusal.p50,
    letThrough: normal.letThrough + strict.letThrough,
    eventsLost: null,
    clientsSaw: seen,
    figures: {
      p50Ms: refusal.p50,
      p99Ms: refusal.p99,
      maxMs: Math.max(refusal.max, last.max),
      strictP50Ms: strictP50,
      lastAcceptance: last,
      strict: spreadOf(strict.refusal),
      revokes: subjects.length,
      resolutionMs: PROBE_EVERY_MS,
      strictResolutionMs: STRICT_PROBE_EVERY_MS,
    },
  };
}

/** Lags after the revoke's answer, ms. What happened before the answer counts as 0; what never happened as infinite. */
function lagsOf(subjects: readonly Subject[]) {
  const refusal: number[] = [];
  const fastest: number[] = [];
  const lastAdmission: number[] = [];
  let [letThrough, tooLate, backAgain, never] = [0, 0, 0, 0];
  for (const { watches, revokedAt } of subjects) {
    const after = (at: number | null, otherwise: number): number =>
      at === null || revokedAt === null ? otherwise : Math.max(0, at - revokedAt);
    const lags = watches.map(({ firstRefusedAt }) => after(firstRefusedAt, Infinity));
    refusal.push(...lags);
    fastest.push(Math.min(...lags));
    lastAdmission.push(Math.max(...watches.map(({ lastAdmittedAt }) => after(lastAdmittedAt, 0))));
    for (const watch of watches) {
      letThrough += watch.letThrough;
      tooLate += watch.tooLate;
      backAgain += watch.backAgain;
      if (watch.firstRefusedAt === null) never++;
    }
  }
  return { refusal, fastest, lastAdmission, letThrough, tooLate, backAgain, never };
}
