import { createHmac, createPrivateKey, generateKeyPairSync, randomBytes, sign as signOctets } from "node:crypto";
import fc from "fast-check";
import { httpbis } from "http-message-signatures";
import { beforeAll, describe, expect, test } from "vitest";
import { MAX_COVERED_COMPONENTS, MAX_SIGNATURE_FIELD_CHARACTERS, SIGNATURE_SKEW_MS } from "../../src/constants.ts";
import { importSigningKey, importVerifyingKey, type SignatureKey } from "../../src/signatures/algorithms.ts";
import { contentDigest } from "../../src/signatures/content-digest.ts";
import { acceptSignature, checkRequestSignature, type SignatureRules } from "../../src/signatures/request-signature.ts";
import { signMessage } from "../../src/signatures/sign.ts";
import { readSignatures } from "../../src/signatures/signature-fields.ts";
import { type Fields, requestOf } from "../support/signature-vectors.ts";

const NOW = Date.UTC(2026, 10, 23, 12, 0, 0);
const CREATED = NOW / 1_000;
const KEY_ID = "key_01jdtest";
const TARGET = "https://api.example.com/charges?currency=eur";

const secret = new Uint8Array(randomBytes(32));
const pair = generateKeyPairSync("ed25519");
let hmac: { readonly signing: SignatureKey; readonly verifying: SignatureKey };
let ed25519: { readonly signing: SignatureKey; readonly verifying: SignatureKey };

beforeAll(async () => {
  hmac = {
    signing: await importSigningKey("hmac-sha256", secret),
    verifying: await importVerifyingKey("hmac-sha256", secret),
  };
  const spki = pair.publicKey.export({ type: "spki", format: "der" });
  const pkcs8 = pair.privateKey.export({ type: "pkcs8", format: "der" });
  ed25519 = {
    signing: await importSigningKey("ed25519", new Uint8Array(pkcs8)),
    verifying: await importVerifyingKey("ed25519", new Uint8Array(spki.subarray(-32))),
  };
});

const COVERED = ["@method", "@target-uri"] as const;
const PARAMETERS = { created: CREATED, keyid: KEY_ID, nonce: "n-1" } as const;

interface Signing {
  readonly components?: readonly string[];
  readonly parameters?: Readonly<Record<string, string | number>>;
  readonly key?: SignatureKey;
  readonly method?: string;
  readonly url?: string;
  readonly fields?: Fields;
}

async function signed(signing: Signing = {}): Promise<Fields> {
  const { components = COVERED, parameters = PARAMETERS, key = ed25519.signing, fields = {} } = signing;
  const message = requestOf(signing.method ?? "POST", signing.url ?? TARGET, fields);
  const made = await signMessage(message, { label: "sig", key, components, parameters });
  if (!made.ok) throw new Error(made.error);
  return { ...fields, "signature-input": made.value.signatureInput, signature: made.value.signature };
}

interface Checking {
  readonly rules?: Partial<SignatureRules>;
  readonly now?: number;
  readonly method?: string;
  readonly url?: string;
}

async function check(fields: Fields, { rules = {}, now = NOW, method = "POST", url = TARGET }: Checking = {}) {
  const all = { keyid: KEY_ID, keys: [ed25519.verifying], components: [], maxAgeSeconds: 60, hasBody: false, ...rules };
  return await checkRequestSignature(requestOf(method, url, fields), all, now);
}

async function faultOf(fields: Fields, checking?: Checking): Promise<string> {
  const result = await check(fields, checking);
  if (result.ok) return "accepted";
  return result.error.kind === "missing" ? "missing" : result.error.detail;
}

