import { hkdfSync } from "node:crypto";
import { expect, test } from "vitest";
import { SIGNATURE_KEY_CACHE_ENTRIES } from "../../src/constants.ts";
import { importSigningKey, signBytes, verifyBytes } from "../../src/signatures/algorithms.ts";
import { SignatureKeys } from "../../src/signatures/signature-keys.ts";
import { signingSecretFor } from "../../src/signatures/signing-secret.ts";

const OLD = "o".repeat(32);
const NEW = "n".repeat(32);
const HMAC = { algorithm: "hmac-sha256" } as const;

test("a signing secret is HKDF-SHA-256 of the deployment's secret and the key's id, as another implementation has it", async () => {
  const expected = Buffer.from(hkdfSync("sha256", OLD, "latchkey/signing-secret/v1", "key_1", 32)).toString(
    "base64url",
  );
  expect(await signingSecretFor("key_1", { LATCHKEY_TOKEN_SECRET: OLD })).toBe(expected);
  expect(await signingSecretFor("key_2", { LATCHKEY_TOKEN_SECRET: OLD })).not.toBe(expected);
  expect(await signingSecretFor("key_1", { LATCHKEY_TOKEN_SECRET: NEW })).not.toBe(expected);
});

test("without a secret of the deployment, or with one that is too short, there is none", async () => {
  for (const LATCHKEY_TOKEN_SECRET of [undefined, "", "x".repeat(31)]) {
    expect(await signingSecretFor("key_1", { LATCHKEY_TOKEN_SECRET })).toBeNull();
    expect(await new SignatureKeys({ LATCHKEY_TOKEN_SECRET }).of("key_1", HMAC)).toEqual([]);
  }
});

test("while the deployment's secret is replaced, signatures by the one before are good too, and afterwards no more", async () => {
  const shown = (await signingSecretFor("key_1", { LATCHKEY_TOKEN_SECRET: OLD })) ?? "";
  const signing = await importSigningKey("hmac-sha256", new Uint8Array(Buffer.from(shown, "base64url")));
  const signature = await signBytes(signing, "what is signed");
  const isGood = async (keys: SignatureKeys): Promise<boolean> => {
    const verified = (await keys.of("key_1", HMAC)).map((key) => verifyBytes(key, signature, "what is signed"));
    return (await Promise.all(verified)).includes(true);
  };
  expect(await isGood(new SignatureKeys({ LATCHKEY_TOKEN_SECRET: OLD }))).toBe(true);
  const halfway = new SignatureKeys({ LATCHKEY_TOKEN_SECRET: NEW, LATCHKEY_TOKEN_SECRET_PREVIOUS: OLD });
  expect(await isGood(halfway)).toBe(true);
  expect(await isGood(new SignatureKeys({ LATCHKEY_TOKEN_SECRET: NEW }))).toBe(false);
});

test("a public key that is none verifies nothing, and a policy that is changed changes the key", async () => {
  const keys = new SignatureKeys({});
  expect(await keys.of("key_1", { algorithm: "ed25519", publicKey: "AAAA" })).toEqual([]);
  expect(await keys.of("key_1", { algorithm: "ed25519" })).toEqual([]);
  const [one] = await keys.of("key_1", { algorithm: "ed25519", publicKey: "A".repeat(43) });
  const [other] = await keys.of("key_1", { algorithm: "ed25519", publicKey: `${"A".repeat(42)}E` });
  expect(one).toBeDefined();
  expect(other).not.toBe(one);
});

test("a warm key is imported once, and more keys than the bound push out the oldest", async () => {
  const keys = new SignatureKeys({ LATCHKEY_TOKEN_SECRET: OLD });
  const first = await keys.of("key_0", HMAC);
  expect(await keys.of("key_0", HMAC)).toBe(first);
  for (let index = 1; index <= SIGNATURE_KEY_CACHE_ENTRIES; index++) await keys.of(`key_${index}`, HMAC);
  expect(await keys.of("key_0", HMAC)).not.toBe(first);
});
