import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createRemoteJWKSet, customFetch, decodeProtectedHeader, jwtVerify } from "jose";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Edge, type Edges, startEdges } from "../../scripts/lab/edges.ts";
import { REVOCATION_BOUND_SECONDS, SIGNING_KEY_AHEAD_SECONDS } from "../../src/constants.ts";
import { bearer, control, type IssuedKey } from "../support/control.ts";
import { API_KEY, exchange, EXCHANGE, post, tryIt } from "../support/oauth.ts";
import { type Server, startServer } from "../support/server.ts";

/** Signing keys as clients, origins and operators meet them: rotated, dropped, out of reach, under another secret. */

let harness: Edges;
let issued: IssuedKey;
beforeAll(async () => {
  harness = await startEdges({ count: 3 });
  issued = await control(harness.home).issue();
});
afterEach(async () => {
  const all = [harness.home, ...harness.edges];
  await Promise.all(all.map((edge) => edge.setFaults({})));
  await Promise.all(all.map((edge) => edge.setClock(0)));
});
afterAll(() => harness.stop());

function sender(edge: Edge) {
  return (target: string, init?: RequestInit) => edge.fetch(target, init);
}

async function exchangeFields(edge: Edge) {
  return await post(sender(edge), "token", {
    grant_type: EXCHANGE,
    subject_token: issued.key,
    subject_token_type: API_KEY,
  });
}

async function rotate(body: Readonly<Record<string, unknown>>): Promise<void> {
  const answer = await control(harness.home).call("POST", "/signing-keys/rotate", { body });
  expect(answer.status, JSON.stringify(answer.body)).toBe(200);
}

/** jose's, with a count of what it fetched. `now` is the servers' time. */
function remoteVerifier(offsetMs: () => number) {
  let fetched = 0;
  const keys = createRemoteJWKSet(new URL("/.well-known/jwks.json", harness.home.url), {
    cooldownDuration: 0,
    [customFetch]: (url, options) => {
      fetched += 1;
      return fetch(url, options);
    },
  });
  return {
    fetched: () => fetched,
    verify: async (token: string) => {
      const { payload } = await jwtVerify(token, keys, {
        typ: "at+jwt",
        audience: "demo",
        currentDate: new Date(Date.now() + offsetMs()),
      });
      return payload["client_id"];
    },
  };
}

describe("an origin that verifies by itself, with jose's remote key set", () => {
  it("verifies every token through a rotation without reading the keys again, and reads them after an emergency", async () => {
    let offsetMs = 0;
    const origin = remoteVerifier(() => offsetMs);
    const [edge] = harness.edges as [Edge];
    const before = await exchange(sender(edge), issued.key);
    expect(await origin.verify(before)).toBe(issued.id);
    expect(origin.fetched()).toBe(1);

    offsetMs = SIGNING_KEY_AHEAD_SECONDS * 1_000;
    for (const one of [harness.home, ...harness.edges]) await one.setClock(offsetMs);
    const old = await exchange(sender(edge), issued.key);
    await rotate({ reason: "exercise" });
    const kids = new Set<unknown>();
    for (let round = 0; round < 60; round++) {
      const token = await exchange(sender(edge), issued.key);
      kids.add(decodeProtectedHeader(token).kid);
      for (const each of [old, token]) {
        expect(await origin.verify(each)).toBe(issued.id);
        expect(await tryIt(sender(edge), each)).toBe(200);
      }
      // Until the isolate's copy has ended, and a little longer.
      await sleep(100);
    }
    expect(kids.size).toBe(2);
    expect(origin.fetched()).toBe(1);

    await rotate({ emergency: true });
    // Whatever isolate signed it, and however old its copy was.
    const after = await untilSigned(harness.home, kids);
    expect(await origin.verify(after)).toBe(issued.id);
    expect(origin.fetched()).toBe(2);
    await expect(origin.verify(old)).rejects.toThrow();
  });
});

/** The first token by a key that is none of `kids`. */
async function untilSigned(edge: Edge, kids: ReadonlySet<unknown>): Promise<string> {
  for (const end = Date.now() + REVOCATION_BOUND_SECONDS * 1_000; ;) {
    const token = await exchange(sender(edge), issued.key);
    if (!kids.has(decodeProtectedHeader(token).kid) || Date.now() >= end) return token;
    await sleep(50);
  }
}

describe("an emergency rotation", () => {
  it("is known to every isolate within 5 s, warm ones too; and a token by a new key is taken by those that have not heard of it", async () => {
    const old = await exchange(sender(harness.home), issued.key);
    const signal = { stop: false };
    const lastAdmitted = harness.edges.map(() => 0);
    const codes = new Set<unknown>();
    const use = async (edge: Edge, index: number): Promise<void> => {
      while (!signal.stop) {
        const sentAt = Date.now();
        const result = await tryIt(sender(edge), old);
        if (result === 200) lastAdmitted[index] = sentAt;
        else codes.add(result);
        // Slow enough for the address not to be cut off as one that tries tokens.
        await sleep(100);
      }
    };
    const users = harness.edges.map(use);
    await sleep(500);
    const { kid } = decodeProtectedHeader(old);
    await rotate({ emergency: true });
    const answeredAt = Date.now();
    const fresh = await untilSigned(harness.home, new Set([kid]));
    for (const edge of harness.edges) expect(await tryIt(sender(edge), fresh)).toBe(200);
    await sleep(answeredAt + REVOCATION_BOUND_SECONDS * 1_000 + 500 - Date.now());
    signal.stop = true;
    await Promise.all(users);
    for (const at of lastAdmitted) {
      expect(at).toBeGreaterThan(0);
      expect(at - answeredAt).toBeLessThan(REVOCATION_BOUND_SECONDS * 1_000);
    }
    expect([...codes]).toEqual(["token_invalid"]);
  });
});

