/** Random bytes for ids, a kilobyte drawn at a time: a draw costs ten times as much as the bytes. Not for keys. */

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
