import { setTimeout as sleep } from "node:timers/promises";
import type { Faults } from "../lab/faults.ts";
import { isAdmitted, tally } from "./client.ts";
import type { Seen } from "./client.ts";
import type { Drill, DrillContext, Lab, Outcome } from "./drill.ts";
import { exactly, spreadOf, spreadText } from "./figures.ts";
import { apiOf, countedOf, edgeAt, setFaultsOnEdges, warmUp } from "./lab-use.ts";
import { startLoad, waitFor } from "./load.ts";

/** The usage queue refuses, then takes batches but says that it did not, then the ledger is out of reach as well. */

const PER_SECOND = 40;
/** A route with `audit: "sync"`: it answers when its event is safe. */
const SYNC_PER_SECOND = 1;
/** After the last event is counted: one that comes twice would show by then. */
const SETTLE_MS = 4_000;

const PHASES: readonly { readonly what: string; readonly faults: Faults }[] = [
  { what: "the queue refuses", faults: { USAGE: { kind: "down" } } },
  { what: "the queue takes batches, but its answers are lost", faults: { USAGE: { kind: "lost" } } },
  { what: "queue and ledger refuse", faults: { USAGE: { kind: "down" }, USAGE_LEDGER: { kind: "down" } } },
];

export const queueRefuses: Drill = {
  name: "queue-refuses",
  breaks: "The usage queue refuses, loses its answers, and then the ledger refuses too, under load",
  seconds: { full: 45, quick: 20 },
  run,
};

async function run({ quick, timeline, lab: open }: DrillContext): Promise<Outcome> {
  const lab = await open();
  const { api, client, edges } = lab;
  const phaseMs = quick ? 2_500 : 10_000;
  const key = await api.issue();
  await warmUp(lab, key.key, edges.edges);
  const load = startLoad(PER_SECOND, (index) => client.send({ url: edgeAt(lab, index).url, key: key.key }));
  const charges = startLoad(SYNC_PER_SECOND, (index) =>
    client.send({ url: edgeAt(lab, index).url, key: key.key, path: "/charges", method: "POST" }),
  );
  let detectMs: number | null = null;
  for (const { what, faults } of PHASES) {
    await setFaultsOnEdges(lab, faults);
    const brokenAt = Date.now();
    timeline.note(what);
    if (detectMs === null) {
      const failures = async (): Promise<boolean> =>
        ((await apiOf(edgeAt(lab, 0)).metric("latchkey_isolate_queue_failures_total")) ?? 0) > 0;
      const shownAt = await waitFor(failures, { forMs: phaseMs, everyMs: 100 });
      if (shownAt !== null) {
        detectMs = shownAt - brokenAt;
        timeline.note("latchkey_isolate_queue_failures_total rises");
      }
    }
    await sleep(Math.max(0, brokenAt + phaseMs - Date.now()));
  }
  await setFaultsOnEdges(lab, {});
  timeline.note("both are well again");
  const healedAt = Date.now();
  await sleep(1_000);
  const plain = await load.stop();
  const sync = await charges.stop();
  const answered = plain.length + sync.length + edges.edges.length;
  const all = await countedOf(lab, key.id, answered);
  timeline.note(`the ledger counts ${all} of ${answered} answered requests, ${Date.now() - healedAt} ms after`);
  await sleep(SETTLE_MS);
  const counted = (await api.usage(key.id)).requests;
  return conclude({ lab, plain, sync, answered, counted, detectMs });
}

interface Measured {
  readonly lab: Lab;
  readonly plain: readonly Seen[];
  readonly sync: readonly Seen[];
  readonly answered: number;
  readonly counted: number;
  readonly detectMs: number | null;
}

async function conclude({ lab, plain, sync, answered, counted, detectMs }: Measured): Promise<Outcome> {
  const duplicates = (await lab.api.metric("latchkey_ledger_duplicate_batches")) ?? 0;
  const took = (seen: readonly Seen[]) => spreadOf(seen.map(({ sentAt, answeredAt }) => answeredAt - sentAt));
  const all = [...plain, ...sync];
  return {
    targets: [
      exactly("requests that were not admitted", all.filter((one) => !isAdmitted(one)).length, 0),
      exactly("events lost", Math.max(0, answered - counted), 0),
      exactly("events counted twice", Math.max(0, counted - answered), 0),
    ],
    facts: [
      ["answered, and counted by the ledger", `${answered}, ${counted}`],
      ["batches that came again and were left alone", String(duplicates)],
      ["requests", spreadText(took(plain))],
      ['requests that wait for their event (audit: "sync")', spreadText(took(sync))],
    ],
    detectMs,
    refuseMs: null,
    letThrough: 0,
    eventsLost: Math.max(0, answered - counted),
    clientsSaw: tally(all),
  };
}
