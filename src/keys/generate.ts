import { BASE62, RANDOM_CHARACTERS, checksum, isPrefix } from "./format.ts";
import type { Environment } from "./record.ts";

/** 4 × 62: bytes from here on would favour the first eight characters, so they are drawn again. */
export const FIRST_REJECTED_BYTE = 248;

/** One draw nearly always does: 32 of 44 bytes must be below 248. */
const DRAW_BYTES = 44;
/** A source that gives 20 such draws in vain is broken: the chance is below 10^-60. */
const MAX_DRAWS = 20;

export interface KeyRecipe {
  readonly prefix: string;
  readonly environment: Environment;
  /** `length` bytes from a cryptographic source. */
  readonly randomBytes: (length: number) => Uint8Array;
}

/** A new key: 190 bits of randomness, each base62 character equally likely. Throws on a prefix or a source that is no good. */
export function generateKey(recipe: KeyRecipe): string {
  if (!isPrefix(recipe.prefix)) throw new TypeError("a key prefix is ^[a-z][a-z0-9]{1,11}$");
  const body = `${recipe.prefix}_${recipe.environment}_${drawBase62(recipe.randomBytes)}`;
  return body + checksum(body);
}

function drawBase62(randomBytes: KeyRecipe["randomBytes"]): string {
  let drawn = "";
  for (let draw = 0; draw < MAX_DRAWS; draw += 1) {
    for (const byte of randomBytes(DRAW_BYTES)) {
      if (byte >= FIRST_REJECTED_BYTE) continue;
      drawn += BASE62.charAt(byte % 62);
      if (drawn.length === RANDOM_CHARACTERS) return drawn;
    }
  }
  throw new Error("the source of random bytes is broken");
}
