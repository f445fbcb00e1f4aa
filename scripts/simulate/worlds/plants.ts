import type { EdgeRecord } from "../../../src/keys/record.ts";
import type { AcquireAnswer } from "../../../src/limits/acquire.ts";
import type { ObjectCall } from "../platform/objects.ts";

/** Bugs that are put in on purpose, to see that the simulation finds them. */

export const PLANTS = ["generous-lease", "silent-revoke", "double-event"] as const;
export type Plant = (typeof PLANTS)[number];

export function isPlant(name: string): name is Plant {
  return PLANTS.some((plant) => plant === name);
}

type Go = (args?: readonly unknown[]) => unknown;

/** What becomes of a call to an object. `double-event` is the queue's. */
export function tamperWith(plant: Plant | null, { host, method, args }: ObjectCall, go: Go): unknown {
  if (host.binding !== "KEY_METER") return go();
  if (plant === "generous-lease" && method === "acquire") {
    // What the meter's class answers.
    return addOne(go() as AcquireAnswer);
  }
  if (plant === "silent-revoke" && method === "publish") {
    // What the registry sends.
    const records = args[0] as readonly EdgeRecord[];
    return go([records.filter(({ state }) => state !== "revoked")]);
  }
  return go();
}

function addOne(answer: AcquireAnswer): AcquireAnswer {
  if (answer.outcome !== "granted") return answer;
  return { ...answer, grants: answer.grants.map((grant) => ({ ...grant, granted: grant.granted + 1 })) };
}
