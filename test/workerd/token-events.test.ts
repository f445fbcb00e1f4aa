import { createExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { decodeJwt } from "jose";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { defineConfig } from "../../src/config.ts";
import { defineGateway } from "../../src/define-gateway.ts";
import type { UsageBatch, UsageEvent } from "../../src/usage/event.ts";
import { ACCESS_TOKEN, API_KEY, EXCHANGE } from "../support/oauth.ts";

/** Which token made a request, and which exchange made the token, stand in the events: what is read when a token leaks. */

const BASE = "https://api.example.com";
const gateway = defineGateway(
  defineConfig({
    upstreams: { api: { url: "https://origin.test", open: true } },
    routes: [{ upstream: "api", method: "GET", path: "/reports/*", scopes: ["reports:read"] }],
  }),
);

const events: UsageEvent[] = [];
const queue = {
  send: async ({ events: sent }: UsageBatch): Promise<void> => void events.push(...sent),
  sendBatch: () => Promise.reject(new Error("nobody sends many messages at once")),
};
// Of the queue nothing else is used on a request's way.
const bindings = { ...env, USAGE: queue } as unknown as Env;

async function call(target: string, credential: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (credential !== "") headers.set("Authorization", `Bearer ${credential}`);
  // The runtime's own type of a request that has come in.
  const request = new Request(BASE + target, { ...init, headers }) as Request<unknown, IncomingRequestCfProperties>;
  return await gateway.fetch(request, bindings, createExecutionContext());
}

/** The events of one answered request, once they are in the queue: at `verify` the caller's stands beside the key's. */
async function eventsOf(answer: Response): Promise<readonly UsageEvent[]> {
  await answer.body?.cancel();
  const requestId = answer.headers.get("X-Request-Id");
  const found = (): readonly UsageEvent[] => events.filter((event) => event.requestId === requestId);
  await vi.waitFor(() => expect(found()).not.toEqual([]), { timeout: 10_000 });
  return found();
}

async function exchange(subject: string, scope?: string): Promise<{ token: string; jti: string; answer: Response }> {
  const form = new URLSearchParams({
    grant_type: EXCHANGE,
    subject_token: subject,
    subject_token_type: subject.startsWith("eyJ") ? ACCESS_TOKEN : API_KEY,
  });
  if (scope !== undefined) form.set("scope", scope);
  const answer = await call("/_latchkey/oauth/token", "", { method: "POST", body: form });
  const body: { access_token: string } = await answer.clone().json();
  return { token: body.access_token, jti: String(decodeJwt(body.access_token).jti), answer };
}

interface Issued {
  readonly key: string;
  readonly id: string;
}

async function issue(scopes: readonly string[], more: Readonly<Record<string, unknown>> = {}): Promise<Issued> {
  const input = { name: "Traced", owner: "acme", environment: "live", scopes, ...more };
  const made = await call("/_latchkey/v1/keys", env.LATCHKEY_ROOT_TOKEN ?? "", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(input),
  });
  expect(made.status).toBe(201);
  return await made.json();
}

let issued: Issued;
beforeAll(async () => {
  vi.spyOn(globalThis, "fetch").mockImplementation(() => Promise.resolve(new Response("hello")));
  vi.spyOn(console, "log").mockImplementation(() => undefined);
  issued = await issue(["reports:read", "charges:write"]);
});
afterAll(() => {
  vi.restoreAllMocks();
});

