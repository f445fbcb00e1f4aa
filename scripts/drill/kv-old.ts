import { REVOCATION_BOUND_SECONDS } from "../../src/constants.ts";
import { isAdmitted, tally } from "./client.ts";
import type { Seen } from "./client.ts";
import type { IssuedKey } from "./control-api.ts";
import type { Drill, DrillContext, Lab, Outcome } from "./drill.ts";
import { atMost, exactly } from "./figures.ts";
import { recordNameOf, warmUp } from "./lab-use.ts";
import { measureStopLag } from "./stop-lag.ts";

/** After each change KV is given the old record back, as a location far away would still have it. */

const BOUND_MS = REVOCATION_BOUND_SECONDS * 1_000;
/** The status and code that an old record must not hide. */
const CHANGES: readonly Change[] = [
  { name: "revoked", code: "key_revoked", path: "/used", make: async (lab, { id }) => void (await lab.api.revoke(id)) },
  {
    name: "rotated, overlap 0",
    code: "key_expired",
    path: "/used",
    make: async (lab, { id }) => void (await lab.api.rotate(id, { overlapSeconds: 0 })),
  },
  {
    name: "disabled",
    code: "key_disabled",
    path: "/used",
    make: async (lab, { id }) => void (await lab.api.call("POST", `/keys/${id}/disable`, {})),
  },
  {
    name: "a scope taken away",
    code: "scope_insufficient",
    path: "/reports/1",
    make: async (lab, { id }) => void (await lab.api.call("PATCH", `/keys/${id}`, { scopes: ["charges:write"] })),
  },
];

interface Change {
  readonly name: string;
  readonly code: string;
  readonly path: string;
  readonly make: (lab: Lab, key: IssuedKey) => Promise<void>;
}

export const kvOld: Drill = {
  name: "kv-old",
  breaks: "KV holds the records from before keys were revoked, rotated, disabled and cut in scope",
  seconds: { full: 30, quick: 10 },
  run,
};

async function run({ quick, timeline, lab: open }: DrillContext): Promise<Outcome> {
  const lab = await open();
  const rounds = quick ? 1 : 3;
  const found: Found[] = [];
  for (let round = 0; round < rounds; round++)
    found.push(...(await Promise.all(CHANGES.map((change) => drillChange(lab, change)))));
  for (const { change, lagMs, coldSaw } of found)
    timeline.note(`${change}: in use, admitted last ${lagMs} ms after; not in use, refused at once with ${coldSaw}`);
  const lags = found.map(({ lagMs }) => lagMs);
  return {
    targets: [
      atMost("change → last admission of a key in use", Math.max(...lags), BOUND_MS, " ms"),
      exactly(
        "key not in use: admitted on the old record",
        found.reduce((sum, { coldAdmitted }) => sum + coldAdmitted, 0),
        0,
      ),
      exactly(
        "refused with another code than that of the change",
        found.filter(({ wrongCode }) => wrongCode).length,
        0,
      ),
    ],
    facts: found.map(({ change, lagMs, letThrough }) => [
      change,
      `last admission after ${lagMs} ms, ${letThrough} let through`,
    ]),
    detectMs: null,
    refuseMs: Math.max(...lags),
    letThrough: found.reduce((sum, each) => sum + each.letThrough, 0),
    eventsLost: null,
    clientsSaw: tally(found.flatMap(({ seen }) => seen)),
  };
}

interface Found {
  readonly change: string;
  readonly lagMs: number;
  readonly letThrough: number;
  readonly coldAdmitted: number;
  readonly coldSaw: string;
  readonly wrongCode: boolean;
  readonly seen: readonly Seen[];
}

/** A key in use, and one that nobody has used yet. */
async function drillChange(lab: Lab, change: Change): Promise<Found> {
  const { client, api, edges } = lab;
  const { name, code, path, make } = change;
  const known = edges.edges.slice(0, -1);
  const [used, unused] = [await api.issue(), await api.issue()];
  await warmUp(lab, used.key, known);
  const restoreUnused = await keepRecord(lab, unused);
  await make(lab, unused);
  await restoreUnused();
  const coldSeen = await Promise.all(edges.edges.map((edge) => client.send({ url: edge.url, key: unused.key, path })));
  const restoreUsed = await keepRecord(lab, used);
  const stop = async (): Promise<void> => {
    await make(lab, used);
    await restoreUsed();
  };
  const lag = await measureStopLag(lab, { key: used.key, path, edges: known, stop });
  const refusals = [...coldSeen, ...lag.seen].filter((one) => one.status !== 0 && !isAdmitted(one));
  return {
    change: name,
    lagMs: lag.lagMs,
    letThrough: lag.letThrough,
    coldAdmitted: coldSeen.filter(isAdmitted).length,
    coldSaw: Object.keys(tally(coldSeen)).join(),
    wrongCode: refusals.some((refusal) => refusal.code !== code),
    seen: [...lag.seen, ...coldSeen],
  };
}

/** Reads the key's record out of KV; what is returned puts it back. The registry has told KV before it answers. */
async function keepRecord({ edges }: Lab, { key }: IssuedKey): Promise<() => Promise<void>> {
  const name = recordNameOf(key);
  const old = await edges.kv.get(name);
  if (old === null) throw new Error("KV has no record of a new key");
  return () => edges.kv.put(name, old);
}
