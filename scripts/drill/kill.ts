import { setTimeout as sleep } from "node:timers/promises";
import { figure } from "../report/table.ts";
import { Client, tally } from "./client.ts";
import type { Seen } from "./client.ts";
import { controlApi } from "./control-api.ts";
import type { IssuedKey } from "./control-api.ts";
import type { Drill, DrillContext, Outcome } from "./drill.ts";
import { atLeast, atMost, exactly } from "./figures.ts";
import { KillRound } from "./kill-round.ts";
import { waitFor } from "./load.ts";
import { makeInstall } from "./server.ts";
import type { Install, Server } from "./server.ts";

/** `npm start` in a process of its own; SIGKILL in the middle of issues, revokes and requests; the same data again. */

const LIMIT = 400;
/** A block that a meter had reserved, and the units in hands, are lost with the process (`src/limits/sizing.ts`). */
const UNUSED_PER_KILL = 0.1;
/** Killed: the runtime alone, which `npm start` starts anew by itself; or `npm start` and the runtime. */
const VICTIMS = ["runtime", "all"] as const;
const RECOVER_MS = 30_000;

export const kill: Drill = {
  name: "kill",
  breaks: "SIGKILL of the Worker's process in the middle of issues, revokes and requests",
  seconds: { full: 75, quick: 30 },
  run,
};

async function run({ quick, timeline, onEnd }: DrillContext): Promise<Outcome> {
  const install = await makeInstall();
  const client = new Client();
  onEnd(async () => {
    client.close();
    await install.remove();
  });
  let server = await install.start();
  const limited = await controlApi(server, server.rootToken).issue({
    limits: [{ name: "daily", limit: LIMIT, window: "day", kind: "quota" }],
  });
  const rounds: KillRound[] = [];
  const downMs: number[] = [];
  for (let index = 0; index < (quick ? 2 : 6); index++) {
    const victim = VICTIMS[index % VICTIMS.length] ?? "all";
    const round = await KillRound.begin(server, client, limited.key);
    await sleep(quick ? 3_500 : 5_000 + index * 300);
    const killedAt = await killIt(server, victim);
    round.end(killedAt);
    timeline.note(`SIGKILL for ${victim === "all" ? "npm start and its runtime" : "the runtime"}`, killedAt);
    server = await recover(install, server, victim);
    await waitFor(async () => (await client.send({ url: server.url, key: limited.key })).status > 0, {
      forMs: RECOVER_MS,
      everyMs: 20,
    });
    downMs.push(Date.now() - killedAt);
    timeline.note("it answers again");
    await round.settled();
    rounds.push(round);
  }
  const findings = await examine(server, client, rounds);
  const spent = await spendTheRest(server, client, limited, rounds);
  timeline.note("everything that was answered has been looked up");
  return conclude({ rounds, downMs, findings, spent });
}

async function killIt(server: Server, victim: (typeof VICTIMS)[number]): Promise<number> {
  if (victim === "all") {
    const killed = server.killAll();
    const at = Date.now();
    await killed;
    return at;
  }
  const pid = await server.runtimePid();
  if (pid === null) throw new Error("the runtime is not running");
  process.kill(pid, "SIGKILL");
  return Date.now();
}

async function recover(install: Install, server: Server, victim: (typeof VICTIMS)[number]): Promise<Server> {
  return victim === "all" ? await install.start() : server;
}

interface Examined {
  readonly lostKeys: number;
  readonly admittedRevoked: number;
  readonly refusedGood: number;
  readonly eventsLost: number;
  readonly oldEventsLost: number;
  readonly answered: number;
  readonly outboxDrained: boolean;
  readonly chainValid: boolean;
  readonly seen: readonly Seen[];
}

