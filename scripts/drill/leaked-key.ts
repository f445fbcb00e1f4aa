import { setTimeout as sleep } from "node:timers/promises";
import { REVOCATION_BOUND_SECONDS } from "../../src/constants.ts";
import { isAdmitted, tally } from "./client.ts";
import type { Seen } from "./client.ts";
import type { ControlApi } from "./control-api.ts";
import type { Drill, DrillContext, Lab, Outcome } from "./drill.ts";
import { atMost, exactly } from "./figures.ts";
import { edgeAt, warmUp } from "./lab-use.ts";
import { startLoad, waitFor } from "./load.ts";

/** A key is used by its owner, and by whoever found it, from many addresses at every isolate. The runbook is followed to the letter. */

const BOUND_MS = REVOCATION_BOUND_SECONDS * 1_000;
const HOME_COUNTRY = "DE";
const HOME_ADDRESS = "192.0.2.10";
const OTHER_COUNTRIES = ["BR", "CA", "IN", "JP", "NG", "US"];
const ADDRESSES = 60;
const OWNER_PER_SECOND = 10;
/** So many requests from countries that the key was never used from: somebody looks. */
const ALARM_REQUESTS = 20;
const ALARM_WITHIN_MS = 20_000;
/** How long the owner's client takes to be given its new key. */
const HAND_OVER_MS = 500;

export const leakedKey: Drill = {
  name: "leaked-key",
  breaks: "A key that leaked is used from many addresses at every isolate, beside its owner",
  seconds: { full: 25, quick: 16 },
  run,
};

async function run({ quick, timeline, lab: open }: DrillContext): Promise<Outcome> {
  const lab = await open();
  const { api, client, edges } = lab;
  const leaked = await api.issue({ owner: "leaked" });
  await warmUp(lab, leaked.key, edges.edges);
  const inUse = { key: leaked.key };
  const owner = startLoad(OWNER_PER_SECOND, async (index) => {
    const { key } = inUse;
    const seen = await client.send({ url: edgeAt(lab, index).url, key, ip: HOME_ADDRESS, country: HOME_COUNTRY });
    return { key, seen };
  });
  await sleep(quick ? 1_500 : 5_000);

  const attackedAt = Date.now();
  const attack = startLoad(quick ? 60 : 120, (index) => steal(lab, leaked.key, index));
  timeline.note(`the attack begins: ${ADDRESSES} addresses in ${OTHER_COUNTRIES.length} countries`);
  const detectedAt = await waitFor(async () => (await requestsAbroad(api, leaked.id)) >= ALARM_REQUESTS, {
    forMs: ALARM_WITHIN_MS,
    everyMs: 200,
  });
  timeline.note("GET /usage?key=…&groupBy=country shows requests from countries that were never seen");

  const fresh = await api.rotate(leaked.id, { overlapSeconds: 60 });
  timeline.note("the key is rotated with an overlap of a minute");
  await sleep(HAND_OVER_MS);
  inUse.key = fresh.key;
  await waitFor(() => owner.results.some(({ key, seen }) => key === fresh.key && seen.status === 200), {
    forMs: 5_000,
    everyMs: 10,
  });
  timeline.note("the owner's client has the new key, and it works");
  const { answeredAt } = await api.revoke(leaked.id);
  timeline.note("the leaked key is revoked");
  await sleep(BOUND_MS + 1_000);
  const stolen = await attack.stop();
  const owned = (await owner.stop()).map(({ seen }) => seen);
  const last = Math.max(0, ...stolen.filter(isAdmitted).map((one) => one.sentAt - answeredAt));
  timeline.note("the last request of the attack that was admitted", answeredAt + last);
  const after = await lab.client.send({ url: edgeAt(lab, 0).url, key: fresh.key });
  return conclude({
    stolen,
    owned,
    after,
    last,
    attackedAt,
    answeredAt,
    detectedAt,
    byCode: await byCode(api, leaked.id),
  });
}

function steal({ client, edges }: Lab, key: string, index: number): Promise<Seen> {
  const edge = edges.edges[index % edges.edges.length];
  const ip = `203.0.113.${(index % ADDRESSES) + 1}`;
  const country = OTHER_COUNTRIES[index % OTHER_COUNTRIES.length] ?? "US";
  return client.send({ url: edge?.url ?? "", key, ip, country });
}

async function requestsAbroad(api: ControlApi, keyId: string): Promise<number> {
  const { body } = await api.call("GET", `/usage?key=${keyId}&granularity=minute&groupBy=country`);
  const series = (body["series"] ?? []) as readonly { readonly country: string | null; readonly requests: number }[]; // the contract's rows
  return series
    .filter(({ country }) => OTHER_COUNTRIES.includes(country ?? ""))
    .reduce((sum, row) => sum + row.requests, 0);
}

/** What the ledger will tell of the incident. */
async function byCode(api: ControlApi, keyId: string): Promise<string> {
  const { body } = await api.call("GET", `/usage?key=${keyId}&granularity=hour&groupBy=code`);
  const series = (body["series"] ?? []) as readonly { readonly code: string; readonly requests: number }[]; // as above
  return series.map(({ code, requests }) => `${requests} × ${code}`).join(", ");
}

interface Measured {
  readonly stolen: readonly Seen[];
  readonly owned: readonly Seen[];
  readonly after: Seen;
  readonly last: number;
  readonly attackedAt: number;
  readonly answeredAt: number;
  readonly detectedAt: number | null;
  readonly byCode: string;
}

function conclude({
  stolen,
  owned,
  after,
  last,
  attackedAt,
  answeredAt,
  detectedAt,
  byCode: codes,
}: Measured): Outcome {
  const admitted = stolen.filter(isAdmitted);
  const afterRevoke = admitted.filter(({ sentAt }) => sentAt >= answeredAt).length;
  const detectMs = detectedAt === null ? Infinity : detectedAt - attackedAt;
  const late = stolen.filter(({ sentAt }) => sentAt > answeredAt + BOUND_MS);
  return {
    targets: [
      atMost("attack → seen in /usage", detectMs, ALARM_WITHIN_MS, " ms"),
      atMost("revoke → last acceptance of the leaked key", last, BOUND_MS, " ms"),
      exactly(
        "answers to the attack after 5 s that were not 401 key_revoked",
        late.filter(({ code }) => code !== "key_revoked").length,
        0,
      ),
      exactly("requests of the owner that were not admitted", owned.filter((one) => !isAdmitted(one)).length, 0),
      exactly("the owner's new key works in the end", Number(isAdmitted(after)), 1),
    ],
    facts: [
      [
        "attack → contained",
        `${answeredAt + last - attackedAt} ms, of which the reader of /usage waited ${detectMs} ms`,
      ],
      ["attack's requests admitted before the revoke, after it", `${admitted.length - afterRevoke}, ${afterRevoke}`],
      [
        "the owner saw",
        Object.entries(tally(owned))
          .map(([kind, times]) => `${times} × ${kind}`)
          .join(", "),
      ],
      ["/usage tells of the leaked key", codes],
    ],
    detectMs,
    refuseMs: last,
    letThrough: admitted.length,
    eventsLost: null,
    clientsSaw: tally([...stolen, ...owned]),
    figures: { containedMs: answeredAt + last - attackedAt, letThroughAfterRevoke: afterRevoke },
  };
}
