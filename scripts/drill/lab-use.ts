import { createHash } from "node:crypto";
import type { Edge } from "../lab/edges.ts";
import type { Faults } from "../lab/faults.ts";
import type { Seen } from "./client.ts";
import { controlApi } from "./control-api.ts";
import type { ControlApi } from "./control-api.ts";
import type { Lab } from "./drill.ts";
import { waitFor } from "./load.ts";

/** What drills do with the lab, again and again. */

/** Turn by turn. */
export function edgeAt({ edges }: Lab, index: number): Edge {
  const edge = edges.edges[index % edges.edges.length];
  if (edge === undefined) throw new RangeError("the lab has no isolates");
  return edge;
}

/** What this isolate says of itself. */
export function apiOf(edge: Edge): ControlApi {
  return controlApi(edge, edge.rootToken);
}

export async function setFaultsOnEdges({ edges }: Lab, faults: Faults): Promise<void> {
  await Promise.all(edges.edges.map((edge) => edge.setFaults(faults)));
}

/** Gives each of these isolates the key's record and a lease. Throws when one does not admit it. */
export async function warmUp({ client }: Lab, key: string, edges: readonly Edge[]): Promise<readonly Seen[]> {
  return await Promise.all(
    edges.map(async (edge) => {
      const seen = await client.send({ url: edge.url, key });
      if (seen.status !== 200) throw new Error(`${edge.name} answered ${seen.status} ${seen.code} to a new key`);
      return seen;
    }),
  );
}

/** Where KV keeps the record of this key. */
export function recordNameOf(key: string): string {
  return `key:${createHash("sha256").update(key).digest("base64url")}`;
}

/** From now until `readyz` of this isolate names the part as down (or up again), ms; `null` when it does not within 10 s. */
export async function timeToShow(edge: Edge, part: string, down: boolean): Promise<number | null> {
  const startedAt = Date.now();
  const api = apiOf(edge);
  const shown = async (): Promise<boolean> => (await api.ready()).down.includes(part) === down;
  const at = await waitFor(shown, { forMs: 10_000, everyMs: 100 });
  return at === null ? null : at - startedAt;
}

/** Waits until the ledger counts at least this many requests of the key; gives what it counts in the end. */
export async function countedOf({ api }: Lab, keyId: string, atLeast: number, forMs = 45_000): Promise<number> {
  let counted = 0;
  await waitFor(async () => (counted = (await api.usage(keyId)).requests) >= atLeast, { forMs, everyMs: 250 });
  return counted;
}
