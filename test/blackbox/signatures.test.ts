import { createHmac, generateKeyPairSync, type KeyObject, randomUUID, sign as signOctets } from "node:crypto";
import { httpbis } from "http-message-signatures";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { contentDigest } from "../../src/signatures/content-digest.ts";
import { expectProblem, openTarget } from "../support/contract.ts";
import type { Answer, Target } from "../support/contract.ts";
import type { IssuedKey } from "../support/control.ts";

/** Keys whose requests must be signed (RFC 9421), against a running server, signed by a client library. */

let target: Target;
beforeAll(async () => {
  target = await openTarget();
});
afterAll(() => target.stop());

interface Signer {
  readonly key: IssuedKey;
  readonly alg: "hmac-sha256" | "ed25519";
  readonly sign: (data: Buffer) => Buffer;
}

async function hmacKey(policy: object = {}): Promise<Signer> {
  const key = await target.api.issue({ policy: { signature: { algorithm: "hmac-sha256", ...policy } } });
  return hmacSigner(key, String(key["signingSecret"]));
}

function hmacSigner(key: IssuedKey, secret: string): Signer {
  const bytes = Buffer.from(secret, "base64url");
  expect(bytes).toHaveLength(32);
  return { key, alg: "hmac-sha256", sign: (data) => createHmac("sha256", bytes).update(data).digest() };
}

function publicBytes(key: KeyObject): string {
  return key.export({ type: "spki", format: "der" }).subarray(-32).toString("base64url");
}

async function ed25519Key(): Promise<Signer> {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const key = await target.api.issue({
    policy: { signature: { algorithm: "ed25519", publicKey: publicBytes(publicKey) } },
  });
  return { key, alg: "ed25519", sign: (data) => signOctets(null, data, privateKey) };
}

interface Sending {
  readonly method?: string;
  readonly body?: string;
  readonly fields?: readonly string[];
  readonly created?: Date;
  readonly nonce?: string;
  readonly keyid?: string;
}

/** The fields of a signed request, as the library makes them. */
async function signedFields(signer: Signer, path: string, sending: Sending = {}): Promise<Record<string, string>> {
  const { method = "GET", body, created = new Date(), nonce = randomUUID(), keyid = signer.key.id } = sending;
  const digest = body === undefined ? {} : { "content-digest": await contentDigest(new Uint8Array(Buffer.from(body))) };
  const fields = sending.fields ?? ["@method", "@target-uri", ...(body === undefined ? [] : ["content-digest"])];
  const message = await httpbis.signMessage(
    {
      key: { id: keyid, alg: signer.alg, sign: (data) => Promise.resolve(signer.sign(data)) },
      fields: [...fields],
      params: ["created", "keyid", "alg", "nonce"],
      paramValues: { created, nonce },
    },
    { method, url: `http://127.0.0.1:${target.server.port}${path}`, headers: { ...digest } },
  );
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(message.headers)) headers[name] = value;
  return headers;
}

async function send(signer: Signer, path: string, sending: Sending = {}): Promise<Answer> {
  const { method = "GET", body } = sending;
  const headers = await signedFields(signer, path, sending);
  return await target.send(path, { method, key: signer.key.key, headers, ...(body === undefined ? {} : { body }) });
}