describe("a good signature", () => {
  test("is accepted, and named by its nonce, else by all that it signs", async () => {
    const result = await check(await signed());
    expect(result).toEqual({ ok: true, value: { created: CREATED, once: "nonce n-1" } });
    const bare = { created: CREATED, keyid: KEY_ID };
    const [one, same, other] = [
      await check(await signed({ parameters: bare })),
      await check(await signed({ parameters: bare })),
      await check(await signed({ parameters: bare, url: `${TARGET}&x=1` }), { url: `${TARGET}&x=1` }),
    ];
    expect(same).toEqual(one);
    expect(other).not.toEqual(one);
  });

  test.each([
    ["@method", "@target-uri"],
    ["@method", "@authority", "@request-target"],
    ["@query", "@path", "@authority", "@method"],
  ])("may name its target as %s %s %s", async (...components) => {
    expect(await faultOf(await signed({ components: components.filter((name) => name !== undefined) }))).toBe(
      "accepted",
    );
  });

  test("of a client library is taken, by HMAC and by Ed25519", async () => {
    const body = new TextEncoder().encode('{"amount":5}');
    const digest = await contentDigest(new Uint8Array(body));
    const signers = {
      "hmac-sha256": (data: Buffer) => createHmac("sha256", secret).update(data).digest(),
      ed25519: (data: Buffer) =>
        signOctets(null, data, createPrivateKey(pair.privateKey.export({ type: "pkcs8", format: "pem" }))),
    };
    for (const [alg, sign] of Object.entries(signers)) {
      const message = await httpbis.signMessage(
        {
          key: { id: KEY_ID, alg, sign: (data) => Promise.resolve(sign(data)) },
          fields: ["@method", "@target-uri", "content-digest"],
          params: ["created", "keyid", "alg", "nonce"],
          paramValues: { created: new Date(NOW), nonce: "n-2" },
        },
        { method: "POST", url: TARGET, headers: { "Content-Digest": digest } },
      );
      const fields: Record<string, string> = {};
      for (const [name, value] of Object.entries(message.headers)) fields[name.toLowerCase()] = value;
      const keys = [alg === "ed25519" ? ed25519.verifying : hmac.verifying];
      expect(await faultOf(fields, { rules: { keys, hasBody: true } }), alg).toBe("accepted");
    }
  });

  test("may stand beside a proxy's, which is not looked at", async () => {
    const fields = await signed();
    const beside = {
      "signature-input": `proxy=("@method");keyid="other", ${String(fields["signature-input"])}`,
      signature: `proxy=:AAAA:, ${String(fields["signature"])}`,
    };
    expect(await faultOf(beside)).toBe("accepted");
  });

  test("by either of two keys is taken while a secret is being replaced", async () => {
    const keys = [hmac.verifying, ed25519.verifying];
    expect(await faultOf(await signed(), { rules: { keys } })).toBe("accepted");
    expect(await faultOf(await signed({ key: hmac.signing }), { rules: { keys } })).toBe("accepted");
  });
});

