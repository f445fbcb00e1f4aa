import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from "jose";
import { customFetch, DPoP, protectedResourceRequest, generateKeyPair as generateClientKeys } from "oauth4webapi";
import { beforeAll, describe, expect, test } from "vitest";
import { MAX_PROOF_CHARACTERS, MAX_PROOF_ID_CHARACTERS, PROOF_WINDOW_SECONDS } from "../../src/constants.ts";
import { digestKey } from "../../src/keys/digest.ts";
import { checkProof, type ProofInput } from "../../src/tokens/dpop.ts";
import { PROOF_ALGORITHMS } from "../../src/tokens/proof-algorithms.ts";

const NOW = Date.UTC(2026, 10, 23, 12, 0, 0);
const URL_ASKED = "https://api.example.com/v1/things";
const TOKEN = "a.token.of-some-kind";

type KeyPair = Awaited<ReturnType<typeof generateKeyPair>>;
let keys: KeyPair;
let jkt: string;

beforeAll(async () => {
  keys = await generateKeyPair("ES256", { extractable: true });
  jkt = await calculateJwkThumbprint(await exportJWK(keys.publicKey));
});

interface Making {
  readonly claims?: Record<string, unknown>;
  readonly header?: Record<string, unknown>;
  readonly alg?: string;
  readonly pair?: KeyPair;
}

async function makeProof({ claims = {}, header = {}, alg = "ES256", pair = keys }: Making = {}): Promise<string> {
  const all = { jti: "proof-1", htm: "GET", htu: URL_ASKED, iat: NOW / 1_000, ath: digestKey(TOKEN), ...claims };
  return await new SignJWT(all)
    .setProtectedHeader({ typ: "dpop+jwt", alg, jwk: await exportJWK(pair.publicKey), ...header })
    .sign(pair.privateKey);
}

async function check(proof: string | null, changes: Partial<ProofInput> = {}) {
  const input = { proof, method: "GET", url: URL_ASKED, accessToken: TOKEN, expectedJkt: jkt, now: NOW, ...changes };
  return await checkProof(input);
}

async function detailOf(proof: string | null, changes: Partial<ProofInput> = {}): Promise<string> {
  const result = await check(proof, changes);
  return result.ok ? "accepted" : result.error.detail;
}

describe("a good proof", () => {
  test("says whose key it is by, and is named by key and jti", async () => {
    const result = await check(await makeProof({ claims: { nonce: "n-1" } }));
    expect(result).toEqual({
      ok: true,
      value: { jkt, jti: "proof-1", iat: NOW / 1_000, nonce: "n-1", replayId: expect.stringMatching(/^[\w-]{22}$/) },
    });
    const same = await check(await makeProof());
    const other = await check(await makeProof({ claims: { jti: "proof-2" } }));
    if (!result.ok || !same.ok || !other.ok) throw new Error("refused");
    expect(same.value.replayId).toBe(result.value.replayId);
    expect(other.value.replayId).not.toBe(result.value.replayId);
  });

  test.each(PROOF_ALGORITHMS)("may be signed with %s", async (alg) => {
    const pair = await generateKeyPair(alg, { extractable: true, modulusLength: 2_048 });
    const proof = await makeProof({ alg, pair });
    expect(await detailOf(proof, { expectedJkt: null })).toBe("accepted");
    // And again, from the store of keys.
    expect(await detailOf(proof, { expectedJkt: null })).toBe("accepted");
  });

  test("of a client library is taken", async () => {
    const pair = await generateClientKeys("ES256");
    const handle = DPoP({}, pair);
    let sent: string | null = null;
    const target = new URL(`${URL_ASKED}?page=2`);
    await protectedResourceRequest(TOKEN, "POST", target, undefined, undefined, {
      DPoP: handle,
      [customFetch]: (_url, { headers }) => {
        sent = headers["dpop"] ?? null;
        return Promise.resolve(new Response());
      },
    });
    const result = await check(sent, {
      method: "POST",
      url: `${URL_ASKED}?page=2`,
      expectedJkt: await handle.calculateThumbprint(),
      now: Date.now(),
    });
    expect(result.ok).toBe(true);
  });

  test("needs no ath where no token is presented", async () => {
    expect(await detailOf(await makeProof({ claims: { ath: undefined } }), { accessToken: null })).toBe("accepted");
  });

  test.each([
    ["https://API.example.com:443/v1/things", URL_ASKED],
    ["HTTPS://api.example.com/v1/./x/../things", URL_ASKED],
    ["https://api.example.com/v1/%74hings", URL_ASKED],
    ["https://api.example.com/a%2fb", "https://api.example.com/a%2Fb"],
    ["https://api.example.com", "https://api.example.com/"],
    ["https://api.example.com/v1/things?x=1#y", `${URL_ASKED}?z=2`],
  ])("htu %s is the target %s", async (htu, url) => {
    expect(await detailOf(await makeProof({ claims: { htu } }), { url })).toBe("accepted");
  });
});

