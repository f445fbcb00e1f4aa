import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Edges, startEdges } from "../../scripts/lab/edges.ts";
import { strangerKey } from "../support/contract.ts";
import { bearer, type Control, control, type IssuedKey } from "../support/control.ts";
import { type Ask, type Library, startLibrary } from "../support/library-lab.ts";
import { exchange, withPart } from "../support/oauth.ts";

/** "Why was this refused?" is answered for every refusal that can be had from outside, and the answer holds no key. */

interface Check {
  readonly check: string;
  readonly answer: string;
  readonly input: Record<string, unknown>;
  readonly note: string | null;
}

interface Timeline {
  readonly requestId: string;
  readonly code: string;
  readonly keyId: string | null;
  readonly hint: string | null;
  readonly kept: string;
  readonly traceId: string | null;
  readonly timing: { readonly totalMs: number; readonly authMs: number; readonly upstreamMs: number | null };
  readonly checks: readonly Check[];
  readonly record: { readonly from: string; readonly ageMs: number } | null;
  readonly lease: {
    readonly from: string | null;
    readonly by: string | null;
    readonly granted: boolean;
    readonly ageMs: number | null;
  } | null;
  readonly key: {
    readonly now: { readonly revokedAt: string | null; readonly revokedReason: string | null } | null;
  } | null;
  readonly explanation: { readonly why: string; readonly change: string; readonly operator: string } | null;
  readonly client: { readonly address: string | null };
}

interface Page {
  readonly data: readonly { readonly requestId: string; readonly code: string; readonly kept: string }[];
  readonly nextCursor: string | null;
  readonly notKept: number;
}

/** In the queue within a second, in the log within another. */
const PATIENCE_MS = 15_000;

async function timeline(api: Control, requestId: string): Promise<Timeline> {
  for (const until = Date.now() + PATIENCE_MS; ;) {
    const answer = await api.call<Timeline>("GET", `/requests/${requestId}`);
    if (answer.status === 200) return answer.body;
    if (answer.status !== 404 || Date.now() > until) throw new Error(`${requestId}: ${JSON.stringify(answer.body)}`);
    await sleep(200);
  }
}

/** What betrays a key: its random characters. */
const tracesOf = (key: string): string[] => [
  key.slice(8, 40),
  key.slice(8, 40).toLowerCase(),
  Buffer.from(`${key}:`).toString("base64").replace(/=+$/, "").slice(0, -2),
];

