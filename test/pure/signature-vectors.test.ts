import { Buffer } from "node:buffer";
import { parseItem } from "structured-headers";
import { describe, expect, test } from "vitest";
import {
  importSigningKey,
  importVerifyingKey,
  type SignatureKey,
  verifyBytes,
} from "../../src/signatures/algorithms.ts";
import { componentValue, type FieldTypes } from "../../src/signatures/components.ts";
import { contentDigest, isDigestOf } from "../../src/signatures/content-digest.ts";
import type { SignableMessage } from "../../src/signatures/message.ts";
import { signMessage } from "../../src/signatures/sign.ts";
import { signatureBase } from "../../src/signatures/signature-base.ts";
import { readSignatures, type StatedSignature } from "../../src/signatures/signature-fields.ts";
import {
  REQUEST_DIGEST,
  requestOf,
  responseOf,
  RFC_KEYS,
  TEST_BODY,
  TEST_REQUEST,
  TRANSFORM,
  VECTORS,
} from "../support/signature-vectors.ts";

const bytesOf = (base64: string): Uint8Array<ArrayBuffer> => new Uint8Array(Buffer.from(base64, "base64"));
const octetsOf = (text: string): Uint8Array<ArrayBuffer> => new Uint8Array(new TextEncoder().encode(text));

function onlyOne(input: string, signature: string): StatedSignature {
  const read = readSignatures(input, signature);
  if (!read.ok || read.value[0] === undefined) throw new Error("not read");
  return read.value[0];
}

async function isRight(message: SignableMessage, stated: StatedSignature, key: SignatureKey): Promise<boolean> {
  const base = signatureBase(stated.covered, message);
  return base.ok && (await verifyBytes(key, stated.signature, base.value));
}

describe("RFC 9421 appendix B", () => {
  test.each(VECTORS)("$section: the base is the document's, and its signature is right", async (vector) => {
    const { message, algorithm, key, input, signature, lines } = vector;
    const stated = onlyOne(input, signature);
    const base = signatureBase(stated.covered, message);
    const parameters = input.slice(input.indexOf("=") + 1);
    expect(base).toEqual({ ok: true, value: [...lines, `"@signature-params": ${parameters}`].join("\n") });
    expect(await isRight(message, stated, await importVerifyingKey(algorithm, bytesOf(key)))).toBe(true);
  });

  test.each(VECTORS)("$section: one octet changed, in the signature or in the base, and it is not", async (vector) => {
    const { message, algorithm, key, input, signature } = vector;
    const stated = onlyOne(input, signature);
    const verifying = await importVerifyingKey(algorithm, bytesOf(key));
    const flipped = stated.signature.slice();
    flipped[7] = (flipped[7] ?? 0) ^ 1;
    expect(await isRight(message, { ...stated, signature: flipped }, verifying)).toBe(false);
    const other = onlyOne(input.replace("1618884473", "1618884474"), signature);
    expect(await isRight(message, other, verifying)).toBe(false);
  });

  test("B.2.5 and B.2.6: signing makes the document's own octets", async () => {
    const [hmac, ed25519] = [VECTORS[4], VECTORS[5]];
    const made = await signMessage(TEST_REQUEST, {
      label: "sig-b25",
      key: await importSigningKey("hmac-sha256", bytesOf(RFC_KEYS.shared)),
      components: ["date", "@authority", "content-type"],
      parameters: { created: 1_618_884_473, keyid: "test-shared-secret" },
    });
    expect(made).toEqual({ ok: true, value: { signatureInput: hmac?.input, signature: hmac?.signature } });
    const other = await signMessage(TEST_REQUEST, {
      label: "sig-b26",
      key: await importSigningKey("ed25519", bytesOf(RFC_KEYS.ed25519Pkcs8)),
      components: ["date", "@method", "@path", "@authority", "content-type", "content-length"],
      parameters: { created: 1_618_884_473, keyid: "test-key-ed25519" },
    });
    expect(other).toEqual({ ok: true, value: { signatureInput: ed25519?.input, signature: ed25519?.signature } });
  });

  test.each(Object.entries(TRANSFORM.good))("B.4: %s, it is right", async (_what, message) => {
    const key = await importVerifyingKey("ed25519", bytesOf(RFC_KEYS.ed25519));
    expect(await isRight(message, onlyOne(TRANSFORM.input, TRANSFORM.signature), key)).toBe(true);
  });

  test.each(Object.entries(TRANSFORM.bad))("B.4: %s, it is not", async (_what, message) => {
    const key = await importVerifyingKey("ed25519", bytesOf(RFC_KEYS.ed25519));
    expect(await isRight(message, onlyOne(TRANSFORM.input, TRANSFORM.signature), key)).toBe(false);
  });
});

