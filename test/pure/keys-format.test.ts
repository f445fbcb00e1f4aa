import fc from "fast-check";
import { crc32 } from "node:zlib";
import { describe, expect, test } from "vitest";
import { MAX_PRESENTED_KEY_CHARACTERS, MIN_PRESENTED_KEY_CHARACTERS } from "../../src/constants.ts";
import { BASE62, checksum, classify, isPrefix, looksOwn, parseKey } from "../../src/keys/format.ts";
import { keyArbitrary, makeKey, prefixArbitrary } from "../support/key-makers.ts";

const LK = new Set(["lk"]);
/** Every visible ASCII character, some that are not, and look-alikes of letters and of the underscore. */
const BROAD_ALPHABET = [
  ...Array.from({ length: 95 }, (_, index) => String.fromCharCode(0x20 + index)),
  "\0",
  "\n",
  "\t",
  "\u007f",
  "\u00e9",
  "\u0131",
  "\u0430",
  "\uff3f",
  "\uff21",
  "\u212a",
  "\ud83d\ude00",
];

function referenceChecksum(text: string): string {
  let rest = BigInt(crc32(Buffer.from(text, "latin1")));
  let digits = "";
  for (; rest > 0n; rest /= 62n) digits = BASE62.charAt(Number(rest % 62n)) + digits;
  return digits.padStart(6, "0");
}

describe("the checksum", () => {
  test("agrees with the published vector", () => {
    // Written in parts: scanners know the form.
    const random = ["zQWBuTSOoRi4", "A9spHcVY5nc", "nsDkxkJ"].join("");
    expect(random).toHaveLength(30);
    expect(checksum(random)).toBe(["0mL", "q17"].join(""));
  });

  test("has the CRC-32 check value of `123456789`, and is padded to six", () => {
    expect(checksum("123456789")).toBe(referenceChecksum("123456789"));
    expect(crc32("123456789")).toBe(0xcbf43926);
    expect(checksum("")).toBe("000000");
  });

  test("is zlib's CRC-32 in base62 for any ASCII text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary-ascii", maxLength: 100 }), (text) => {
        expect(checksum(text)).toBe(referenceChecksum(text));
      }),
    );
  });
});

describe("the parser", () => {
  test("takes a key with any allowed prefix apart into what it was made of", () => {
    fc.assert(
      fc.property(keyArbitrary, ({ prefix, environment, key }) => {
        const parsed = parseKey(key);
        expect(parsed).toEqual({
          ok: true,
          value: { prefix, environment, random: key.slice(-38, -6), checksum: key.slice(-6) },
        });
        expect(referenceChecksum(key.slice(0, -6))).toBe(key.slice(-6));
      }),
    );
  });

  test("refuses prefixes outside the grammar, though the checksum is right", () => {
    const body = makeKey().slice("lk_live_".length, -6);
    for (const prefix of ["", "l", "Lk", "1k", "l_k", "l-k", "abcdefghijklm", "lké"]) {
      const start = `${prefix}_live_${body}`;
      expect(parseKey(start + checksum(start)), prefix).toEqual({ ok: false, error: "malformed" });
      expect(isPrefix(prefix), prefix).toBe(false);
    }
    for (const prefix of ["ab", "a1", "abcdefghijkl"]) {
      const start = `${prefix}_live_${body}`;
      expect(parseKey(start + checksum(start)).ok, prefix).toBe(true);
      expect(isPrefix(prefix), prefix).toBe(true);
    }
  });

  test("refuses other environments and lengths, though the checksum is right", () => {
    const random = makeKey().slice("lk_live_".length, -6);
    for (const start of [
      `lk_prod_${random}`,
      `lk_LIVE_${random}`,
      `lk_live_${random}a`,
      `lk_live_${random.slice(1)}`,
      `lk_live-${random}`,
    ]) {
      expect(parseKey(start + checksum(start)), start).toEqual({ ok: false, error: "malformed" });
    }
  });

  test("never throws and never accepts what is not a key", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 80 }), (text) => {
        expect(parseKey(text).ok).toBe(false);
      }),
    );
  });

  test("says which of the two is wrong", () => {
    const key = makeKey();
    expect(parseKey(key.slice(0, -1))).toEqual({ ok: false, error: "malformed" });
    const other = key.endsWith("a") ? "b" : "a";
    expect(parseKey(key.slice(0, -1) + other)).toEqual({ ok: false, error: "checksum" });
  });
});

