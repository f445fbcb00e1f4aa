import { setTimeout as sleep } from "node:timers/promises";
import type { Edges } from "../lab/edges.ts";
import { REVOCATION_BOUND_SECONDS } from "../../src/constants.ts";
import { issueKey, revokeKey } from "./control.ts";
import { type Client, offer, schedule, type Seen } from "./offer.ts";
import type { Random } from "./random.ts";

/** A key in use on every isolate is revoked; how long it goes on. */

export interface RevocationFigures {
  readonly isolates: number;
  readonly offeredPerSecond: number;
  /** Requests that passed after the key was revoked, within the bound. */
  readonly passedWithinBound: number;
  /** Sent later than the bound after the answer to `revoke`, and passed all the same. */
  readonly passedAfterBound: number;
  /** From the answer to `revoke` to the arrival of the last request that passed, ms; negative when none came after it. */
  readonly lastPassedMs: number;
  /** The same for the first request that was refused; `null` when none was. */
  readonly firstRefusedMs: number | null;
  /** The machine was too slow: an isolate never admitted the key, or never refused it, while it was watched. What passed after the bound did so all the same. */
  readonly disturbed: boolean;
}

export const REVOCATION_PER_SECOND = 40;
/** So long at most, with the time to issue the key. */
export const REVOCATION_MS = 14_000;
/** The key is revoked somewhere between these, at any age of the leases that stand then. */
const WARM_UP_MS = { least: 2_000, most: 5_000 } as const;
/** Goes on for so long after the answer, to see what comes late. */
const WATCH_MS = (REVOCATION_BOUND_SECONDS + 3) * 1_000;

export interface RevocationRun {
  readonly edges: Edges;
  readonly client: Client;
  readonly isolates: number;
  readonly random: Random;
  /** Makes the registry acknowledge the revocation without telling the meter. */
  readonly plant: boolean;
}

/** Takes `REVOCATION_MS` at most. */
export async function measureRevocation(run: RevocationRun): Promise<RevocationFigures> {
  const { edges, client, isolates, random, plant } = run;
  const { id, key } = await issueKey(edges.home, `revoked on ${isolates}`, []);
  const from = Date.now();
  const warmUpMs = WARM_UP_MS.least + random() * (WARM_UP_MS.most - WARM_UP_MS.least);
  const plan = {
    from,
    until: from + warmUpMs + WATCH_MS,
    perSecond: REVOCATION_PER_SECOND,
    isolates,
    shape: "steady" as const,
  };
  const load = offer(schedule(plan, random), (isolate) => client.send(key, isolate));
  await sleep(warmUpMs);
  // As if the meter had taken every record: nothing is ahead of what it was told.
  if (plant) await edges.home.setFaults({ KEY_METER: { kind: "skipped", methods: ["publish"], answer: [] } });
  await revokeKey(edges.home, id);
  const answeredAt = Date.now();
  if (plant) await edges.home.setFaults({});
  const { seen } = await load;
  const passedAfter = seen.filter(({ passed, sentAt }) => passed && sentAt > answeredAt);
  const refused = seen.filter(({ status }) => status === 401).toSorted((a, b) => a.settledAt - b.settledAt)[0];
  const before = seen.filter(({ passed, settledAt }) => passed && settledAt < answeredAt);
  const after = seen.filter(({ status, settledAt }) => status === 401 && settledAt > answeredAt);
  const late = passedAfter.filter(({ sentAt }) => sentAt - answeredAt > REVOCATION_BOUND_SECONDS * 1_000);
  return {
    isolates,
    offeredPerSecond: REVOCATION_PER_SECOND,
    passedWithinBound: passedAfter.length - late.length,
    passedAfterBound: late.length,
    lastPassedMs: Math.max(...seen.filter(({ passed }) => passed).map(({ settledAt }) => settledAt - answeredAt)),
    disturbed: !reachesAll(isolates, before) || (late.length === 0 && !reachesAll(isolates, after)),
    firstRefusedMs: refused === undefined ? null : refused.settledAt - answeredAt,
  };
}

function reachesAll(isolates: number, seen: readonly Seen[]): boolean {
  return new Set(seen.map(({ isolate }) => isolate)).size === isolates;
}