describe("each refusal that can be had from outside is explained", () => {
  let lab: Library;
  let api: Control;
  let other: Control;
  beforeAll(async () => {
    lab = await startLibrary();
    api = control({ url: lab.url(), rootToken: lab.rootToken });
    other = control({ url: lab.url(), rootToken: lab.rootToken }, "other");
  });
  afterAll(() => lab.stop());

  interface Case {
    readonly code: string;
    readonly at: string;
    readonly says: RegExp;
    readonly path?: string;
    readonly ask: () => Promise<Ask> | Ask;
    /** In whose log it is. Default `default`. */
    readonly whose?: "other";
  }

  const keyed = async (input: Record<string, unknown> = {}): Promise<IssuedKey> =>
    await api.issue({ scopes: ["reports:read", "charges:write"], ...input });
  const soon = (ms: number): string => new Date(Date.now() + ms).toISOString();
  const token = async (key: string, headers: Record<string, string> = {}): Promise<string> =>
    await exchange((target, init) => fetch(`${lab.url()}${target}`, { ...init, headers }), key, { audience: "api" });

  const CASES: readonly Case[] = [
    { code: "key_missing", at: "credential", says: /carries no API key/, ask: () => ({}) },
    {
      code: "credential_conflict",
      at: "credential",
      says: /two credentials that differ/,
      ask: async () => ({ key: (await keyed()).key, headers: { "x-api-key": strangerKey() } }),
    },
    {
      code: "credential_in_query",
      at: "credential",
      says: /stands in the query string/,
      path: `/anything?api_key=${strangerKey()}`,
      ask: () => ({}),
    },
    { code: "key_invalid", at: "format", says: /form or its checksum/, ask: () => ({ key: "lk_live_nonsense" }) },
    { code: "key_invalid", at: "resolve", says: /nobody knows it/, ask: () => ({ key: strangerKey() }) },
    {
      code: "key_invalid",
      at: "workspace",
      says: /is of workspace other; this upstream is for default/,
      whose: "other",
      ask: async () => ({ key: (await other.issue()).key }),
    },
    {
      code: "key_revoked",
      at: "status",
      says: /revoked at \d{4}-.* \(leaked\), \d+ ms before/,
      ask: async () => {
        const { id, key } = await keyed();
        await api.revoke(id, "leaked");
        return { key };
      },
    },
    {
      code: "key_expired",
      at: "status",
      says: /expired at \d{4}-/,
      ask: async () => {
        const { key } = await keyed({ expiresAt: soon(1_500) });
        await sleep(2_000);
        return { key };
      },
    },
    {
      code: "key_disabled",
      at: "status",
      says: /switched off/,
      ask: async () => {
        const { id, key } = await keyed();
        await api.call("POST", `/keys/${id}/disable`);
        return { key };
      },
    },
    {
      code: "key_not_yet_valid",
      at: "status",
      says: /valid from \d{4}-/,
      ask: async () => ({ key: (await keyed({ notBefore: soon(3_600_000) })).key }),
    },
    {
      code: "environment_mismatch",
      at: "environment",
      says: /is a test key; \* takes live keys/,
      whose: "other",
      ask: async () => ({ host: "tenant.lab.test", key: (await other.issue({ environment: "test" })).key }),
    },
    {
      code: "ip_not_allowed",
      at: "bindings",
      says: /used from 198\.51\.100\.0\/24 alone; this was 192\.0\.2\.0\/24/,
      ask: async () => ({ key: (await keyed({ bindings: { ips: ["198.51.100.0/24"] } })).key }),
    },
    {
      code: "origin_not_allowed",
      at: "bindings",
      says: /pages of https:\/\/good\.example alone; this was https:\/\/evil\.example/,
      ask: async () => ({
        key: (await keyed({ bindings: { origins: ["https://good.example"] } })).key,
        headers: { origin: "https://evil.example" },
      }),
    },
    {
      code: "country_not_allowed",
      at: "bindings",
      says: /used from DE alone; this was FR/,
      ask: async () => ({ key: (await keyed({ bindings: { countries: ["DE"] } })).key, cf: { country: "FR" } }),
    },
    {
      code: "certificate_required",
      at: "bindings",
      says: /client certificate; the request came with none/,
      ask: async () => ({ key: (await keyed({ bindings: { certificateSha256: ["a".repeat(64)] } })).key }),
    },
    {
      code: "scope_insufficient",
      at: "scopes",
      says: /\/billing\/invoices\/:id needs the scope invoices:read; the key holds reports:read and charges:write/,
      path: "/billing/invoices/7",
      ask: async () => ({ key: (await keyed()).key }),
    },
    {
      code: "scope_insufficient",
      at: "scopes",
      says: /admin key is for Latchkey's own API/,
      ask: async () => ({ key: (await keyed({ kind: "admin", scopes: ["usage:read"] })).key }),
    },
    {
      code: "token_required",
      at: "token",
      says: /exchange/i,
      ask: async () => ({ key: (await keyed({ policy: { exchangeOnly: true } })).key }),
    },
    {
      code: "token_invalid",
      at: "resolve",
      says: /looks like a token/,
      ask: async () => ({ key: withPart(await token((await keyed()).key), 1, { sub: "somebody" }) }),
    },
    {
      code: "token_revoked",
      at: "token",
      says: /revoked/,
      ask: async () => {
        const { id, key } = await keyed();
        const minted = await token(key);
        await api.call("POST", `/keys/${id}/revoke-tokens`, { body: {} });
        return { key: minted };
      },
    },
    {
      code: "signature_required",
      at: "signature",
      says: /each request is signed \(hmac-sha256\)/,
      ask: async () => ({ key: (await keyed({ policy: { signature: { algorithm: "hmac-sha256" } } })).key }),
    },
    {
      code: "signature_invalid",
      at: "signature",
      says: /signature/,
      ask: async () => {
        const { id, key } = await keyed({ policy: { signature: { algorithm: "hmac-sha256" } } });
        const created = Math.floor(Date.now() / 1_000);
        const input = `sig1=("@method" "@target-uri");created=${created};keyid="${id}";alg="hmac-sha256";nonce="n1"`;
        const signature = `sig1=:${Buffer.alloc(32).toString("base64")}:`;
        return { key, headers: { "signature-input": input, signature } };
      },
    },
    {
      code: "dpop_proof_invalid",
      at: "proof",
      says: /bound to a client key/,
      ask: async () => {
        const { publicKey, privateKey } = await generateKeyPair("ES256");
        const proof = await new SignJWT({ htm: "POST", htu: `${lab.url()}/_latchkey/oauth/token`, jti: randomUUID() })
          .setProtectedHeader({ alg: "ES256", typ: "dpop+jwt", jwk: await exportJWK(publicKey) })
          .setIssuedAt()
          .sign(privateKey);
        return { key: await token((await keyed()).key, { dpop: proof }) };
      },
    },
    {
      code: "rate_limited",
      at: "lease",
      says: /rate limit few \(1 in 60 s\) was used up for another \d+ s/,
      ask: async () => {
        const { key } = await keyed({ limits: [{ name: "few", limit: 1, window: "minute", kind: "rate" }] });
        await lab.ask("/anything", { key });
        return { key };
      },
    },
    {
      code: "quota_exhausted",
      at: "lease",
      says: /quota few \(1 in \d+ s\) was used up/,
      ask: async () => {
        const { key } = await keyed({ limits: [{ name: "few", limit: 1, window: "day", kind: "quota" }] });
        await lab.ask("/anything", { key });
        return { key };
      },
    },
    {
      code: "route_not_found",
      at: "route",
      says: /No route of gateway\.config\.ts takes GET/,
      path: "/nowhere",
      ask: async () => ({ host: "some.lab.test", key: (await keyed()).key }),
    },
    {
      code: "uri_too_long",
      at: "route",
      says: /longer than/,
      path: `/${"a".repeat(16 * 1_024)}`,
      ask: async () => ({ key: (await keyed()).key }),
    },
    {
      code: "body_too_large",
      at: "size",
      says: /larger than 10 bytes/,
      path: "/billing/charges",
      ask: async () => ({ key: (await keyed()).key, method: "POST", body: "x".repeat(11) }),
    },
    {
      code: "upstream_unreachable",
      at: "forward",
      says: /dead could not be reached\. The key was good/,
      ask: async () => ({ host: "dead.lab.test", key: (await keyed()).key }),
    },
    {
      code: "upstream_timeout",
      at: "forward",
      says: /slow did not begin to answer within 1000 ms/,
      path: "/slow/3000",
      ask: async () => ({ host: "slow.lab.test", key: (await keyed()).key }),
    },
  ];

  // Side by side: each waits some seconds for what is kept of its request.
  test.concurrent.each(CASES)("$code, at $at", async ({ code, at, says, path = "/anything", ask, whose }) => {
    const asked = await ask();
    const told = await lab.ask(path, asked);
    const requestId = told.headers["x-request-id"] ?? "";
    expect(told.json()["code"]).toBe(code);
    const kept = await timeline(whose === undefined ? api : other, requestId);
    expect(kept).toMatchObject({ requestId, code, kept: "refused" });
    expect(kept.explanation?.why).toMatch(says);
    expect(kept.explanation?.change.length).toBeGreaterThan(10);
    expect(kept.explanation?.operator.length).toBeGreaterThan(10);
    const refused = kept.checks.filter((check) => check.answer === "refused").map(({ check }) => check);
    expect(refused).toEqual([at]);
    const index = kept.checks.findIndex(({ check }) => check === at);
    expect(kept.checks.slice(0, index).every(({ answer }) => answer === "passed" || answer === "not_needed")).toBe(
      true,
    );
    expect(kept.checks.slice(index + 1).every(({ answer }) => answer === "not_reached")).toBe(true);
    // Whoever may not see that workspace is told of nothing.
    expect((await (whose === undefined ? other : api).call("GET", `/requests/${requestId}`)).status).toBe(404);
    const presented = asked.key;
    if (presented !== undefined && presented.startsWith("lk_") && presented.length > 40) {
      for (const trace of tracesOf(presented)) expect(JSON.stringify(kept)).not.toContain(trace);
    }
  });

  test("no key is shown, wherever the client put it", async () => {
    const { id, key } = await keyed({ bindings: { origins: ["https://good.example"] } });
    const hex = key.slice(8, 40).toLowerCase();
    const places: readonly Ask[] = [
      { key, headers: { origin: `https://${key}.example`.toLowerCase() } },
      { key, headers: { origin: `https://${hex}.example` } },
      { key, headers: { "user-agent": key, referer: `https://x/${key}`, "x-request-id": key, traceparent: key } },
      { key, headers: { cookie: `key=${key}`, origin: "https://evil.example", "x-forwarded-for": key } },
      { key, method: "POST", body: key, headers: { origin: key, "content-type": key } },
    ];
    const ids: string[] = [];
    for (const ask of places) ids.push((await lab.ask("/anything", ask)).headers["x-request-id"] ?? "");
    for (const path of [`/${key}`, `/x?k=${key}`])
      ids.push((await lab.ask(path, { key })).headers["x-request-id"] ?? "");
    for (const requestId of ids) {
      const text = JSON.stringify(await timeline(api, requestId));
      for (const trace of tracesOf(key)) expect(text).not.toContain(trace);
    }
    const list = JSON.stringify((await api.call("GET", `/requests?key=${id}`)).body);
    for (const trace of tracesOf(key)) expect(list).not.toContain(trace);
  });

  test("a search finds a key's refusals by code, status, owner and time, page by page, and no other workspace's", async () => {
    const { id, key } = await keyed({ owner: "searched" });
    const ids: string[] = [];
    for (let turn = 0; turn < 3; turn++)
      ids.unshift((await lab.ask("/billing/invoices/1", { key })).headers["x-request-id"] ?? "");
    await timeline(api, ids[0] ?? "");
    const search = async (query: string, by = api): Promise<Page> => {
      const answer = await by.call<Page>("GET", `/requests?${query}`);
      expect(answer.status).toBe(200);
      return answer.body;
    };
    const all = [`key=${id}`, "owner=searched", `key=${id}&code=scope_insufficient&status=403`];
    for (const query of all) expect((await search(query)).data.map(({ requestId }) => requestId)).toEqual(ids);
    for (const query of [`key=${id}&status=401`, `key=${id}&code=key_revoked`, `key=${id}&to=2026-01-01T00:00:00Z`])
      expect((await search(query)).data).toEqual([]);
    expect((await search(`key=${id}`, other)).data).toEqual([]);
    const paged: string[] = [];
    for (let cursor = ""; paged.length <= ids.length;) {
      const page = await search(`key=${id}&limit=1${cursor}`);
      paged.push(...page.data.map(({ requestId }) => requestId));
      if (page.nextCursor === null) break;
      cursor = `&cursor=${page.nextCursor}`;
    }
    expect(paged).toEqual(ids);
    for (const query of ["status=4xx", "from=2026-11-02T00:00:00Z&to=2026-11-01T00:00:00Z", "cursor=abc", "keys=1"])
      expect((await api.call("GET", `/requests?${query}`)).status).toBe(400);
    expect((await api.call("GET", "/requests/req_unknown")).status).toBe(404);
  });

  test("more refusals of a key than its minute has room for are counted in place of being kept", async () => {
    const { id, key } = await keyed();
    for (let turn = 0; turn < 30; turn++) await lab.ask("/billing/invoices/1", { key });
    let page: Page | null = null;
    for (const until = Date.now() + PATIENCE_MS; Date.now() < until; await sleep(200)) {
      page = (await api.call<Page>("GET", `/requests?key=${id}&limit=100`)).body;
      if (page.data.length + page.notKept === 30) break;
    }
    expect((page?.data.length ?? 0) + (page?.notKept ?? 0)).toBe(30);
    expect(page?.data.length).toBeLessThanOrEqual(10);
    expect(page?.data.length).toBeGreaterThan(0);
  });
});

