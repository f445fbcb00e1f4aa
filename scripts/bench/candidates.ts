import type { Candidate } from "./candidate.ts";
import { JOSE_SIGN, JOSE_VERIFY } from "./jose.ts";
import { LATCHKEY } from "./latchkey.ts";
import { NAIVE } from "./naive.ts";
import { PEERS } from "./peers/index.ts";
import { FLOOR, HONO, PROMISES } from "./proxies.ts";

/** All that a run compares, in the order of its rounds. */
export const CANDIDATES: readonly Candidate[] = [
  FLOOR,
  HONO,
  PROMISES,
  ...LATCHKEY,
  JOSE_SIGN,
  JOSE_VERIFY,
  NAIVE,
  ...PEERS,
];

/** Those with these names; throws for a name that nobody has. */
export function chooseCandidates(names: readonly string[] | null): readonly Candidate[] {
  const unknown = names?.find((name) => !CANDIDATES.some((candidate) => candidate.name === name));
  if (unknown !== undefined) {
    throw new Error(`there is no candidate ${unknown}; there are ${CANDIDATES.map(({ name }) => name).join(", ")}`);
  }
  return CANDIDATES.filter(({ name }) => names === null || names.includes(name));
}
