import fc from "fast-check";
import { createHash, webcrypto } from "node:crypto";
import { describe, expect, test } from "vitest";
import { MAX_PRESENTED_KEY_CHARACTERS } from "../../src/constants.ts";
import { digestKey, importedHash, isKeyHash } from "../../src/keys/digest.ts";
import { hintOf, hintOfHash } from "../../src/keys/hint.ts";
import { keyArbitrary, makeKey } from "../support/key-makers.ts";

const hashBytes = fc.uint8Array({ minLength: 32, maxLength: 32 });

describe("the digest", () => {
  test("is SHA-256 of the whole key in base64url, as WebCrypto computes it", async () => {
    const key = makeKey();
    const digest = await webcrypto.subtle.digest("SHA-256", new TextEncoder().encode(key));
    expect(digestKey(key)).toBe(Buffer.from(digest).toString("base64url"));
  });

  test("is what the runtime computes, for every length that a key may have, and two blocks more", () => {
    for (let length = 0; length <= MAX_PRESENTED_KEY_CHARACTERS + 128; length++) {
      const text = Array.from({ length }, (_, index) => String.fromCharCode(0x21 + ((index * 7 + length) % 94))).join(
        "",
      );
      expect(digestKey(text), `${length} characters`).toBe(createHash("sha256").update(text).digest("base64url"));
    }
  });

  test("is what the runtime computes, for any text, ASCII or not, one after the other", () => {
    const texts = fc.oneof(
      fc.string({ unit: "binary-ascii", maxLength: 300 }),
      fc.string({ unit: "binary", maxLength: 80 }),
    );
    fc.assert(
      fc.property(texts, (text) => {
        expect(digestKey(text)).toBe(createHash("sha256").update(text).digest("base64url"));
      }),
      { numRuns: 2_000 },
    );
  });

  test("agrees with the standard's own examples (FIPS 180-4, as NIST publishes them)", () => {
    const examples: readonly (readonly [string, string])[] = [
      ["", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
      ["abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
      [
        "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
      ],
    ];
    for (const [text, hex] of examples) expect(Buffer.from(digestKey(text), "base64url").toString("hex")).toBe(hex);
  });

  test("is a key hash for any key, and differs for any two", () => {
    fc.assert(
      fc.property(keyArbitrary, keyArbitrary, (a, b) => {
        expect(isKeyHash(digestKey(a.key))).toBe(true);
        expect(digestKey(a.key) === digestKey(b.key)).toBe(a.key === b.key);
      }),
    );
  });
});

describe("an imported hash", () => {
  test("is the digest of its key in every encoding that is taken", () => {
    fc.assert(
      fc.property(hashBytes, (bytes) => {
        const buffer = Buffer.from(bytes);
        const stored = buffer.toString("base64url");
        const same = (encoding: string, value: string) =>
          expect(importedHash({ algorithm: "sha256", encoding, value })).toEqual({
            ok: true,
            value: stored,
          });
        same("hex", buffer.toString("hex"));
        same("hex", buffer.toString("hex").toUpperCase());
        same("base64", buffer.toString("base64"));
        same("base64", buffer.toString("base64").replace(/=$/, ""));
        same("base64url", stored);
        same("base64url", `${stored}=`);
      }),
    );
  });

  test("of another length, with other characters or spaces is refused", () => {
    const hex = "0a".repeat(32);
    const base64 = Buffer.from(hex, "hex").toString("base64");
    const bad: readonly (readonly [string, string])[] = [
      ["hex", hex.slice(2)],
      ["hex", `${hex}00`],
      ["hex", `${hex.slice(1)}g`],
      ["hex", ` ${hex.slice(1)}`],
      ["hex", `0x${hex.slice(2)}`],
      ["hex", `${hex}\n`],
      ["hex", ""],
      ["base64", base64.slice(1)],
      ["base64", `${base64}=`],
      ["base64", `A${base64}`],
      ["base64", `-${base64.slice(1)}`],
      ["base64", `${base64}\n`],
      ["base64", ""],
      ["base64url", `+${base64.slice(1, -1)}`],
      ["base64url", base64.slice(0, 42)],
      ["base64url", ""],
    ];
    for (const [encoding, value] of bad) {
      expect(importedHash({ algorithm: "sha256", encoding, value }).ok, `${encoding} ${JSON.stringify(value)}`).toBe(
        false,
      );
    }
  });

  test("has one text only: a last character with bits that stand for nothing is refused", () => {
    const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".split("");
    const accepted = alphabet.filter((last) => isKeyHash("A".repeat(42) + last));
    expect(accepted).toEqual(alphabet.filter((_, index) => index % 4 === 0));
    for (const last of accepted) {
      const text = "A".repeat(42) + last;
      expect(Buffer.from(text, "base64url").toString("base64url")).toBe(text);
    }
  });

  test("in another algorithm or encoding is refused, and no error repeats what was sent", () => {
    const key = makeKey();
    for (const hash of [
      { algorithm: "sha512", encoding: "hex", value: key },
      { algorithm: "SHA256", encoding: "hex", value: key },
      { algorithm: "sha256", encoding: "utf8", value: key },
      { algorithm: "sha256", encoding: "base64url", value: key },
    ]) {
      const result = importedHash(hash);
      expect(result.ok).toBe(false);
      expect(JSON.stringify(result)).not.toContain(key);
    }
  });
});

describe("a hint", () => {
  test("shows the first four random characters and the last four of the key, and no more", () => {
    fc.assert(
      fc.property(keyArbitrary, ({ prefix, environment, key }) => {
        const hint = hintOf(key);
        const body = key.slice(-38);
        expect(hint).toBe(`${prefix}_${environment}_${body.slice(0, 4)}…${body.slice(-4)}`);
        expect(hint.slice(`${prefix}_${environment}_`.length).replace("…", "")).toHaveLength(8);
        expect(hint).not.toContain(body.slice(0, 5));
        expect(hint).not.toContain(body.slice(-5));
      }),
    );
  });

  test("of what is not a key shows nothing of it", () => {
    for (const text of [makeKey().slice(1), "", "a foreign key of some length", `${makeKey()} `])
      expect(hintOf(text)).toBe("…");
  });

  test("of an imported key comes from its hash", () => {
    const hash = digestKey("some foreign key");
    expect(hintOfHash(hash)).toBe(`sha256:${hash.slice(0, 4)}…${hash.slice(-4)}`);
  });
});
