import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { calculateJwkThumbprint, type JWK, SignJWT } from "jose";
import * as oauth from "oauth4webapi";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startEdges, type Edges } from "../../scripts/lab/edges.ts";
import { bearer, control, type IssuedKey } from "../support/control.ts";
import { API_KEY, EXCHANGE, exchange, type OAuthAnswer, partOf, post, tryIt } from "../support/oauth.ts";

/** RFC 9449 at the token endpoint and at the gateway, and RFC 8705 §3 where a certificate comes with the connection. */

let harness: Edges;
let issued: IssuedKey;
beforeAll(async () => {
  harness = await startEdges({ count: 2 });
  issued = await control(harness.home).issue({ policy: { requireDpop: true } });
});
afterAll(() => harness.stop());

const send = (target: string, init?: RequestInit) => harness.home.fetch(target, init);

interface Client {
  readonly privateKey: KeyObject;
  readonly jwk: JWK;
}

function newClient(): Client {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { privateKey, jwk: publicKey.export({ format: "jwk" }) };
}

interface ProofParts {
  readonly method?: string;
  readonly url: string;
  readonly token?: string;
  readonly nonce?: string;
  readonly claims?: Record<string, unknown>;
}

async function prove(
  { privateKey, jwk }: Client,
  { method = "GET", url, token, nonce, claims }: ProofParts,
): Promise<string> {
  const ath =
    token === undefined
      ? {}
      : {
          ath: Buffer.from(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(token))).toString(
            "base64url",
          ),
        };
  return await new SignJWT({
    jti: crypto.randomUUID(),
    htm: method,
    htu: url,
    iat: Math.floor(Date.now() / 1_000),
    ...ath,
    ...(nonce === undefined ? {} : { nonce }),
    ...claims,
  })
    .setProtectedHeader({ alg: "ES256", typ: "dpop+jwt", jwk })
    .sign(privateKey);
}

const endpoint = () => `${harness.home.url}/_latchkey/oauth/token`;

/** As a client does: again, with the nonce that the server asks for. */
async function exchangeBound(client: Client, subject: string, type = API_KEY): Promise<OAuthAnswer> {
  const fields = { grant_type: EXCHANGE, subject_token: subject, subject_token_type: type };
  const first = await post(send, "token", fields, { dpop: await prove(client, { method: "POST", url: endpoint() }) });
  if (first.body["error"] !== "use_dpop_nonce") return first;
  const nonce = first.headers.get("dpop-nonce") ?? "";
  return await post(send, "token", fields, { dpop: await prove(client, { method: "POST", url: endpoint(), nonce }) });
}

async function boundToken(client: Client): Promise<string> {
  const { status, body } = await exchangeBound(client, issued.key);
  expect({ status, body }).toMatchObject({ status: 200, body: { token_type: "DPoP" } });
  return String(body["access_token"]);
}

interface Tried {
  readonly status: number;
  readonly code: unknown;
  readonly headers: Headers;
}

async function present(token: string, proof: string | null, target = "/anything", scheme = "DPoP"): Promise<Tried> {
  const headers = { authorization: `${scheme} ${token}`, ...(proof === null ? {} : { dpop: proof }) };
  const response = await send(target, { headers });
  const text = await response.text();
  const code = response.status === 200 ? "ok" : (JSON.parse(text) as { code?: unknown }).code; // a problem document
  return { status: response.status, code, headers: response.headers };
}

/** Presents the token with a proof of its own, and again with a nonce where one is asked for. */
async function presentBound(client: Client, token: string, over: Partial<ProofParts> = {}): Promise<Tried> {
  const parts = { url: `${harness.home.url}/anything`, token, ...over };
  const first = await present(token, await prove(client, parts));
  if (first.code !== "dpop_nonce_required") return first;
  const nonce = first.headers.get("dpop-nonce") ?? "";
  return await present(token, await prove(client, { ...parts, nonce }));
}