describe("RFC 9421 §2: components", () => {
  const EXAMPLE_TYPES: FieldTypes = { "example-dict": "dictionary" };
  const fields = requestOf("GET", "https://www.example.com/", {
    "x-ows-header": "  Leading and trailing whitespace.    ",
    "cache-control": ["max-age=60", "   must-revalidate"],
    "example-dict": " a=1,    b=2;x=1;y=2,   c=(a   b   c), d",
    "x-empty-header": "",
    "example-header": ["value, with, lots", "of, commas"],
    latin: "caf\u00e9",
  });
  const encoded =
    "https://www.example.com/parameters?var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace&fa%C3%A7ade%22%3A%20=something";

  test.each<[string, string, SignableMessage]>([
    ["@method", "POST", TEST_REQUEST],
    ["@target-uri", "https://example.com/foo?param=Value&Pet=dog", TEST_REQUEST],
    ["@authority", "www.example.com", requestOf("GET", "https://WWW.example.com:443/", {})],
    ["@authority", "www.example.com:8443", requestOf("GET", "https://www.example.com:8443/", {})],
    ["@scheme", "http", requestOf("GET", "http://www.example.com/", {})],
    ["@request-target", "/path?param=value", requestOf("GET", "https://www.example.com/path?param=value", {})],
    ["@path", "/", requestOf("GET", "https://www.example.com", {})],
    ["@query", "?", requestOf("POST", "https://www.example.com/path", {})],
    [
      "@query",
      "?param=value&foo=bar&baz=bat%2Dman",
      requestOf("GET", "https://x.example/?param=value&foo=bar&baz=bat%2Dman", {}),
    ],
    ["@status", "200", responseOf(200, {})],
    ["x-ows-header", "Leading and trailing whitespace.", fields],
    ["cache-control", "max-age=60, must-revalidate", fields],
    ["x-empty-header", "", fields],
    ["example-dict", "a=1,    b=2;x=1;y=2,   c=(a   b   c), d", fields],
    ['"example-dict";sf', "a=1, b=2;x=1;y=2, c=(a b c), d", fields],
    ['"example-dict";key="a"', "1", fields],
    ['"example-dict";key="b"', "2;x=1;y=2", fields],
    ['"example-dict";key="c"', "(a b c)", fields],
    ['"example-dict";key="d"', "?1", fields],
    ['"example-header";bs', ":dmFsdWUsIHdpdGgsIGxvdHM=:, :b2YsIGNvbW1hcw==:", fields],
    ['"latin";bs', ":Y2Fm6Q==:", fields],
    ['"@query-param";name="var"', "this%20is%20a%20big%0Amultiline%20value", requestOf("GET", encoded, {})],
    ['"@query-param";name="bar"', "with%20plus%20whitespace", requestOf("GET", encoded, {})],
    ['"@query-param";name="fa%C3%A7ade%22%3A%20"', "something", requestOf("GET", encoded, {})],
    ['"@query-param";name="qux"', "", requestOf("GET", "https://x.example/?qux=&a=b", {})],
  ])("%s is %j", (id, value, message) => {
    expect(componentValue(parseItem(id.startsWith('"') ? id : `"${id}"`), message, EXAMPLE_TYPES)).toEqual({
      ok: true,
      value,
    });
  });

  test.each<[string, SignableMessage]>([
    ["@status", TEST_REQUEST],
    ["@method", responseOf(200, {})],
    ["@nonsense", TEST_REQUEST],
    ["@signature-params", TEST_REQUEST],
    ["constructor", TEST_REQUEST],
    ["@constructor", TEST_REQUEST],
    ['"@method";req', TEST_REQUEST],
    ['"@method";sf', TEST_REQUEST],
    ['"date";tr', TEST_REQUEST],
    ['"date";foo', TEST_REQUEST],
    ["Date", TEST_REQUEST],
    ["x-missing", TEST_REQUEST],
    ["latin", fields],
    ['"x-ows-header";sf', fields],
    ['"example-dict";key="zz"', fields],
    ['"example-dict";key=1', fields],
    ['"example-dict";bs;sf', fields],
    ['"x-ows-header";key="a"', fields],
    ['"@query-param"', TEST_REQUEST],
    ['"@query-param";name="nope"', TEST_REQUEST],
    ['"@query-param";name="a"', requestOf("GET", "https://x.example/?a=1&a=2", {})],
    ["@path", requestOf("GET", "/relative", {})],
  ])("%s cannot be signed there", (id, message) => {
    const result = componentValue(parseItem(id.startsWith('"') ? id : `"${id}"`), message, EXAMPLE_TYPES);
    expect(result.ok).toBe(false);
  });

  test("a component that is covered twice makes no base, whatever the order of its parameters", () => {
    for (const input of ['s=("@method" "@method")', 's=("example-dict";sf;key="a" "example-dict";key="a";sf)']) {
      const base = signatureBase(onlyOne(input, "s=:AA==:").covered, fields, EXAMPLE_TYPES);
      expect(base.ok, input).toBe(false);
    }
  });
});

