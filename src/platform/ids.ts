import { randomBytes } from "./random.ts";

/** Ids: `<prefix>` + 26 characters of ULID-style Crockford base32 in lower case (48 bits of time, 80 random). Sortable by time. */

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const TIME_CHARACTERS = 10;
const RANDOM_BYTES = 10;
const BITS_PER_CHARACTER = 5;

/**
 * A new id such as `key_01jd…`. Two ids of the same millisecond have no order between them.
 *
 * @param prefix with its underscore: `key_`, `lin_`, `req_`, `evt_`, `aud_`.
 * @param now epoch ms.
 */
export function newId(prefix: string, now: number): string {
  return prefix + encodeTime(now) + encodeRandom();
}

/** The least id that a moment can have: `idFloor("key_", t) <= id` for every id made at `t` or later. */
export function idFloor(prefix: string, now: number): string {
  return prefix + encodeTime(now) + "0".repeat((RANDOM_BYTES * 8) / BITS_PER_CHARACTER);
}

function encodeTime(now: number): string {
  let rest = Math.floor(now);
  let text = "";
  for (let i = 0; i < TIME_CHARACTERS; i++) {
    text = ALPHABET.charAt(rest % 32) + text;
    rest = Math.floor(rest / 32);
  }
  return text;
}

function encodeRandom(): string {
  const bytes = randomBytes(RANDOM_BYTES);
  let text = "";
  let held = 0;
  let bits = 0;
  for (const byte of bytes) {
    held = (held << 8) | byte;
    bits += 8;
    while (bits >= BITS_PER_CHARACTER) {
      bits -= BITS_PER_CHARACTER;
      text += ALPHABET.charAt((held >> bits) & 31);
    }
    held &= (1 << bits) - 1;
  }
  return text;
}