describe("RFC 9449 §5: at the token endpoint", () => {
  it("the token is bound to the key of the proof", async () => {
    const client = newClient();
    const token = await boundToken(client);
    expect(partOf(token, 1)["cnf"]).toEqual({ jkt: await calculateJwkThumbprint(client.jwk) });
  });

  it("a key that requires it mints nothing without a proof", async () => {
    const fields = { grant_type: EXCHANGE, subject_token: issued.key, subject_token_type: API_KEY };
    const { status, body } = await post(send, "token", fields);
    expect({ status, error: body["error"] }).toEqual({ status: 400, error: "invalid_dpop_proof" });
  });

  it("a token that is bound is exchanged with a proof by the same key alone, and stays bound to it", async () => {
    const client = newClient();
    const token = await boundToken(client);
    const type = "urn:ietf:params:oauth:token-type:access_token";
    const bare = { grant_type: EXCHANGE, subject_token: token, subject_token_type: type };
    expect((await post(send, "token", bare)).body["error"]).toBe("invalid_dpop_proof");
    expect((await exchangeBound(newClient(), token, type)).body["error"]).toBe("invalid_dpop_proof");
    const again = await exchangeBound(client, token, type);
    expect(partOf(String(again.body["access_token"]), 1)["cnf"]).toEqual(partOf(token, 1)["cnf"]);
  });
});

describe("RFC 9449 §7: at the gateway", () => {
  it("the token passes with a proof for this request", async () => {
    const client = newClient();
    expect(await presentBound(client, await boundToken(client))).toMatchObject({ status: 200 });
  });

  it("beside a key the token is a second credential, at forward auth too, and another server's is the origin's", async () => {
    const { key } = await control(harness.home).issue();
    const own = await boundToken(newClient());
    const foreign = await new SignJWT({ client_id: "somebody" })
      .setProtectedHeader({ alg: "ES256", typ: "at+jwt" })
      .sign(newClient().privateKey);
    const original = { "x-original-method": "GET", "x-original-uri": "/anything" };
    const beside = async (token: string, target = "/anything", more = {}) => {
      const headers = { authorization: `DPoP ${token}`, "x-api-key": key, dpop: "proof", ...more };
      const response = await send(target, { headers });
      return { status: response.status, text: await response.text() };
    };
    for (const refused of [await beside(own), await beside(own, "/_latchkey/v1/authorize", original)]) {
      expect(refused).toMatchObject({ status: 400, text: expect.stringContaining("credential_conflict") });
      expect(refused.text).not.toContain(own);
    }
    const passed = await beside(foreign);
    expect(passed).toMatchObject({ status: 200, text: expect.stringContaining(`DPoP ${foreign}`) });
    expect(passed.text).not.toContain(key);
    expect((await beside(foreign, "/_latchkey/v1/authorize", original)).status).toBe(200);
  });

  it("§7.1: sent as a Bearer it does not, and the challenge names DPoP", async () => {
    const client = newClient();
    const token = await boundToken(client);
    const tried = await present(
      token,
      await prove(client, { url: `${harness.home.url}/anything`, token }),
      "/anything",
      "Bearer",
    );
    expect(tried).toMatchObject({ status: 401, code: "dpop_proof_invalid" });
    expect(tried.headers.get("www-authenticate")).toMatch(/^DPoP .*algs="[^"]*ES256/);
  });

  it("§11.1: the same proof passes once, wherever it is sent", async () => {
    const client = newClient();
    const token = await boundToken(client);
    const url = `${harness.home.url}/anything`;
    let nonce: string | undefined;
    const first = await present(token, await prove(client, { url, token }));
    if (first.code === "dpop_nonce_required") nonce = first.headers.get("dpop-nonce") ?? undefined;
    const proof = await prove(client, { url, token, ...(nonce === undefined ? {} : { nonce }) });
    const tries = await Promise.all(Array.from({ length: 10 }, () => present(token, proof)));
    expect(tries.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(tries.filter(({ code }) => code === "dpop_proof_invalid")).toHaveLength(9);
  });

  it("nor does a proof pass once more after what remembers it has lost its memory", async () => {
    const client = newClient();
    const token = await boundToken(client);
    const url = `${harness.home.url}/anything`;
    const first = await present(token, await prove(client, { url, token }));
    const nonce = first.headers.get("dpop-nonce");
    const proof = await prove(client, { url, token, ...(nonce === null ? {} : { nonce }) });
    expect((await present(token, proof)).status).toBe(200);
    for (let shard = 0; shard < 256; shard++)
      await harness.evict("ReplayGuard", `dpop/default/${shard}`).catch(() => undefined);
    expect((await present(token, proof)).status).toBe(401);
    expect(await presentBound(client, token)).toMatchObject({ status: 200 });
  });

  it.each([
    ["another method", { method: "POST" }],
    ["another path", { url: "http://localhost/elsewhere" }],
    ["another token", { token: "eyJ.eyJ.x" }],
    ["no token", { claims: { ath: undefined } }],
    ["yesterday", { claims: { iat: Math.floor(Date.now() / 1_000) - 86_400 } }],
    ["tomorrow", { claims: { iat: Math.floor(Date.now() / 1_000) + 86_400 } }],
    ["nobody: without a jti", { claims: { jti: undefined } }],
  ])("§4.3: a proof for %s is refused", async (_what, over) => {
    const client = newClient();
    expect(await presentBound(client, await boundToken(client), over)).toMatchObject({
      status: 401,
      code: "dpop_proof_invalid",
    });
  });

  it("§4.3: so is one by another key, and none at all", async () => {
    const token = await boundToken(newClient());
    expect(await presentBound(newClient(), token)).toMatchObject({ status: 401, code: "dpop_proof_invalid" });
    expect(await present(token, null)).toMatchObject({ status: 401, code: "dpop_proof_invalid" });
  });

  it("a token that is not bound does not pass as one", async () => {
    const { key } = await control(harness.home).issue();
    const token = await exchange(send, key);
    expect(await presentBound(newClient(), token)).toMatchObject({ status: 401, code: "token_invalid" });
    expect(await tryIt(send, token)).toBe(200);
  });

  it("verify looks at the proof that it is given, and lets nobody in without", async () => {
    const client = newClient();
    const token = await boundToken(client);
    const url = "https://elsewhere.example.com/things";
    const ask = async (over: Record<string, unknown>) =>
      (await control(harness.home).call("POST", "/verify", { body: { key: token, ...over } })).body;
    expect(await ask({})).toMatchObject({ valid: false, code: "dpop_proof_invalid" });
    let answer = await ask({ dpop: await prove(client, { url, token }), method: "GET", url });
    if (answer["code"] === "dpop_nonce_required")
      answer = await ask({
        dpop: await prove(client, { url, token, nonce: String(answer["dpopNonce"]) }),
        method: "GET",
        url,
      });
    expect(answer).toMatchObject({ valid: true, keyId: issued.id });
  });
});