describe("every algorithm", () => {
  const ALGORITHMS = {
    "ecdsa-p256-sha256": { name: "ECDSA", namedCurve: "P-256" },
    "rsa-pss-sha512": {
      name: "RSA-PSS",
      hash: "SHA-512",
      modulusLength: 2_048,
      publicExponent: new Uint8Array([1, 0, 1]),
    },
  } as const;
  test.each(Object.entries(ALGORITHMS))(
    "%s verifies what it signs, and no other key does",
    async (name, parameters) => {
      const algorithm = name as keyof typeof ALGORITHMS; // its own entries
      const make = async (): Promise<{ signing: SignatureKey; verifying: SignatureKey }> => {
        const pair = (await crypto.subtle.generateKey(parameters, true, ["sign", "verify"])) as CryptoKeyPair; // of asymmetric ones
        // Not a JWK, by the format.
        const pkcs8 = new Uint8Array((await crypto.subtle.exportKey("pkcs8", pair.privateKey)) as ArrayBuffer);
        const spki = new Uint8Array((await crypto.subtle.exportKey("spki", pair.publicKey)) as ArrayBuffer);
        return {
          signing: await importSigningKey(algorithm, pkcs8),
          verifying: await importVerifyingKey(algorithm, spki),
        };
      };
      const [ours, foreign] = [await make(), await make()];
      const made = await signMessage(TEST_REQUEST, {
        label: "s",
        key: ours.signing,
        components: ["@method"],
        parameters: { created: 1 },
      });
      if (!made.ok) throw new Error(made.error);
      const stated = onlyOne(made.value.signatureInput, made.value.signature);
      expect(await isRight(TEST_REQUEST, stated, ours.verifying)).toBe(true);
      expect(await isRight(TEST_REQUEST, stated, foreign.verifying)).toBe(false);
    },
  );
});

describe("RFC 9530: Content-Digest", () => {
  test("the digest of RFC 9421's request is that of its body", async () => {
    expect(await isDigestOf(REQUEST_DIGEST, octetsOf(TEST_BODY))).toBe(true);
    expect(await isDigestOf(REQUEST_DIGEST, octetsOf('{"hello": "mallory"}'))).toBe(false);
  });

  test("what is made is right for its body and for no other one, an empty one included", async () => {
    for (const algorithm of ["sha-256", "sha-512"] as const) {
      for (const body of ["", TEST_BODY, "x".repeat(100_000)]) {
        const field = await contentDigest(octetsOf(body), algorithm);
        expect(await isDigestOf(field, octetsOf(body))).toBe(true);
        expect(await isDigestOf(field, octetsOf(`${body}x`))).toBe(false);
      }
    }
  });

  test("every digest that is known must be right, and one must be", async () => {
    const body = octetsOf(TEST_BODY);
    const [short, long] = [await contentDigest(body, "sha-256"), await contentDigest(body, "sha-512")];
    const wrong = await contentDigest(octetsOf("other"), "sha-512");
    expect(await isDigestOf(`${short}, ${long}`, body)).toBe(true);
    expect(await isDigestOf(`${short}, ${wrong}`, body)).toBe(false);
    expect(await isDigestOf(`md5=:AAAA:, ${short}`, body)).toBe(true);
    for (const bad of [
      "",
      "md5=:AAAA:",
      "sha-256",
      "sha-256=AAAA",
      "sha-256=:AAAA:",
      "sha-256=:",
      "(",
      `sha-256="${short}"`,
    ]) {
      expect(await isDigestOf(bad, body), bad).toBe(false);
    }
  });
});
