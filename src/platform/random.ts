/** Randomness for ids, a kilobyte drawn at a time: a draw costs ten times as much as the bytes. Not for keys. */

const POOL_BYTES = 1_024;
const pool = new Uint8Array(POOL_BYTES);
/** Where the unused ones begin. Nothing is drawn in the global scope, where it is forbidden. */
let next = POOL_BYTES;

/** A view of at most `POOL_BYTES` bytes that nobody else has been given; to be read before anything is awaited. */
export function randomBytes(length: number): Uint8Array {
  if (next + length > POOL_BYTES) {
    crypto.getRandomValues(pool);
    next = 0;
  }
  next += length;
  return pool.subarray(next - length, next);
}

const ASCII = new TextDecoder();
const HEX_DIGITS = "0123456789abcdef";
const digitPool = new Uint8Array(POOL_BYTES);
/** The same as text. */
let digits = "";
let nextDigit = POOL_BYTES;

/** At most `POOL_BYTES` lower-case hex digits. Written out for all of the pool at once: a piece of a text costs nearly nothing. */
export function randomHex(length: number): string {
  if (nextDigit + length > POOL_BYTES) {
    crypto.getRandomValues(digitPool);
    for (let at = 0; at < POOL_BYTES; at += 1) digitPool[at] = HEX_DIGITS.charCodeAt((digitPool[at] ?? 0) & 15);
    digits = ASCII.decode(digitPool);
    nextDigit = 0;
  }
  nextDigit += length;
  return digits.slice(nextDigit - length, nextDigit);
}