describe("RFC 9449 by a client library", () => {
  it("oauth4webapi gets a bound token and calls the API, nonces and all", async () => {
    const insecure = { [oauth.allowInsecureRequests]: true };
    const issuer = new URL(harness.home.url);
    const as = await oauth.processDiscoveryResponse(
      issuer,
      await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...insecure }),
    );
    expect(as.dpop_signing_alg_values_supported).toContain("ES256");
    const client: oauth.Client = { client_id: issued.id };
    const DPoP = oauth.DPoP(client, await oauth.generateKeyPair("ES256"));
    const get = async (): Promise<oauth.TokenEndpointResponse> => {
      const response = await oauth.clientCredentialsGrantRequest(
        as,
        client,
        oauth.ClientSecretBasic(issued.key),
        new URLSearchParams(),
        { DPoP, ...insecure },
      );
      return await oauth.processClientCredentialsResponse(as, client, response);
    };
    const result = await get().catch((error: unknown) => {
      if (oauth.isDPoPNonceError(error)) return get();
      throw error;
    });
    expect(result.token_type).toBe("dpop");
    const call = (): Promise<Response> =>
      oauth.protectedResourceRequest(
        result.access_token,
        "GET",
        new URL("/anything", harness.home.url),
        undefined,
        undefined,
        { DPoP, ...insecure },
      );
    for (let time = 0; time < 3; time++) {
      const response = await call().catch((error: unknown) => {
        if (oauth.isDPoPNonceError(error)) return call();
        throw error;
      });
      expect(response.status).toBe(200);
    }
  });
});

describe("RFC 8705 §3: a token that is bound to a certificate", () => {
  const fingerprint = (digit: string) => digit.repeat(64);
  const certificate = (digit: string) => ({
    cf: { tlsClientAuth: { certPresented: "1", certVerified: "SUCCESS", certFingerprintSHA256: fingerprint(digit) } },
  });

  it("is minted with the certificate at hand by a key that is bound to it, and passes with it alone", async () => {
    const { key } = await control(harness.home).issue({
      bindings: { certificateSha256: [fingerprint("a"), fingerprint("b")] },
    });
    const withA = (target: string, init?: RequestInit) => harness.home.fetch(target, { ...init, ...certificate("a") });
    const token = await exchange(withA, key);
    expect(partOf(token, 1)["cnf"]).toEqual({ "x5t#S256": Buffer.from(fingerprint("a"), "hex").toString("base64url") });
    expect(await tryIt(withA, token)).toBe(200);
    // The key's other certificate would do for the key, and does not for the token.
    const withB = await harness.home.fetch("/anything", { headers: bearer(token), ...certificate("b") });
    expect(withB.status).toBe(401);
    expect(await tryIt(send, token)).toBe("certificate_required");
  });
});
