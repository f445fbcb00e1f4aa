/**
 * SHA-256 (FIPS 180-4) of a short ASCII text, in base64url. Ours, since workerd's synchronous one makes a Node stream for each
 * digest, which costs a warm request 20 µs, and a library's makes arrays outside the heap; this allocates its text alone.
 * docs/decisions/0019 has the figures; test/pure/keys-digest.test.ts compares it with the runtime's at every length.
 */

/** The first 32 bits of the fractional parts of the cube roots of the first 64 primes (§4.2.2). */
const ROUND_CONSTANTS = wordsOf(`
  428a2f98 71374491 b5c0fbcf e9b5dba5 3956c25b 59f111f1 923f82a4 ab1c5ed5
  d807aa98 12835b01 243185be 550c7dc3 72be5d74 80deb1fe 9bdc06a7 c19bf174
  e49b69c1 efbe4786 0fc19dc6 240ca1cc 2de92c6f 4a7484aa 5cb0a9dc 76f988da
  983e5152 a831c66d b00327c8 bf597fc7 c6e00bf3 d5a79147 06ca6351 14292967
  27b70a85 2e1b2138 4d2c6dfc 53380d13 650a7354 766a0abb 81c2c92e 92722c85
  a2bfe8a1 a81a664b c24b8b70 c76c51a3 d192e819 d6990624 f40e3585 106aa070
  19a4c116 1e376c08 2748774c 34b0bcb5 391c0cb3 4ed8aa4a 5b9cca4f 682e6ff3
  748f82ee 78a5636f 84c87814 8cc70208 90befffa a4506ceb bef9a3f7 c67178f2`);
/** Of the square roots of the first eight (§5.3.3). */
const INITIAL_STATE = wordsOf(`
  6a09e667 bb67ae85 3c6ef372 a54ff53a 510e527f 9b05688c 1f83d9ab 5be0cd19`);
const BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

const BLOCK_BYTES = 64;
const BLOCK_WORDS = 16;
const ROUNDS = 64;
/** One bit and the length of the message follow it in its last block. */
const PADDING_BYTES = 9;
const DIGEST_CHARACTERS = 43;
const BITS_PER_CHARACTER = 6;

/** Shared by all calls: nothing is awaited while they are in use, and what a key left in them is wiped before a call returns. */
const schedule = new Int32Array(ROUNDS);
const state = new Int32Array(8);

/** 43 characters; `null` for a text with other than ASCII characters. */
export function sha256OfAscii(text: string): string | null {
  const blocks = Math.ceil((text.length + PADDING_BYTES) / BLOCK_BYTES);
  state.set(INITIAL_STATE);
  let characters = 0;
  for (let block = 0; block < blocks; block += 1) {
    characters |= loadBlock(text, block * BLOCK_BYTES);
    if (block === blocks - 1) schedule[BLOCK_WORDS - 1] = text.length * 8;
    expandBlock();
    digestBlock();
  }
  schedule.fill(0);
  return characters > 0x7f ? null : toBase64url();
}

/** Sixteen words of the text from `start` on, padded where it ends (§5.1.1). All character codes, or-ed, come back. */
function loadBlock(text: string, start: number): number {
  schedule.fill(0, 0, BLOCK_WORDS);
  const length = Math.min(text.length - start, BLOCK_BYTES);
  let characters = 0;
  for (let index = 0; index < length; index += 1) {
    const code = text.charCodeAt(start + index);
    characters |= code;
    putByte(index, code);
  }
  if (length >= 0 && length < BLOCK_BYTES) putByte(length, 0x80);
  return characters;
}

function putByte(index: number, byte: number): void {
  const word = index >> 2;
  schedule[word] = (schedule[word] ?? 0) | (byte << (24 - 8 * (index & 3)));
}

// The two below are written out: what a function of ours returned would be a number on the heap, hundreds of them for each digest.

/** §6.2.2, step 1. */
function expandBlock(): void {
  for (let t = BLOCK_WORDS; t < ROUNDS; t += 1) {
    const x = schedule[t - 15] ?? 0;
    const y = schedule[t - 2] ?? 0;
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    schedule[t] = ((schedule[t - 16] ?? 0) + s0 + (schedule[t - 7] ?? 0) + s1) | 0;
  }
}

/** §6.2.2, steps 2 to 4. */
function digestBlock(): void {
  let a = state[0] ?? 0;
  let b = state[1] ?? 0;
  let c = state[2] ?? 0;
  let d = state[3] ?? 0;
  let e = state[4] ?? 0;
  let f = state[5] ?? 0;
  let g = state[6] ?? 0;
  let h = state[7] ?? 0;
  for (let t = 0; t < ROUNDS; t += 1) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + (ROUND_CONSTANTS[t] ?? 0) + (schedule[t] ?? 0)) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  // An `Int32Array` keeps the lower 32 bits of what is put in.
  state[0] = (state[0] ?? 0) + a;
  state[1] = (state[1] ?? 0) + b;
  state[2] = (state[2] ?? 0) + c;
  state[3] = (state[3] ?? 0) + d;
  state[4] = (state[4] ?? 0) + e;
  state[5] = (state[5] ?? 0) + f;
  state[6] = (state[6] ?? 0) + g;
  state[7] = (state[7] ?? 0) + h;
}

function toBase64url(): string {
  let text = "";
  for (let index = 0; index < DIGEST_CHARACTERS; index += 1) {
    const bit = index * BITS_PER_CHARACTER;
    const word = bit >> 5;
    const after = 32 - BITS_PER_CHARACTER - (bit & 31);
    // The last six bits of a character may stand in two words; past the end there are zeros.
    const bits =
      after >= 0
        ? (state[word] ?? 0) >>> after
        : ((state[word] ?? 0) << -after) | ((state[word + 1] ?? 0) >>> (32 + after));
    text += BASE64URL.charAt(bits & 63);
  }
  return text;
}

function wordsOf(hex: string): Int32Array {
  return Int32Array.from(hex.trim().split(/\s+/), (word) => Number.parseInt(word, 16));
}
