import { BASE32_DIGITS, randomBase32 } from "./random.ts";

/** Ids: `<prefix>` + 26 characters of ULID-style Crockford base32 in lower case (48 bits of time, 80 random). Sortable by time. */

const TIME_CHARACTERS = 10;
/** 80 bits. */
const RANDOM_CHARACTERS = 16;

/**
 * A new id such as `key_01jd…`. Two ids of the same millisecond have no order between them.
 *
 * @param prefix with its underscore: `key_`, `lin_`, `req_`, `evt_`, `aud_`.
 * @param now epoch ms.
 */
export function newId(prefix: string, now: number): string {
  return prefix + encodeTime(now) + randomBase32(RANDOM_CHARACTERS);
}

/** The least id that a moment can have: `idFloor("key_", t) <= id` for every id made at `t` or later. */
export function idFloor(prefix: string, now: number): string {
  return prefix + encodeTime(now) + "0".repeat(RANDOM_CHARACTERS);
}

/** When an id was made, epoch ms; `null` for what is no id of this prefix. */
export function timeOfId(id: string, prefix: string): number | null {
  if (!id.startsWith(prefix) || id.length < prefix.length + TIME_CHARACTERS) return null;
  let time = 0;
  for (let at = prefix.length; at < prefix.length + TIME_CHARACTERS; at++) {
    const digit = BASE32_DIGITS.indexOf(id.charAt(at));
    if (digit < 0) return null;
    time = time * 32 + digit;
  }
  return time;
}

function encodeTime(now: number): string {
  let rest = Math.floor(now);
  let text = "";
  for (let i = 0; i < TIME_CHARACTERS; i++) {
    text = BASE32_DIGITS.charAt(rest % 32) + text;
    rest = Math.floor(rest / 32);
  }
  return text;
}