describe("refused", () => {
  test("without a signature it is missing, whichever of the two fields is not there", async () => {
    const fields = await signed();
    expect(await faultOf({})).toBe("missing");
    expect(await faultOf({ signature: fields["signature"] ?? "" })).toBe("missing");
    expect(await faultOf({ "signature-input": fields["signature-input"] ?? "" })).toBe("missing");
  });

  test("used for another method, host, path, query, scheme or field", async () => {
    const fields = await signed({ components: [...COVERED, "x-amount"], fields: { "x-amount": "5" } });
    expect(await faultOf(fields)).toBe("accepted");
    expect(await faultOf(fields, { method: "PUT" })).toContain("not by");
    for (const url of [
      "https://api.example.org/charges?currency=eur",
      "https://api.example.com/refunds?currency=eur",
      "https://api.example.com/charges?currency=usd",
      "https://api.example.com/charges",
      "http://api.example.com/charges?currency=eur",
      "https://api.example.com:8443/charges?currency=eur",
    ]) {
      expect(await faultOf(fields, { url }), url).toContain("not by");
    }
    expect(await faultOf({ ...fields, "x-amount": "6" })).toContain("not by");
    expect(await faultOf({ ...fields, "x-amount": ["5", "6"] })).toContain("not by");
    const { "x-amount": _left, ...without } = fields;
    expect(await faultOf(without)).toContain("not there");
  });

  test("that is too old, from the future, or expired; and to the second, not before", async () => {
    const fields = await signed();
    const oldest = NOW + 60_000 + SIGNATURE_SKEW_MS;
    expect(await faultOf(fields, { now: oldest })).toBe("accepted");
    expect(await faultOf(fields, { now: oldest + 1 })).toContain("older");
    expect(await faultOf(fields, { now: NOW - SIGNATURE_SKEW_MS })).toBe("accepted");
    expect(await faultOf(fields, { now: NOW - SIGNATURE_SKEW_MS - 1 })).toContain("future");
    const ending = await signed({ parameters: { ...PARAMETERS, expires: CREATED + 5 } });
    expect(await faultOf(ending, { now: NOW + 4_999 })).toBe("accepted");
    expect(await faultOf(ending, { now: NOW + 5_000 })).toContain("expired");
    const timeless = await signed({ parameters: { keyid: KEY_ID } });
    expect(await faultOf(timeless)).toContain("created");
    const year = await signed({ parameters: { ...PARAMETERS, created: 1e14 } });
    expect(await faultOf(year)).toContain("future");
  });

  test.each<[readonly string[], string]>([
    [[], "@target-uri, @method"],
    [["@method"], "@target-uri"],
    [["@target-uri"], "@method"],
    [["@method", "@authority", "@path"], "@target-uri"],
    [["@method", "@path", "@query"], "@target-uri"],
  ])("that covers only %j", async (components, named) => {
    expect(await faultOf(await signed({ components }))).toContain(`does not cover ${named}.`);
  });

  test("that leaves out what the key's policy names, or the digest of a body, or has only a part of it", async () => {
    expect(await faultOf(await signed(), { rules: { components: ["x-amount"] } })).toContain("cover x-amount");
    expect(await faultOf(await signed(), { rules: { hasBody: true } })).toContain("cover content-digest");
    const partly = await signMessage(requestOf("POST", TARGET, { "content-digest": "sha-256=:AA==:" }), {
      label: "s",
      key: ed25519.signing,
      components: [...COVERED, ["content-digest", new Map([["key", "sha-256"]])]],
      parameters: PARAMETERS,
    });
    if (!partly.ok) throw new Error(partly.error);
    const { signatureInput, signature } = partly.value;
    const fields = { "content-digest": "sha-256=:AA==:", "signature-input": signatureInput, signature };
    expect(await faultOf(fields, { rules: { hasBody: true } })).toContain("cover content-digest");
  });

  test("by another key, for another key's id, or with none", async () => {
    const foreign = generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "der" });
    const key = await importSigningKey("ed25519", new Uint8Array(foreign));
    expect(await faultOf(await signed({ key }))).toContain("not by");
    const other = await signed({ parameters: { ...PARAMETERS, keyid: "key_other" } });
    expect(await faultOf(other)).toContain("keyid");
    expect(await faultOf(await signed({ parameters: { created: CREATED } }))).toContain("keyid");
  });

  test("whose alg is not the key's, and the public key used as a shared secret", async () => {
    expect(await faultOf(await signed({ parameters: { ...PARAMETERS, alg: "ed25519" } }))).toBe("accepted");
    for (const alg of ["hmac-sha256", "none", "ed25519 ", "ED25519", ""]) {
      expect(await faultOf(await signed({ parameters: { ...PARAMETERS, alg } })), alg).toContain("not by");
    }
    const published = pair.publicKey.export({ type: "spki", format: "der" }).subarray(-32);
    const confused = await importSigningKey("hmac-sha256", new Uint8Array(published));
    for (const parameters of [PARAMETERS, { ...PARAMETERS, alg: "hmac-sha256" }]) {
      expect(await faultOf(await signed({ key: confused, parameters }))).toContain("not by");
    }
  });

  test("twice with this key's id, so that nobody chooses which one counts", async () => {
    const one = await signed();
    const fields = {
      "signature-input": `${String(one["signature-input"])}, b=("@method");created=${CREATED};keyid="${KEY_ID}"`,
      signature: `${String(one["signature"])}, b=:AAAA:`,
    };
    expect(await faultOf(fields)).toContain("one signature");
  });

  test("with a label twice: the last counts, in both fields, and no mixture of them", async () => {
    const [good, bad] = [await signed(), await signed({ components: ["@method"] })];
    const input = [good, bad].map((fields) => String(fields["signature-input"]));
    const signature = [good, bad].map((fields) => String(fields["signature"]));
    expect(await faultOf({ "signature-input": input.join(", "), signature: signature.join(", ") })).toContain("cover");
    expect(
      await faultOf({ "signature-input": input.toReversed().join(", "), signature: signature.join(", ") }),
    ).toContain("not by");
    expect(
      await faultOf({ "signature-input": input.toReversed().join(", "), signature: signature.toReversed().join(", ") }),
    ).toBe("accepted");
  });

  test("with fields that are too long, or name too much", async () => {
    const fields = await signed();
    const long = `${String(fields["signature-input"])};tag="${"x".repeat(MAX_SIGNATURE_FIELD_CHARACTERS)}"`;
    expect(await faultOf({ ...fields, "signature-input": long })).toContain("at most");
    expect(
      await faultOf({
        ...fields,
        signature: `${String(fields["signature"])}${" ".repeat(MAX_SIGNATURE_FIELD_CHARACTERS)}`,
      }),
    ).toContain("at most");
    const many = Array.from({ length: MAX_COVERED_COMPONENTS + 1 }, (_none, index) => `"x-${index}"`).join(" ");
    expect(
      await faultOf({ ...fields, "signature-input": `sig=(${many});created=${CREATED};keyid="${KEY_ID}"` }),
    ).toContain("dictionaries");
    const labels = Array.from({ length: 5 }, (_none, index) => `l${index}=()`).join(", ");
    expect(await faultOf({ ...fields, "signature-input": labels })).toContain("at most");
    expect(await faultOf(await signed({ parameters: { ...PARAMETERS, nonce: "x".repeat(257) } }))).toContain("nonce");
    expect(await faultOf(await signed({ parameters: { ...PARAMETERS, nonce: "" } }))).toContain("nonce");
  });

  test.each([
    "",
    "sig",
    "sig=1",
    "sig=(",
    "sig=()",
    'sig=("@method" "@target-uri");created="1";keyid="k"',
    'sig=("@method");created=1.5;keyid="k"',
    "sig=();created=1;keyid=token",
    "sig=();created=1;nonce=:AA==:",
    "Sig=()",
    "\u0000",
    "sig=(\u00e9)",
  ])("with the Signature-Input %j", async (input) => {
    const fields = await signed();
    expect(await faultOf({ ...fields, "signature-input": input })).not.toBe("accepted");
  });

  test("whatever the fields hold, reading them ends and no fault repeats them", async () => {
    const piece = fc.constantFrom(
      "sig",
      "=",
      "(",
      ")",
      '"',
      "@method",
      ";",
      "created",
      "1",
      ":",
      ",",
      " ",
      "AAAA",
      "\\",
      "?1",
      "%",
      "keyid",
      "marked",
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(piece, { maxLength: 30 }),
        fc.array(piece, { maxLength: 10 }),
        async (input, signature) => {
          const result = readSignatures(input.join(""), signature.join(""));
          if (!result.ok) expect(result.error).not.toContain("marked");
          expect(await faultOf({ "signature-input": input.join(""), signature: signature.join("") })).not.toBe(
            "accepted",
          );
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

test("Accept-Signature says what must be covered, as RFC 9421 §5.1 writes it", () => {
  const rules = { keyid: KEY_ID, components: ["x-amount"], hasBody: true };
  expect(acceptSignature(rules, "ed25519")).toBe(
    `latchkey=("@method" "@target-uri" "content-digest" "x-amount");created;nonce;keyid="${KEY_ID}";alg="ed25519"`,
  );
});
