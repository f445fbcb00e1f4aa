import { generateKeyPairSync } from "node:crypto";
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from "jose";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type Edge, type Edges, startEdges } from "../../scripts/lab/edges.ts";
import type { Fault } from "../../scripts/lab/faults.ts";
import { digestKey } from "../../src/keys/digest.ts";
import { fnv1a } from "../../src/platform/fnv.ts";
import { importSigningKey, type SignatureKey } from "../../src/signatures/algorithms.ts";
import { signMessage } from "../../src/signatures/sign.ts";
import { bearer, control, type IssuedKey } from "../support/control.ts";
import { requestOf } from "../support/signature-vectors.ts";

/** What may be used once, while the object that knows what was used fails, or forgets. */

let harness: Edges;
let edge: Edge;
beforeAll(async () => {
  harness = await startEdges({ count: 1 });
  [edge] = harness.edges as [Edge];
});
afterEach(() => edge.setFaults({}));
afterAll(() => harness.stop());

const PATH = "/used";

interface Signer {
  readonly issued: IssuedKey;
  readonly key: SignatureKey;
}

async function makeSigner(): Promise<Signer> {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const spki = publicKey.export({ type: "spki", format: "der" });
  const issued = await control(harness.home).issue({
    limits: [{ name: "daily", limit: 5, window: "day", kind: "quota" }],
    policy: { signature: { algorithm: "ed25519", publicKey: spki.subarray(-32).toString("base64url") } },
  });
  const pkcs8 = new Uint8Array(privateKey.export({ type: "pkcs8", format: "der" }));
  return { issued, key: await importSigningKey("ed25519", pkcs8) };
}

async function signed({ issued, key }: Signer, nonce: string): Promise<Record<string, string>> {
  const made = await signMessage(requestOf("GET", edge.url + PATH, {}), {
    label: "sig",
    key,
    components: ["@method", "@target-uri"],
    parameters: { created: Math.floor(Date.now() / 1_000), keyid: issued.id, nonce },
  });
  if (!made.ok) throw new Error(made.error);
  return { ...bearer(issued.key), "signature-input": made.value.signatureInput, signature: made.value.signature };
}

async function codeOf(response: Response): Promise<unknown> {
  return response.ok ? "allowed" : (await response.json<{ readonly code: unknown }>()).code;
}

const use = async (headers: Record<string, string>): Promise<unknown> => codeOf(await edge.fetch(PATH, { headers }));

const FAULTS: readonly (readonly [string, Fault])[] = [
  ["down", { kind: "down" }],
  ["too slow", { kind: "slow", ms: 1_500 }],
  ["answers lost", { kind: "lost" }],
];

test.each(FAULTS)(
  "guard %s: a signed request is 503, charges nothing, and other keys notice nothing",
  async (_how, fault) => {
    const signer = await makeSigner();
    expect(await use(await signed(signer, "first"))).toBe("allowed");
    const plain = await control(harness.home).issue();
    await edge.setFaults({ REPLAY_GUARD: fault });
    for (const nonce of ["a", "b"]) expect(await use(await signed(signer, nonce))).toBe("verification_unavailable");
    expect(await use(bearer(plain.key))).toBe("allowed");
    await edge.setFaults({});
    // Four of the five are left.
    const codes: unknown[] = [];
    for (const nonce of ["c", "d", "e", "f", "g"]) codes.push(await use(await signed(signer, nonce)));
    expect(codes).toEqual(["allowed", "allowed", "allowed", "allowed", "quota_exhausted"]);
  },
);

test("a signature is refused after the guard has lost its memory", async () => {
  const signer = await makeSigner();
  const headers = await signed(signer, "once");
  expect(await use(headers)).toBe("allowed");
  await harness.evict("ReplayGuard", `signature/default/${fnv1a(signer.issued.id) % 256}`);
  expect(await use(headers)).toBe("signature_invalid");
  expect(await use(await signed(signer, "twice"))).toBe("allowed");
});

test("a client over its limit asks the guard nothing, and a signature that is refused as used costs nothing", async () => {
  const signer = await makeSigner();
  const once = await signed(signer, "n0");
  expect(await use(once)).toBe("allowed");
  for (let time = 0; time < 10; time++) expect(await use(once)).toBe("signature_invalid");
  for (const nonce of ["n1", "n2", "n3", "n4"]) expect(await use(await signed(signer, nonce))).toBe("allowed");
  await edge.setFaults({ REPLAY_GUARD: { kind: "down" } });
  expect(await use(await signed(signer, "n5"))).toBe("quota_exhausted");
});

test("a DPoP proof is asked for a nonce after the guard has lost its memory, and is not taken again; down, it is 503", async () => {
  const { id, key } = await control(harness.home).issue();
  const pair = await generateKeyPair("ES256", { extractable: true });
  const jwk = await exportJWK(pair.publicKey);
  const shard = `dpop/default/${fnv1a(await calculateJwkThumbprint(jwk)) % 256}`;
  let proofs = 0;
  const prove = (claims: Record<string, unknown>): Promise<string> =>
    new SignJWT({ jti: `proof-${proofs++}`, iat: Date.now() / 1_000, ...claims })
      .setProtectedHeader({ typ: "dpop+jwt", alg: "ES256", jwk })
      .sign(pair.privateKey);
  const tokenPath = "/_latchkey/oauth/token";
  const minted = await edge.fetch(tokenPath, {
    method: "POST",
    headers: {
      authorization: `Basic ${btoa(`${id}:${key}`)}`,
      "content-type": "application/x-www-form-urlencoded",
      dpop: await prove({ htm: "POST", htu: edge.url + tokenPath }),
    },
    body: "grant_type=client_credentials&audience=demo",
  });
  expect(minted.status).toBe(200);
  const { access_token: token } = (await minted.json()) as { readonly access_token: string };
  const ours = { htm: "GET", htu: edge.url + PATH, ath: digestKey(token) };
  const send = (dpop: string) => edge.fetch(PATH, { headers: { authorization: `DPoP ${token}`, dpop } });

  const proof = await prove(ours);
  expect(await codeOf(await send(proof))).toBe("allowed");
  expect(await codeOf(await send(proof))).toBe("dpop_proof_invalid");
  await harness.evict("ReplayGuard", shard);
  const told = await send(proof);
  const nonce = told.headers.get("dpop-nonce");
  expect(nonce).toMatch(/^[\w-]{24}$/);
  expect(await codeOf(told)).toBe("dpop_nonce_required");
  const anew = await prove({ ...ours, nonce });
  expect(await codeOf(await send(anew))).toBe("allowed");
  expect(await codeOf(await send(anew))).toBe("dpop_proof_invalid");
  await edge.setFaults({ REPLAY_GUARD: { kind: "down" } });
  expect(await codeOf(await send(await prove({ ...ours, nonce })))).toBe("verification_unavailable");
});
