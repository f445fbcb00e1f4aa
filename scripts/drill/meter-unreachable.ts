import { setTimeout as sleep } from "node:timers/promises";
import { DEFAULT_GRACE_SECONDS, LEASE_TTL_MS, METER_TIMEOUT_MS } from "../../src/constants.ts";
import { isAdmitted, tally } from "./client.ts";
import type { Seen } from "./client.ts";
import type { IssuedKey } from "./control-api.ts";
import type { Drill, DrillContext, Lab, Outcome } from "./drill.ts";
import { atLeast, atMost, exactly } from "./figures.ts";
import { countedOf, edgeAt, setFaultsOnEdges, timeToShow, warmUp } from "./lab-use.ts";
import { startLoad, waitFor } from "./load.ts";
import type { Load } from "./load.ts";

/** No isolate reaches any meter. Known keys go on in grace as their policy says, then they are refused; strict ones at once. */

const PER_SECOND = 6;
const QUICK_GRACE_SECONDS = 2;
const LIMIT = 500;
/** Requests that make a key known: one for each isolate. */
const WARMING = 3;
/** A lease counts from before its meter was asked, the fault from when the last isolate has it. */
const ANSWER_MS = 500;
/** After the grace: to see that it stays closed. */
const AFTERWARDS_MS = 2_500;

export const meterUnreachable: Drill = {
  name: "meter-unreachable",
  breaks: "No isolate, and no broker, reaches any meter",
  seconds: { full: 50, quick: 22 },
  run,
};

async function run(context: DrillContext): Promise<Outcome> {
  const { quick, timeline } = context;
  const lab = await context.lab();
  const { api, edges } = lab;
  const graceSeconds = quick ? QUICK_GRACE_SECONDS : DEFAULT_GRACE_SECONDS;
  const policy = quick ? { graceSeconds } : {};
  const keys = {
    open: await api.issue({ policy }),
    closed: await api.issue({ policy: { onMeterUnavailable: "closed" } }),
    strict: await api.issue({ policy: { strict: true } }),
    limited: await api.issue({ policy, limits: [{ name: "daily", limit: LIMIT, window: "day", kind: "quota" }] }),
    revoked: await api.issue({ policy }),
  };
  for (const { key } of Object.values(keys)) await warmUp(lab, key, edges.edges);
  const loads = {
    open: use(lab, keys.open),
    closed: use(lab, keys.closed),
    strict: use(lab, keys.strict),
    limited: use(lab, keys.limited),
    revoked: use(lab, keys.revoked),
  };
  await sleep(1_500);
  await breakMeters(lab);
  const brokenAt = Date.now();
  timeline.note(`no meter can be reached; the grace is ${graceSeconds} s`);
  const detected = timeToShow(edgeAt(lab, 0), "meter", true);
  await sleep(200);
  await api.revoke(keys.revoked.id);
  const revokedAt = Date.now();
  timeline.note("a key is revoked: its meter knows, the isolates cannot ask");
  await sleep(LEASE_TTL_MS + graceSeconds * 1_000 + ANSWER_MS + AFTERWARDS_MS);
  const healedAt = Date.now();
  await Promise.all([setFaultsOnEdges(lab, {}), edges.home.setFaults({})]);
  timeline.note("meters can be reached again");
  const { open } = loads;
  const back = await waitFor(
    () => open.results.some((one) => one.sentAt > healedAt && one.status === 200 && !one.degraded),
    {
      forMs: 10_000,
      everyMs: 20,
    },
  );
  timeline.note("the first ordinary admission");
  await sleep(500);
  const [detectMs, seen] = [await detected, await stopAll(loads)];
  const counted = await countedOf(lab, keys.open.id, seen.open.length + edges.edges.length);
  return conclude({ seen, brokenAt, revokedAt, healedAt, graceSeconds, detectMs, back, counted, context });
}

/** For isolates, and for the brokers near them; the registry reaches them still. */
async function breakMeters(lab: Lab): Promise<void> {
  await lab.edges.home.setFaults({ KEY_METER: { kind: "down", methods: ["acquire", "release"] } });
  await setFaultsOnEdges(lab, { KEY_METER: { kind: "down" } });
}

type Name = "open" | "closed" | "strict" | "limited" | "revoked";

function use(lab: Lab, { key }: IssuedKey): Load<Seen> {
  return startLoad(PER_SECOND, (index) => lab.client.send({ url: edgeAt(lab, index).url, key }));
}

async function stopAll(loads: Readonly<Record<Name, Load<Seen>>>): Promise<Record<Name, readonly Seen[]>> {
  const [open, closed, strict, limited, revoked] = await Promise.all([
    loads.open.stop(),
    loads.closed.stop(),
    loads.strict.stop(),
    loads.limited.stop(),
    loads.revoked.stop(),
  ]);
  return { open, closed, strict, limited, revoked };
}

