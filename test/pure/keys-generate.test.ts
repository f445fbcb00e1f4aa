import fc from "fast-check";
import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { BASE62, RANDOM_CHARACTERS, parseKey } from "../../src/keys/format.ts";
import { FIRST_REJECTED_BYTE, generateKey } from "../../src/keys/generate.ts";
import { environmentArbitrary, prefixArbitrary } from "../support/key-makers.ts";

function randomPartOf(key: string): string {
  return key.slice(-38, -6);
}

/** The character that one byte gives, or "" when the byte is drawn again. */
function characterFor(byte: number): string {
  let draws = 0;
  // The first draw is the byte and 43 that are refused; the second is all of another character.
  const source = (length: number) => {
    draws += 1;
    return new Uint8Array(length).fill(draws === 1 ? 255 : 61).fill(draws === 1 ? byte : 61, 0, 1);
  };
  const random = randomPartOf(generateKey({ prefix: "lk", environment: "live", randomBytes: source }));
  return random.endsWith(BASE62.charAt(61).repeat(RANDOM_CHARACTERS - 1)) && draws === 2 && byte < FIRST_REJECTED_BYTE
    ? random.charAt(0)
    : "";
}

describe("random characters are drawn without bias", () => {
  test("proof: of the 256 bytes each character gets exactly four, and the other eight are drawn again", () => {
    const bytesByCharacter = new Map<string, number>();
    let redrawn = 0;
    for (let byte = 0; byte < 256; byte += 1) {
      const character = characterFor(byte);
      if (character === "") redrawn += 1;
      else bytesByCharacter.set(character, (bytesByCharacter.get(character) ?? 0) + 1);
    }
    expect(redrawn).toBe(8);
    expect([...bytesByCharacter.keys()].toSorted()).toEqual(BASE62.split("").toSorted());
    expect(new Set(bytesByCharacter.values())).toEqual(new Set([4]));
  });

  test("a rejected byte leaves no trace in the key", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 32, maxLength: 32, max: 247 }),
        fc.array(fc.nat(31), { maxLength: 12 }),
        (bytes, places) => {
          const mixed = [...bytes];
          for (const place of places) mixed.splice(place, 0, 248 + (place % 8));
          const plain = generateKey({
            prefix: "lk",
            environment: "live",
            randomBytes: () => bytes,
          });
          expect(
            generateKey({
              prefix: "lk",
              environment: "live",
              randomBytes: () => Uint8Array.from(mixed),
            }),
          ).toBe(plain);
        },
      ),
    );
  });

  test("statistics: the characters of 20,000 keys pass a chi-square test that `byte % 62` fails", () => {
    const chiSquare = (draw: (count: number) => string) => {
      const text = draw(640_000);
      const counts = new Map<string, number>();
      for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1);
      const expected = text.length / 62;
      return BASE62.split("").reduce(
        (sum, character) => sum + ((counts.get(character) ?? 0) - expected) ** 2 / expected,
        0,
      );
    };
    const ours = chiSquare((count) => {
      let text = "";
      while (text.length < count) text += randomPartOf(generateKey({ prefix: "lk", environment: "live", randomBytes }));
      return text;
    });
    const biased = chiSquare((count) => [...randomBytes(count)].map((byte) => BASE62.charAt(byte % 62)).join(""));
    // 61 degrees of freedom: mean 61, standard deviation 11. Past 140 in one of 10^7 runs; below 20 in fewer.
    expect(ours).toBeLessThan(140);
    expect(ours).toBeGreaterThan(20);
    expect(biased).toBeGreaterThan(1_000);
  });
});

test("every generated key is parsed as what was asked for", () => {
  fc.assert(
    fc.property(prefixArbitrary, environmentArbitrary, (prefix, environment) => {
      const parsed = parseKey(generateKey({ prefix, environment, randomBytes }));
      expect(parsed).toMatchObject({ ok: true, value: { prefix, environment } });
    }),
  );
});

test("10,000 keys differ from each other", () => {
  const keys = Array.from({ length: 10_000 }, () => generateKey({ prefix: "lk", environment: "live", randomBytes }));
  expect(new Set(keys).size).toBe(10_000);
});

test("a broken source of randomness and a bad prefix throw instead of making a weak key", () => {
  const recipe = { prefix: "lk", environment: "live" as const };
  expect(() => generateKey({ ...recipe, randomBytes: (length) => new Uint8Array(length).fill(255) })).toThrow(/broken/);
  expect(() => generateKey({ ...recipe, randomBytes: () => new Uint8Array(0) })).toThrow(/broken/);
  expect(() => generateKey({ ...recipe, prefix: "L_K", randomBytes })).toThrow(TypeError);
});
