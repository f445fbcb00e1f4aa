/**
 * Counts in two bytes or one: a mantissa and a power of two, as in a floating-point number. Whole numbers up to 4,095 (16 bits) or
 * 15 (8 bits) are exact; larger ones are within 0.02 % or 7 %. Order is kept, so the larger of two codes is the larger count.
 */

interface Form {
  readonly mantissaBits: number;
  readonly largest: number;
}

const SHORT: Form = { mantissaBits: 11, largest: 0xffff };
const BYTE: Form = { mantissaBits: 3, largest: 0xff };

export function toShort(count: number): number {
  return encode(count, SHORT);
}

export function fromShort(code: number): number {
  return decode(code, SHORT);
}

export function toByte(count: number): number {
  return encode(count, BYTE);
}

export function fromByte(code: number): number {
  return decode(code, BYTE);
}

/** Below `2^(bits + 1)` a count is its own code; above, each doubling has `2^bits` codes. */
function encode(count: number, { mantissaBits, largest }: Form): number {
  const whole = Math.max(0, Math.round(count));
  const exact = 2 ** (mantissaBits + 1);
  if (whole < exact) return whole;
  const exponent = Math.floor(Math.log2(whole)) - mantissaBits;
  const code = exponent * 2 ** mantissaBits + Math.round(whole / 2 ** exponent);
  return Math.min(largest, code);
}

function decode(code: number, { mantissaBits }: Form): number {
  const step = 2 ** mantissaBits;
  if (code < 2 * step) return code;
  const exponent = Math.floor(code / step) - 1;
  return (code - exponent * step) * 2 ** exponent;
}