interface Measured {
  readonly seen: Readonly<Record<Name, readonly Seen[]>>;
  readonly brokenAt: number;
  readonly revokedAt: number;
  readonly healedAt: number;
  readonly graceSeconds: number;
  readonly detectMs: number | null;
  readonly back: number | null;
  readonly counted: number;
  readonly context: DrillContext;
}

function conclude(measured: Measured): Outcome {
  const { seen, brokenAt, revokedAt, healedAt, graceSeconds, detectMs, back, counted, context } = measured;
  const during = (name: Name): Seen[] =>
    seen[name].filter(({ sentAt, answeredAt }) => sentAt > brokenAt && answeredAt < healedAt);
  const admitted = (name: Name): Seen[] => during(name).filter(isAdmitted);
  const lastMs = (name: Name): number => Math.max(0, ...admitted(name).map(({ sentAt }) => sentAt - brokenAt));
  const firstGrace = during("open").find(({ degraded }) => degraded);
  if (firstGrace !== undefined) context.timeline.note("the first answer in grace", firstGrace.answeredAt);
  context.timeline.note("the last admission of an ordinary key", brokenAt + lastMs("open"));
  const strictRefusal = during("strict").find(({ status }) => status === 503);
  const unmarked = admitted("open").filter(
    ({ degraded, sentAt }) => !degraded && sentAt - brokenAt > LEASE_TTL_MS + ANSWER_MS,
  ).length;
  const refusals = (["open", "closed", "strict", "limited"] as const).flatMap((name) =>
    during(name).filter(({ status }) => status !== 200),
  );
  const graceEndMs = LEASE_TTL_MS + graceSeconds * 1_000 + ANSWER_MS;
  const revokedLagMs = Math.max(0, ...admitted("revoked").map(({ sentAt }) => sentAt - revokedAt));
  const letThrough = admitted("revoked").filter(({ sentAt }) => sentAt > revokedAt).length;
  const readmitted = seen.revoked.filter(({ sentAt, status }) => sentAt > healedAt + 1_000 && status === 200).length;
  return {
    targets: [
      exactly("strict: admitted", admitted("strict").length, 0),
      atMost("closed: last admission", lastMs("closed"), LEASE_TTL_MS + ANSWER_MS, " ms"),
      atLeast("ordinary key: last admission, at least", lastMs("open"), graceSeconds * 1_000, " ms"),
      atMost("ordinary key: last admission, at most", lastMs("open"), graceEndMs, " ms"),
      exactly("admitted past the lease without the mark of grace", unmarked, 0),
      atMost(
        "key with a limit: units admitted in all",
        seen.limited.filter(({ status }) => status === 200).length,
        LIMIT,
      ),
      exactly("refusals other than 503 with Retry-After", refusals.filter(isNotHonest).length, 0),
      atMost(
        "revoked meanwhile: last admission (grace is the stated exception to 5 s)",
        revokedLagMs,
        graceEndMs,
        " ms",
      ),
      exactly("revoked meanwhile: admitted 1 s after meters are back", readmitted, 0),
      atMost("meters back → ordinary admission", (back ?? Infinity) - healedAt, METER_TIMEOUT_MS + 1_000, " ms"),
    ],
    facts: [
      ["strict: first 503 after", strictRefusal === undefined ? "–" : `${strictRefusal.answeredAt - brokenAt} ms`],
      ["closed: last admission after", `${lastMs("closed")} ms`],
      [
        "ordinary: last admission after",
        `${lastMs("open")} ms (lease ≤ ${LEASE_TTL_MS} ms, then ${graceSeconds} s of grace)`,
      ],
      ["with a limit: last admission after", `${lastMs("limited")} ms (only units that isolates held)`],
      [
        "in grace, ordinary key",
        `${admitted("open").filter(({ degraded }) => degraded).length} answers with X-Latchkey-Degraded`,
      ],
    ],
    detectMs,
    refuseMs: strictRefusal === undefined ? null : strictRefusal.answeredAt - brokenAt,
    letThrough,
    eventsLost: Math.max(0, seen.open.filter(({ status }) => status > 0).length + WARMING - counted),
    clientsSaw: tally(Object.values(seen).flat()),
    figures: {
      graceSeconds,
      lastAdmissionMs: { open: lastMs("open"), closed: lastMs("closed"), limited: lastMs("limited") },
    },
  };
}

function isNotHonest({ status, retryAfter }: Seen): boolean {
  return status !== 503 || retryAfter === null;
}