describe("an event", () => {
  test("of a key names no token", async () => {
    const [event] = await eventsOf(await call("/reports/7", issued.key));
    expect(event).toMatchObject({ code: "allowed", keyId: issued.id });
    expect(Object.keys(event ?? {}).filter((name) => name.endsWith("okenId"))).toEqual([]);
  });

  test("of a token's request names the token, and that of its exchange names it too", async () => {
    const { token, jti, answer } = await exchange(issued.key);
    const [exchanged] = await eventsOf(answer);
    expect(exchanged).toMatchObject({ route: "/_latchkey/oauth/token", keyId: issued.id, mintedTokenId: jti });
    expect(exchanged).not.toHaveProperty("tokenId");
    const [used] = await eventsOf(await call("/reports/7", token));
    expect(used).toMatchObject({ code: "allowed", status: 200, keyId: issued.id, tokenId: jti });
    expect(used).not.toHaveProperty("mintedTokenId");
  });

  test("of the exchange of a token names both, so that a line can be followed to its key", async () => {
    const first = await exchange(issued.key);
    const second = await exchange(first.token, "reports:read");
    const [event] = await eventsOf(second.answer);
    expect(event).toMatchObject({ keyId: issued.id, tokenId: first.jti, mintedTokenId: second.jti });
    expect(second.jti).not.toBe(first.jti);
  });

  test("of a refusal names the token that was verified: out of scope, revoked, and no more to exchange", async () => {
    // So that the end of its token is known at once.
    const { key, id } = await issue(["reports:read", "charges:write"], { policy: { strict: true } });
    const { token, jti } = await exchange(key, "charges:write");
    const lacking = await call("/reports/7", token);
    const form = new URLSearchParams({
      grant_type: EXCHANGE,
      subject_token: token,
      subject_token_type: ACCESS_TOKEN,
      scope: "reports:read",
    });
    const wider = await call("/_latchkey/oauth/token", "", { method: "POST", body: form });
    const revoked = await call("/_latchkey/oauth/revoke", "", { method: "POST", body: new URLSearchParams({ token }) });
    expect(revoked.status).toBe(200);
    const ended = await call("/anything", token);
    const [outOfScope, notWider, afterwards] = await Promise.all([lacking, wider, ended].map(eventsOf));
    expect(outOfScope).toMatchObject([{ code: "scope_insufficient", cost: 0, keyId: id, tokenId: jti }]);
    expect(notWider).toMatchObject([{ status: 400, code: "request_invalid", cost: 0, keyId: id, tokenId: jti }]);
    expect(notWider?.[0]).not.toHaveProperty("mintedTokenId");
    expect(afterwards).toMatchObject([{ code: "token_revoked", cost: 0, keyId: id, tokenId: jti }]);
  });

  test("of what is no token of ours names none, whatever it says of itself", async () => {
    const { token, jti } = await exchange(issued.key);
    const forged = `${token.slice(0, token.lastIndexOf("."))}.${"A".repeat(86)}`;
    const [event] = await eventsOf(await call("/reports/7", forged));
    expect(event).toMatchObject({ code: "token_invalid", keyId: null });
    expect(JSON.stringify(event)).not.toContain(jti);
  });

  test("of `authorize` and of `verify` names the token as well, and the caller's names none", async () => {
    const { token, jti } = await exchange(issued.key);
    const asked = await call("/_latchkey/v1/authorize", token, {
      headers: { "X-Original-Method": "GET", "X-Original-URI": "/reports/7" },
    });
    expect((await eventsOf(asked))[0]).toMatchObject({ code: "allowed", route: "/reports/*", tokenId: jti });
    const admin = await issue(["keys:verify"], { kind: "admin" });
    const verified = await call("/_latchkey/v1/verify", admin.key, {
      method: "POST",
      body: JSON.stringify({ key: token }),
    });
    const pair = await eventsOf(verified);
    expect(pair.find((event) => event.keyId === issued.id)).toMatchObject({ code: "allowed", tokenId: jti });
    expect(pair.find((event) => event.keyId === admin.id)).not.toHaveProperty("tokenId");
  });
});

test("no event contains a token or a key", async () => {
  const { token } = await exchange(issued.key);
  await eventsOf(await call(`/reports/${"x".repeat(20)}?a=1`, token));
  const all = JSON.stringify(events);
  expect(events.length).toBeGreaterThan(5);
  expect(all).not.toContain("eyJ");
  expect(all).not.toContain(issued.key);
});
