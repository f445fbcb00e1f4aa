import fc from "fast-check";
import { generateKey } from "../../src/keys/generate.ts";

/** Keys for tests are made, never written down: a scanner cannot tell a test's key from a real one. */

const PREFIX_TAIL = "abcdefghijklmnopqrstuvwxyz0123456789".split("");

export const prefixArbitrary = fc
  .tuple(
    fc.constantFrom(...PREFIX_TAIL.slice(0, 26)),
    fc.array(fc.constantFrom(...PREFIX_TAIL), { minLength: 1, maxLength: 11 }),
  )
  .map(([first, rest]) => first + rest.join(""));

export const environmentArbitrary = fc.constantFrom("live" as const, "test" as const);

/** A key of any allowed prefix, its randomness drawn by fast-check. */
export const keyArbitrary = fc
  .record({
    prefix: prefixArbitrary,
    environment: environmentArbitrary,
    bytes: fc.uint8Array({ minLength: 44, maxLength: 44, max: 247 }),
  })
  .map(({ prefix, environment, bytes }) => ({
    prefix,
    environment,
    key: generateKey({ prefix, environment, randomBytes: () => bytes }),
  }));

/** A key of the default prefix; another number gives another key. */
export function makeKey(number = 1, environment: "live" | "test" = "live", prefix = "lk"): string {
  let state = number >>> 0;
  const randomBytes = (length: number) =>
    Uint8Array.from({ length }, () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state >>> 24;
    });
  return generateKey({ prefix, environment, randomBytes });
}
