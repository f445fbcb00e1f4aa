import { setTimeout as sleep } from "node:timers/promises";
import { KV_TIMEOUT_MS, REVOCATION_BOUND_SECONDS } from "../../src/constants.ts";
import type { Faults } from "../lab/faults.ts";
import { isAdmitted, tally } from "./client.ts";
import type { Seen } from "./client.ts";
import type { Drill, DrillContext, Lab, Outcome } from "./drill.ts";
import { atMost, exactly, judgeSpeed, spreadOf, spreadText } from "./figures.ts";
import { edgeAt, setFaultsOnEdges, timeToShow, warmUp } from "./lab-use.ts";
import { startLoad, waitFor } from "./load.ts";
import { measureStopLag } from "./stop-lag.ts";

/** KV takes seconds, first fewer than a request waits for it, then more. Keys that the isolates know must not notice. */

const SLOW_MS = KV_TIMEOUT_MS - 1_000;
const TOO_SLOW_MS = KV_TIMEOUT_MS + 2_000;
const WARM_PER_SECOND = 30;
const COLD_PER_SECOND = 3;
const BOUND_MS = REVOCATION_BOUND_SECONDS * 1_000;

export const kvSlow: Drill = {
  name: "kv-slow",
  breaks: `KV answers after ${SLOW_MS / 1_000} s, then after ${TOO_SLOW_MS / 1_000} s`,
  seconds: { full: 30, quick: 14 },
  run,
};

const took = ({ sentAt, answeredAt }: Seen): number => answeredAt - sentAt;

async function run({ quick, timeline, lab: open }: DrillContext): Promise<Outcome> {
  const lab = await open();
  const { client, api, edges } = lab;
  const faultMs = quick ? 1_500 : 8_000;
  const [warm, doomed] = [await api.issue(), await api.issue()];
  for (const { key } of [warm, doomed]) await warmUp(lab, key, edges.edges);
  const calm = await during(lab, warm.key, quick ? 1_000 : 4_000);
  timeline.note(`calm: ${spreadText(spreadOf(calm.map(took)))}`);

  await slowDown(lab, SLOW_MS);
  timeline.note(`KV takes ${SLOW_MS} ms`);
  const detected = timeToShow(edgeAt(lab, 0), "keys", true);
  const slow = await underFault(lab, warm.key, faultMs);
  const detectMs = await detected;
  timeline.note(`readyz named KV as down ${detectMs ?? "never"} ms after`);

  const stop = await measureStopLag(lab, {
    key: doomed.key,
    edges: edges.edges,
    stop: () => api.revoke(doomed.id),
  });
  timeline.note(`a key that was revoked meanwhile was admitted last ${stop.lagMs} ms after`);

  await slowDown(lab, TOO_SLOW_MS);
  timeline.note(`KV takes ${TOO_SLOW_MS} ms`);
  const tooSlow = await underFault(lab, warm.key, faultMs);

  await slowDown(lab, 0);
  const healedAt = Date.now();
  const fresh = await api.issue();
  const back = await waitFor(
    async () => (await client.send({ url: edgeAt(lab, 1).url, key: fresh.key })).status === 200,
    { forMs: 10_000, everyMs: 50 },
  );
  timeline.note(`KV is well again; a key that no isolate knew got in after ${(back ?? Infinity) - healedAt} ms`);
  const warmSeen = [...slow.warm, ...tooSlow.warm];
  const waited = warmSeen.filter((one) => took(one) >= SLOW_MS).length;
  const speed = judgeSpeed(
    quick,
    exactly("requests of a known key that waited for KV", waited, 0),
    atMost("keys unknown here: longest wait for the 503", spreadOf(tooSlow.cold.map(took)).max, TOO_SLOW_MS, " ms"),
    atMost("well again → unknown key admitted", (back ?? Infinity) - healedAt, 5_000, " ms"),
  );
  return {
    targets: [
      exactly("requests of a known key that were not admitted", warmSeen.filter((one) => !isAdmitted(one)).length, 0),
      ...speed.targets,
      exactly("keys unknown here, KV slow: not admitted", slow.cold.filter((one) => !isAdmitted(one)).length, 0),
      exactly("keys unknown here, KV too slow: not 503 with Retry-After", tooSlow.cold.filter(isNotHonest).length, 0),
      atMost("revoke → last acceptance, KV slow", stop.lagMs, BOUND_MS, " ms"),
    ],
    facts: [
      ...speed.facts,
      ["known key, calm", spreadText(spreadOf(calm.map(took)))],
      ["known key, KV slow or too slow", spreadText(spreadOf(warmSeen.map(took)))],
      ["unknown key, KV slow", spreadText(spreadOf(slow.cold.map(took)))],
      ["unknown key, KV too slow", spreadText(spreadOf(tooSlow.cold.map(took)))],
    ],
    detectMs,
    refuseMs: stop.lagMs,
    letThrough: stop.letThrough,
    eventsLost: null,
    clientsSaw: tally([...calm, ...warmSeen, ...slow.cold, ...tooSlow.cold, ...stop.seen]),
  };
}

function isNotHonest({ status, retryAfter }: Seen): boolean {
  return status !== 503 || retryAfter === null;
}

/** For whoever reads: isolates, and the brokers near them, which live at `home`. 0: as ever. */
async function slowDown(lab: Lab, ms: number): Promise<void> {
  const faults: Faults = ms === 0 ? {} : { KEYS: { kind: "slow", methods: ["get", "getWithMetadata"], ms } };
  await Promise.all([setFaultsOnEdges(lab, faults), lab.edges.home.setFaults(faults)]);
}

async function during(lab: Lab, key: string, ms: number): Promise<readonly Seen[]> {
  const load = startLoad(WARM_PER_SECOND, (index) => lab.client.send({ url: edgeAt(lab, index).url, key }));
  await sleep(ms);
  return await load.stop();
}

/** A known key, and keys that no isolate has seen, side by side. */
async function underFault(lab: Lab, key: string, ms: number) {
  const fresh = startLoad(COLD_PER_SECOND, async (index) => {
    const { key: unknown } = await lab.api.issue();
    return await lab.client.send({ url: edgeAt(lab, index).url, key: unknown });
  });
  const known = startLoad(WARM_PER_SECOND, (index) => lab.client.send({ url: edgeAt(lab, index).url, key }));
  await sleep(ms);
  const cold = await fresh.stop();
  return { warm: await known.stop(), cold };
}