describe("with the signing keys out of reach", () => {
  it("tokens go on working, exchange answers 503 with Retry-After, and all heals by itself", async () => {
    const [edge] = harness.edges as [Edge];
    const token = await exchange(sender(edge), issued.key);
    expect(await tryIt(sender(edge), token)).toBe(200);
    await edge.setFaults({ SIGNING_KEYS: { kind: "down" } });
    // As if nobody had been able to ask for a while.
    await edge.setClock(20_000);
    for (let index = 0; index < 20; index++) expect(await tryIt(sender(edge), token)).toBe(200);
    const refused = await exchangeFields(edge);
    expect(refused.status).toBe(503);
    expect(refused.body["error"]).toBe("temporarily_unavailable");
    expect(Number(refused.headers.get("Retry-After"))).toBeGreaterThan(0);
    // Keys, and the public keys that it knows, are no concern of theirs.
    expect((await edge.fetch("/used", { headers: bearer(issued.key) })).status).toBe(200);
    expect((await edge.fetch("/.well-known/jwks.json")).status).toBe(200);
    const ready = (await (await edge.fetch("/_latchkey/readyz")).json()) as {
      status: string;
      checks: Record<string, { state: string }>;
    };
    expect([ready.status, ready.checks["signing"]?.state]).toEqual(["degraded", "down"]);
    await edge.setFaults({});
    await sleep(1_100);
    expect((await exchangeFields(edge)).status).toBe(200);
  });

  it("slow by 1.5 s: the replica nearby is given up, home is asked, and nothing is refused", async () => {
    const [edge] = harness.edges as [Edge];
    const token = await exchange(sender(edge), issued.key);
    await edge.setFaults({ SIGNING_KEYS: { kind: "slow", ms: 1_500, methods: ["copy"] } });
    expect(await tryIt(sender(edge), token)).toBe(200);
    await edge.setClock(20_000);
    expect(await tryIt(sender(edge), token)).toBe(200);
    expect((await exchangeFields(edge)).status).toBe(200);
  });
});

describe("the secret that wraps the keys", () => {
  const [first, second] = ["f".repeat(43), "g".repeat(43)];
  let state: string;
  beforeAll(async () => {
    state = await mkdtemp(path.join(tmpdir(), "latchkey-secret-"));
  });
  afterAll(() => rm(state, { recursive: true, force: true }));

  async function during<T>(env: Readonly<Record<string, string>>, work: (server: Server) => Promise<T>): Promise<T> {
    const server = await startServer({ state, env });
    try {
      return await work(server);
    } finally {
      await server.stop();
    }
  }

  async function look(server: Server) {
    const send = (target: string, init?: RequestInit) => fetch(server.url + target, init);
    const fields = { grant_type: EXCHANGE, subject_token: server.demoKey, subject_token_type: API_KEY };
    const { status, body } = await post(send, "token", fields);
    const jwks = (await (await send("/.well-known/jwks.json")).json()) as { keys: { kid: string }[] };
    const ready = (await (await send("/_latchkey/readyz")).json()) as { checks: Record<string, { state: string }> };
    const kids = jwks.keys.map(({ kid }) => kid).join(" ");
    return { status, token: String(body["access_token"]), kids, signing: ready.checks["signing"]?.state, send };
  }

  it("replaced step by step: every token goes on; replaced halfway: signing stops, the rest goes on, the old one heals it", async () => {
    const before = await during({ LATCHKEY_TOKEN_SECRET: first }, look);
    expect([before.status, before.signing]).toEqual([200, "up"]);

    await during({ LATCHKEY_TOKEN_SECRET: second }, async (server) => {
      const halfway = await look(server);
      expect([halfway.status, halfway.signing, halfway.kids]).toEqual([503, "down", before.kids]);
      expect(await tryIt(halfway.send, before.token)).toBe(200);
      expect(server.logs()).toContain("no token can be signed");
      expect(server.logs()).not.toContain(second);
    });

    const both = await during({ LATCHKEY_TOKEN_SECRET: second, LATCHKEY_TOKEN_SECRET_PREVIOUS: first }, look);
    expect([both.status, both.signing, both.kids]).toEqual([200, "up", before.kids]);

    await during({ LATCHKEY_TOKEN_SECRET: second }, async (server) => {
      const after = await look(server);
      expect([after.status, after.signing, after.kids]).toEqual([200, "up", before.kids]);
      expect(await tryIt(after.send, before.token)).toBe(200);
    });
  });
});