/** Everything that had been answered, against what the restarted install says. */
async function examine(server: Server, client: Client, rounds: readonly KillRound[]): Promise<Examined> {
  const api = controlApi(server, server.rootToken);
  const seen: Seen[] = [];
  let [lostKeys, admittedRevoked, refusedGood] = [0, 0, 0];
  for (const { issued, revoked, cutOff } of rounds) {
    for (const { id, key } of issued) {
      const { status } = await api.call("GET", `/keys/${id}`);
      if (status !== 200) lostKeys++;
      const one = await client.send({ url: server.url, key });
      seen.push(one);
      if (revoked.has(id)) admittedRevoked += one.status === 200 ? 1 : 0;
      // A revoke that was cut off before its answer may stand or not.
      else if (!cutOff.has(id) && one.status !== 200) refusedGood++;
    }
  }
  const outboxDrained =
    (await waitFor(async () => (await api.metric("latchkey_outbox_pending")) === 0, {
      forMs: RECOVER_MS,
      everyMs: 250,
    })) !== null;
  const { body } = await api.call("GET", "/audit/verify");
  let [eventsLost, oldEventsLost, answered] = [0, 0, 0];
  // The queue gathers for a second.
  await sleep(3_000);
  for (const { early, late } of rounds) {
    const [ofEarly, ofLate] = [await api.usage(early.key.id), await api.usage(late.key.id)];
    oldEventsLost += Math.max(0, early.answered - ofEarly.requests);
    eventsLost += Math.max(0, early.answered - ofEarly.requests) + Math.max(0, late.answered - ofLate.requests);
    answered += early.answered + late.answered;
  }
  return {
    lostKeys,
    admittedRevoked,
    refusedGood,
    eventsLost,
    oldEventsLost,
    answered,
    outboxDrained,
    chainValid: body["valid"] === true,
    seen,
  };
}

/** What was admitted of the limited key, over all of the kills and until it is used up. */
async function spendTheRest(
  server: Server,
  client: Client,
  { key }: IssuedKey,
  rounds: readonly KillRound[],
): Promise<number> {
  let admitted = rounds.reduce((sum, round) => sum + round.limitedAdmitted, 0);
  for (let call = 0; call < 2 * LIMIT; call++) {
    const { status } = await client.send({ url: server.url, key });
    if (status === 200) admitted++;
    else if (status === 429) return admitted;
  }
  return admitted;
}

interface Measured {
  readonly rounds: readonly KillRound[];
  readonly downMs: readonly number[];
  readonly findings: Examined;
  readonly spent: number;
}

function conclude({ rounds, downMs, findings, spent }: Measured): Outcome {
  const sum = (of: (round: KillRound) => number): number => rounds.reduce((total, round) => total + of(round), 0);
  const atRisk = sum((round) => round.atRisk);
  const unanswered = sum((round) => round.limitedUnanswered);
  const floor = Math.floor(LIMIT * (1 - rounds.length * UNUSED_PER_KILL));
  return {
    targets: [
      exactly("answered issues that are lost", findings.lostKeys, 0),
      exactly("revoked keys that are admitted after the restart", findings.admittedRevoked, 0),
      exactly("good keys that are refused after the restart", findings.refusedGood, 0),
      atMost("units admitted of the limited key, over all kills", spent, LIMIT),
      atLeast("units admitted of it, with those whose answer was cut off", spent + unanswered, floor),
      exactly("events lost that were older than the buffers", findings.oldEventsLost, 0),
      atMost("events lost, of those younger", findings.eventsLost, atRisk),
      exactly("outbox drained, audit chain whole", Number(findings.outboxDrained) + Number(findings.chainValid), 2),
    ],
    facts: [
      ["kills", `${rounds.length}; without an answer for ${downMs.map((ms) => `${figure(ms)} ms`).join(", ")}`],
      [
        "changes answered",
        `${sum((round) => round.issued.length)} issues, ${sum((round) => round.revoked.size)} revokes`,
      ],
      [
        "requests answered",
        `${findings.answered}; ${findings.eventsLost} of their events lost, all of the last ${figure(KillRound.bufferMs / 1_000)} s before a kill (${atRisk} answered then)`,
      ],
      ["limit", `${LIMIT}: ${spent} admitted, and ${unanswered} requests without an answer`],
    ],
    detectMs: null,
    refuseMs: null,
    letThrough: findings.admittedRevoked + Math.max(0, spent - LIMIT),
    eventsLost: findings.eventsLost,
    clientsSaw: tally([...rounds.flatMap((round) => round.seen), ...findings.seen]),
    figures: { kills: rounds.length, downMs, eventsAtRisk: atRisk, eventsLostWithinMs: KillRound.bufferMs },
  };
}
