import { parseKey } from "./format.ts";
import type { KeyHash } from "./record.ts";

/** How much of each end may be shown: 32 random characters minus 4 leave 167 bits unknown. */
const SHOWN_CHARACTERS = 4;

/** What may be printed of a key: `lk_live_AbCd…wxyz`, or `…` alone for what is not in Latchkey's form. */
export function hintOf(presentedKey: string): string {
  const parsed = parseKey(presentedKey);
  if (!parsed.ok) return "…";
  const { prefix, environment, random, checksum } = parsed.value;
  return `${prefix}_${environment}_${random.slice(0, SHOWN_CHARACTERS)}…${checksum.slice(-SHOWN_CHARACTERS)}`;
}

/** What may be printed of an imported key, of which only the hash is known: `sha256:AbCd…wxyz`. */
export function hintOfHash(hash: KeyHash): string {
  return `sha256:${hash.slice(0, SHOWN_CHARACTERS)}…${hash.slice(-SHOWN_CHARACTERS)}`;
}