describe.each([
  ["hmac-sha256", hmacKey],
  ["ed25519", ed25519Key],
] as const)("by %s", (_name, make) => {
  let signer: Signer;
  beforeAll(async () => {
    signer = await make();
  });

  test("a signed request is let in, with a body and without, and its body arrives", async () => {
    expect((await send(signer, "/anything?page=2")).status).toBe(200);
    const posted = await send(signer, "/anything", { method: "POST", body: '{"amount":5}' });
    expect(posted.status).toBe(200);
    expect(posted.json()).toMatchObject({ method: "POST", bodyBytes: 12 });
  });

  test("the key alone is refused, and told what to sign", async () => {
    const answer = await target.send("/anything", { key: signer.key.key });
    expectProblem(answer, 401, "signature_required");
    expect(answer.headers["accept-signature"]).toBe(
      `latchkey=("@method" "@target-uri");created;nonce;keyid="${signer.key.id}";alg="${signer.alg}"`,
    );
    const posted = await target.send("/anything", { method: "POST", key: signer.key.key, body: "x" });
    expect(expectProblem(posted, 401, "signature_required")["code"]).toBe("signature_required");
    expect(posted.headers["accept-signature"]).toContain('"content-digest"');
  });

  test("a request that was seen on the wire does nothing a second time, nor on another path, method or body", async () => {
    const headers = await signedFields(signer, "/anything");
    const { key } = signer.key;
    expect((await target.send("/anything", { key, headers })).status).toBe(200);
    expectProblem(await target.send("/anything", { key, headers }), 401, "signature_invalid");
    const other = await signedFields(signer, "/anything");
    expectProblem(await target.send("/anything/else", { key, headers: other }), 401, "signature_invalid");
    expectProblem(await target.send("/anything?x=1", { key, headers: other }), 401, "signature_invalid");
    expectProblem(await target.send("/anything", { method: "DELETE", key, headers: other }), 401, "signature_invalid");
    const posting = await signedFields(signer, "/anything", { method: "POST", body: "amount=5" });
    const forged = { method: "POST", key, headers: posting, body: "amount=9" };
    expectProblem(await target.send("/anything", forged), 401, "signature_invalid");
    expect((await target.send("/anything", { ...forged, body: "amount=5" })).status).toBe(200);
  });

  test("100 copies of one request at once are let in once", async () => {
    const headers = await signedFields(signer, "/anything");
    const copies = Array.from({ length: 100 }, () => target.send("/anything", { key: signer.key.key, headers }));
    const statuses = (await Promise.all(copies)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(1);
    expect(statuses.filter((status) => status === 401)).toHaveLength(99);
  });

  test("too old, from the future, without its target, or by another key's id or signer", async () => {
    const stranger = await make();
    for (const sending of [
      { created: new Date(Date.now() - 95_000) },
      { created: new Date(Date.now() + 40_000) },
      { fields: ["@method"] },
      { fields: [] },
      { keyid: stranger.key.id },
    ]) {
      expectProblem(await send(signer, "/anything", sending), 401, "signature_invalid");
    }
    expectProblem(await send({ ...signer, sign: stranger.sign }, "/anything"), 401, "signature_invalid");
  });
});

test("a body that leaves the digest out of what is signed, or is larger than 1 MiB, is refused", async () => {
  const signer = await ed25519Key();
  const uncovered = { method: "POST", body: "amount=5", fields: ["@method", "@target-uri"] };
  expectProblem(await send(signer, "/anything", uncovered), 401, "signature_invalid");
  const large = await send(signer, "/anything", { method: "POST", body: "x".repeat(1_048_577) });
  expectProblem(large, 413, "body_too_large");
  expect((await send(signer, "/anything", { method: "POST", body: "x".repeat(1_048_576) })).status).toBe(200);
});

test("what a policy names must be covered too", async () => {
  const signer = await hmacKey({ components: ["content-digest"], maxAgeSeconds: 5 });
  expectProblem(await send(signer, "/anything"), 401, "signature_invalid");
  expect((await send(signer, "/anything", { method: "POST", body: "x" })).status).toBe(200);
});

test("who does not see the request does not let such a key in: verify, forward auth, the token endpoint", async () => {
  const { key } = (await ed25519Key()).key;
  const verified = await target.api.call("POST", "/verify", { body: { key } });
  expect(verified.body).toMatchObject({ valid: false, code: "signature_required" });
  const asked = { "x-original-method": "GET", "x-original-uri": "/anything" };
  expectProblem(await target.send("/_latchkey/v1/authorize", { key, headers: asked }), 401, "signature_required");
  const form = new URLSearchParams({ grant_type: "client_credentials", client_id: "x", client_secret: key }).toString();
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  const exchanged = await target.send("/_latchkey/oauth/token", { method: "POST", headers, body: form });
  expect(exchanged.status).toBeGreaterThanOrEqual(400);
  expect(exchanged.text).not.toContain("access_token");
});

describe("the signing secret", () => {
  test("is shown where the demand is made: at issuance, by a rotation, by a patch; never by a read", async () => {
    const { key } = await hmacKey();
    const secret = String(key["signingSecret"]);
    expect((await target.api.call("GET", `/keys/${key.id}`)).body).not.toHaveProperty("signingSecret");
    const again = await target.api.call("PATCH", `/keys/${key.id}`, {
      body: { policy: { signature: { algorithm: "hmac-sha256" } } },
    });
    expect(again.body["signingSecret"]).toBe(secret);
    const named = await target.api.call("PATCH", `/keys/${key.id}`, { body: { name: "Other" } });
    expect(named.body).not.toHaveProperty("signingSecret");
    const next = await target.api.rotate(key.id);
    expect(next["signingSecret"]).not.toBe(secret);
    expect((await send(hmacSigner(next, String(next["signingSecret"])), "/anything")).status).toBe(200);
    expectProblem(await send(hmacSigner(next, secret), "/anything"), 401, "signature_invalid");
  });

  test("a demand that is switched on takes hold, and one that is switched off ends, within the bound", async () => {
    const key = await target.api.issue({ policy: { strict: true } });
    expect((await target.send("/anything", { key: key.key })).status).toBe(200);
    const on = await target.api.call("PATCH", `/keys/${key.id}`, {
      body: { policy: { signature: { algorithm: "hmac-sha256" } } },
    });
    expectProblem(await target.send("/anything", { key: key.key }), 401, "signature_required");
    expect((await send(hmacSigner(key, String(on.body["signingSecret"])), "/anything")).status).toBe(200);
    await target.api.call("PATCH", `/keys/${key.id}`, { body: { policy: { signature: null } } });
    expect((await target.send("/anything", { key: key.key })).status).toBe(200);
  });
});

test.each<[string, Record<string, unknown>, string]>([
  ["ed25519 without a public key", { policy: { signature: { algorithm: "ed25519" } } }, "/policy/signature/publicKey"],
  [
    "a public key that is none",
    { policy: { signature: { algorithm: "ed25519", publicKey: "x" } } },
    "/policy/signature/publicKey",
  ],
  [
    "hmac with a public key",
    { policy: { signature: { algorithm: "hmac-sha256", publicKey: "A".repeat(43) } } },
    "/policy/signature/publicKey",
  ],
  ["another algorithm", { policy: { signature: { algorithm: "rsa-v1_5-sha256" } } }, "/policy/signature/algorithm"],
  [
    "a day",
    { policy: { signature: { algorithm: "hmac-sha256", maxAgeSeconds: 86_400 } } },
    "/policy/signature/maxAgeSeconds",
  ],
  [
    "a component that is none",
    { policy: { signature: { algorithm: "hmac-sha256", components: ["@status"] } } },
    "/policy/signature/components/0",
  ],
  [
    "a publishable key by hmac",
    {
      kind: "publishable",
      scopes: ["reports:read"],
      bindings: { origins: ["https://app.example.com"] },
      policy: { signature: { algorithm: "hmac-sha256" } },
    },
    "/policy/signature/algorithm",
  ],
  [
    "an admin key",
    { kind: "admin", scopes: ["keys:read"], policy: { signature: { algorithm: "hmac-sha256" } } },
    "/policy/signature",
  ],
])("%s is 400 and names the place", async (_what, input, pointer) => {
  const body = { name: "Test key", owner: "acme", environment: "live", scopes: ["reports:read"], ...input };
  const answer = await target.api.call<{ errors: { pointer: string }[] }>("POST", "/keys", { body });
  expect(answer.status).toBe(400);
  expect(answer.body.errors.map((error) => error.pointer)).toEqual([pointer]);
});
