/**
 * Random text for ids and traces, a kilobyte drawn and written out at a time: a draw costs ten times as much as its bytes, and a piece
 * of a text costs nearly nothing. Not for keys.
 */

const POOL_CHARACTERS = 1_024;
const ASCII = new TextDecoder();

/**
 * A source of random characters of `alphabet`: ASCII, and of a length that is a power of two, at most 256, so that each is drawn alike.
 * It gives at most `POOL_CHARACTERS` at once. Nothing is drawn before the first call: the global scope forbids it.
 */
function createRandomText(alphabet: string): (length: number) => string {
  const bytes = new Uint8Array(POOL_CHARACTERS);
  const mask = alphabet.length - 1;
  let text = "";
  let next = POOL_CHARACTERS;
  return (length) => {
    if (next + length > POOL_CHARACTERS) {
      crypto.getRandomValues(bytes);
      for (let at = 0; at < POOL_CHARACTERS; at += 1) bytes[at] = alphabet.charCodeAt((bytes[at] ?? 0) & mask);
      text = ASCII.decode(bytes);
      next = 0;
    }
    next += length;
    return text.slice(next - length, next);
  };
}

/** Crockford's digits, in lower case. */
export const BASE32_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz";

export const randomHex = createRandomText("0123456789abcdef");
export const randomBase32 = createRandomText(BASE32_DIGITS);