describe("refused", () => {
  test.each<[string, Making, string]>([
    ["another method", { claims: { htm: "POST" } }, "htm"],
    ["the method in another case", { claims: { htm: "get" } }, "htm"],
    ["another path", { claims: { htu: "https://api.example.com/v1/other" } }, "htu"],
    ["another host", { claims: { htu: "https://evil.example.com/v1/things" } }, "htu"],
    ["another scheme", { claims: { htu: "http://api.example.com/v1/things" } }, "htu"],
    ["another port", { claims: { htu: "https://api.example.com:8443/v1/things" } }, "htu"],
    ["a path in another case", { claims: { htu: "https://api.example.com/V1/things" } }, "htu"],
    ["an encoded slash for a slash", { claims: { htu: "https://api.example.com/v1%2Fthings" } }, "htu"],
    ["a path without its host", { claims: { htu: "/v1/things" } }, "htu"],
    ["a user in the target", { claims: { htu: "https://u@api.example.com/v1/things" } }, "htu"],
    ["no target", { claims: { htu: undefined } }, "htu"],
    ["too old", { claims: { iat: NOW / 1_000 - PROOF_WINDOW_SECONDS - 1 } }, "iat"],
    ["too far ahead", { claims: { iat: NOW / 1_000 + PROOF_WINDOW_SECONDS + 1 } }, "iat"],
    ["no time", { claims: { iat: undefined } }, "iat"],
    ["another token's ath", { claims: { ath: digestKey("another") } }, "ath"],
    ["no ath", { claims: { ath: undefined } }, "ath"],
    ["no jti", { claims: { jti: undefined } }, "jti"],
    ["an empty jti", { claims: { jti: "" } }, "jti"],
    ["a jti that is too long", { claims: { jti: "x".repeat(MAX_PROOF_ID_CHARACTERS + 1) } }, "jti"],
    ["a jti that is no text", { claims: { jti: 7 } }, "jti"],
    ["a nonce that is no text", { claims: { nonce: 7 } }, "nonce"],
    ["another type", { header: { typ: "at+jwt" } }, "dpop+jwt"],
    ["no type", { header: { typ: undefined } }, "dpop+jwt"],
    ["no key", { header: { jwk: undefined } }, "jwk"],
    ["a key that is a text", { header: { jwk: "x" } }, "jwk"],
    ["b64", { header: { b64: true } }, "b64"],
  ])("%s", async (_what, making, named) => {
    expect(await detailOf(await makeProof(making))).toContain(named);
  });

  test("none, two, one that is too long, and what is no JWT", async () => {
    const proof = await makeProof();
    expect(await detailOf(null)).toContain("missing");
    expect(await detailOf(`${proof}, ${proof}`)).toContain("one DPoP header");
    expect(await detailOf(await makeProof({ claims: { x: "x".repeat(MAX_PROOF_CHARACTERS) } }))).toContain("at most");
    for (const bad of ["", ".", "..", "x", "a.b.c", "e30.e30.e30", `${btoa("[]")}.e30.x`, `${btoa("null")}.e30.x`]) {
      expect(await detailOf(bad), bad).not.toBe("accepted");
    }
  });

  test("a signature that was changed, is another key's, or is of other claims", async () => {
    const proof = await makeProof();
    const [header = "", claims = "", signature = ""] = proof.split(".");
    const flipped = `${signature.slice(0, -4)}${signature.slice(-4) === "AAAA" ? "BBBB" : "AAAA"}`;
    expect(await detailOf(`${header}.${claims}.${flipped}`)).toContain("signature");
    expect(await detailOf(`${header}.${claims}.`)).toContain("signature");
    const other = await generateKeyPair("ES256", { extractable: true });
    const foreign = await makeProof({ pair: { ...other, publicKey: keys.publicKey } });
    expect(await detailOf(foreign)).toContain("signature");
    const [, otherClaims = ""] = (await makeProof({ claims: { jti: "proof-2" } })).split(".");
    expect(await detailOf(`${header}.${otherClaims}.${signature}`)).toContain("signature");
  });

  test("a good proof by a key that the token is not bound to", async () => {
    const pair = await generateKeyPair("ES256", { extractable: true });
    expect(await detailOf(await makeProof({ pair }))).toContain("bound");
  });

  test("a private key in the header", async () => {
    const jwk = await exportJWK(keys.privateKey);
    expect(jwk.d).toBeDefined();
    expect(await detailOf(await makeProof({ header: { jwk } }))).toContain("private");
  });

  test.each(["none", "HS256", "RS512", "ES512", ""])("alg %s", async (alg) => {
    const jwk = await exportJWK(keys.publicKey);
    const encoded = btoa(JSON.stringify({ typ: "dpop+jwt", alg, jwk })).replaceAll("=", "");
    const [, claims = "", signature = ""] = (await makeProof()).split(".");
    for (const end of ["", signature]) expect(await detailOf(`${encoded}.${claims}.${end}`)).toContain("alg");
  });

  test("a key of another kind than the algorithm, and a shared secret for a public key", async () => {
    const [, claims = "", signature = ""] = (await makeProof()).split(".");
    const ec = await exportJWK(keys.publicKey);
    const rsa = await exportJWK((await generateKeyPair("RS256", { extractable: true })).publicKey);
    for (const [alg, jwk] of [
      ["RS256", ec],
      ["ES384", ec],
      ["Ed25519", ec],
      ["ES256", rsa],
      ["ES256", { ...ec, x: "AAAA" }],
      ["ES256", { kty: "oct", k: "c2VjcmV0" }],
      ["PS256", { ...rsa, n: rsa.n?.slice(0, 171) }],
      ["RS256", { ...rsa, n: `${rsa.n}${rsa.n}${rsa.n}` }],
    ] as const) {
      const encoded = btoa(JSON.stringify({ typ: "dpop+jwt", alg, jwk })).replaceAll("=", "");
      expect(await detailOf(`${encoded}.${claims}.${signature}`), alg).toContain("jwk");
    }
  });

  test("no detail repeats anything of the proof", async () => {
    const marked = { jti: "", htu: "https://marked.example/marked", htm: "MARKED" };
    for (const [name, value] of Object.entries(marked)) {
      expect(await detailOf(await makeProof({ claims: { [name]: value } }))).not.toMatch(/marked/i);
    }
  });
});