describe("what a decision stood on", () => {
  let harness: Edges;
  let api: Control;
  beforeAll(async () => {
    harness = await startEdges({ count: 2 });
    api = control(harness.home);
  });
  afterAll(() => harness.stop());

  const ask = async (edge: number, key: string, headers: Record<string, string> = {}) => {
    const response = await harness.edges[edge]?.fetch("/anything", {
      headers: { ...bearer(key), ...headers },
      cf: { colo: "FRA", country: "DE" },
    });
    await response?.arrayBuffer();
    return { status: response?.status ?? 0, requestId: response?.headers.get("x-request-id") ?? "" };
  };

  test("a revoked key's 401 shows the revocation, and how old the lease was on which it had stood", async () => {
    const { id, key } = await api.issue();
    expect((await ask(0, key)).status).toBe(200);
    // Let the lease run out, so that no renewal behind a request's back is what hears of it.
    await sleep(1_000);
    const { body } = await api.revoke(id, "compromised");
    await sleep(4_500);
    const refused = await ask(0, key);
    expect(refused.status).toBe(401);
    const kept = await timeline(api, refused.requestId);
    expect(kept.explanation?.why).toContain(String(body["revokedAt"]));
    expect(kept.explanation?.why).toContain("(compromised)");
    expect(kept.key?.now).toMatchObject({ revokedAt: body["revokedAt"], revokedReason: "compromised" });
    // The record in hand was older than the revocation: whoever was asked for a lease told of the newer one.
    expect(kept.record?.from).toBe("meter");
    expect(kept.lease?.from).toMatch(/^(?:broker|meter)$/);
    expect(kept.lease?.ageMs).toBeGreaterThanOrEqual(4_500);
    expect(kept.explanation?.why).toMatch(/had granted \d+\.\d s before, had been over for/);
  });

  test("a client's own sampled trace is kept, with its id, and the same request's next one stands on the lease in hand", async () => {
    const { key } = await api.issue();
    const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
    const traceparent = `00-${traceId}-00f067aa0ba902b7-01`;
    const first = await timeline(api, (await ask(1, key, { traceparent })).requestId);
    expect(first).toMatchObject({
      kept: "traced",
      traceId,
      explanation: null,
      lease: { from: "broker", granted: true },
    });
    expect(first.record).toEqual({ from: "broker", ageMs: 0 });
    expect(first.timing.totalMs).toBeGreaterThanOrEqual(first.timing.upstreamMs ?? 0);
    const second = await timeline(api, (await ask(1, key, { traceparent })).requestId);
    expect(second.record?.from).toBe("isolate");
    expect(second.lease).toMatchObject({ from: "isolate", by: "broker", granted: false });
    expect(second.checks.map(({ check }) => check)).toEqual([
      "route",
      "credential",
      "size",
      "format",
      "resolve",
      "workspace",
      "status",
      "environment",
      "bindings",
      "scopes",
      "token",
      "proof",
      "signature",
      "lease",
      "forward",
    ]);
    expect(second.client.address).toBe("192.0.2.0/24");
  });

  test("when nobody who knows a key answers, that is what is told", async () => {
    const { key } = await api.issue({ policy: { onMeterUnavailable: "closed" } });
    expect((await ask(0, key)).status).toBe(200);
    const down = { kind: "down" } as const;
    await harness.edges[0]?.setFaults({ KEY_METER: down, LEASE_BROKER: down });
    await sleep(5_000);
    const refused = await ask(0, key);
    await harness.edges[0]?.setFaults({});
    expect(refused.status).toBe(503);
    const kept = await timeline(api, refused.requestId);
    expect(kept).toMatchObject({ code: "verification_unavailable", lease: { from: "unreachable" } });
    expect(kept.explanation?.why).toMatch(/Its meter did not answer/);
  });

  test("a log that is down holds up nothing that is billed, and what it missed comes to it later", async () => {
    const { id, key } = await api.issue();
    await harness.home.setFaults({ REQUEST_LOG: { kind: "down", methods: ["ingest"], times: 1 } });
    const refused = await harness.edges[0]?.fetch("/reports/1", { headers: bearer(strangerKey()) });
    await ask(0, key);
    const counted = async () =>
      (await api.call<{ totals: { requests: number } }>("GET", `/usage?key=${id}&granularity=minute`)).body.totals
        .requests;
    for (const until = Date.now() + PATIENCE_MS; (await counted()) < 1 && Date.now() < until;) await sleep(200);
    expect(await counted()).toBe(1);
    const kept = await timeline(api, refused?.headers.get("x-request-id") ?? "");
    expect(kept.code).toBe("key_invalid");
    await harness.home.setFaults({});
  });
});