describe("no accepted key has one changed character", () => {
  const numbers = [1, 2, 3];
  const keys = [
    ...numbers.map((number) => makeKey(number)),
    makeKey(4, "test", "abcdefghijkl"),
    makeKey(5, "live", "a1"),
  ];

  test.each(keys.map((key, index) => [index, key] as const))(
    "key %i: every position, every other character",
    (_index, key) => {
      expect(parseKey(key).ok).toBe(true);
      for (let position = 0; position < key.length; position += 1) {
        for (const character of BROAD_ALPHABET) {
          if (character === key[position]) continue;
          const changed = key.slice(0, position) + character + key.slice(position + 1);
          expect(parseKey(changed).ok, `position ${position}, ${JSON.stringify(character)}`).toBe(false);
        }
      }
    },
  );

  test("any two characters next to each other that change places are noticed", () => {
    fc.assert(
      fc.property(keyArbitrary, fc.nat(), ({ key }, place) => {
        const at = place % (key.length - 1);
        fc.pre(key[at] !== key[at + 1]);
        const swapped = key.slice(0, at) + key.charAt(at + 1) + key.charAt(at) + key.slice(at + 2);
        expect(parseKey(swapped).ok).toBe(false);
      }),
    );
  });

  test("any character dropped, doubled or added at an end is noticed", () => {
    fc.assert(
      fc.property(keyArbitrary, fc.nat(), ({ key }, place) => {
        const at = place % key.length;
        expect(parseKey(key.slice(0, at) + key.slice(at + 1)).ok).toBe(false);
        // A prefix of 2 to 11 may grow by a letter and still be a prefix: then the checksum has to notice.
        expect(parseKey(key.slice(0, at) + key.charAt(at) + key.slice(at)).ok).toBe(false);
        for (const edge of [" ", "\n", "a", "_"]) {
          expect(parseKey(key + edge).ok).toBe(false);
          expect(parseKey(edge + key).ok).toBe(false);
        }
      }),
    );
  });
});

describe("what a credential can be", () => {
  test("a whole key of a configured prefix is our own", () => {
    fc.assert(
      fc.property(keyArbitrary, fc.boolean(), ({ prefix, key }, importedKeys) => {
        expect(classify(key, new Set([prefix]), importedKeys)).toBe("own");
      }),
    );
  });

  test("what starts like our own and is not whole is garbage, imported keys or not", () => {
    fc.assert(
      fc.property(
        prefixArbitrary,
        fc.constantFrom("live", "test"),
        fc.string({ unit: "binary-ascii", maxLength: 60 }),
        (prefix, environment, rest) => {
          const presented = `${prefix}_${environment}_${rest}`;
          fc.pre(!parseKey(presented).ok);
          expect(looksOwn(presented, new Set([prefix]))).toBe(true);
          expect(classify(presented, new Set([prefix]), true)).toBe("garbage");
        },
      ),
    );
  });

  test("a key of a prefix that this deployment does not have may only be imported", () => {
    const key = makeKey(1, "live", "other");
    expect(classify(key, LK, true)).toBe("foreign");
    expect(classify(key, LK, false)).toBe("garbage");
    expect(looksOwn(key, LK)).toBe(false);
  });

  test("imported keys may have any form of visible ASCII within the bounds, both included", () => {
    for (const length of [MIN_PRESENTED_KEY_CHARACTERS, 100, MAX_PRESENTED_KEY_CHARACTERS]) {
      expect(classify("~".repeat(length), LK, true)).toBe("foreign");
      expect(classify("~".repeat(length), LK, false)).toBe("garbage");
    }
    expect(classify("~".repeat(MIN_PRESENTED_KEY_CHARACTERS - 1), LK, true)).toBe("garbage");
    expect(classify("~".repeat(MAX_PRESENTED_KEY_CHARACTERS + 1), LK, true)).toBe("garbage");
    expect(classify("", LK, true)).toBe("garbage");
    for (const odd of [" ", "\t", "\0", "\u007f", "\u00e9", "\u20ac"])
      expect(classify(`12345678${odd}`, LK, true)).toBe("garbage");
  });

  test("what nearly starts like our own is foreign: case, other separators, no environment", () => {
    for (const start of ["LK_live_", "lk-live-", "lk_liv_", "lk_", "_live_", "lkk_live_", "ik_live_"]) {
      expect(looksOwn(`${start}abcdefgh`, LK), start).toBe(false);
    }
    expect(looksOwn("lk_live_", LK)).toBe(true);
    expect(looksOwn("lk_test_x", LK)).toBe(true);
  });
});
