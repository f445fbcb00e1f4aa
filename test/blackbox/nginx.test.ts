import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { control } from "../support/control.ts";
import { isNginxInstalled, startNginx, type Nginx } from "../support/nginx.ts";
import { startProxyOrigin } from "../support/proxy-origin.ts";
import type { ProxyOrigin } from "../support/proxy-origin.ts";
import { startServer } from "../support/server.ts";
import type { Server } from "../support/server.ts";

/** A real nginx with the configuration that the documentation gives, in front of an API, asking a real Latchkey. */

if (!isNginxInstalled)
  console.log("skipped: the proof against nginx needs nginx on the PATH (Debian: apt-get install nginx-light)");

const EXAMPLE = path.resolve(import.meta.dirname, "../../docs/examples/nginx.conf");

describe.skipIf(!isNginxInstalled)("nginx with auth_request", () => {
  let api: ProxyOrigin;
  let gateway: Server;
  let nginx: Nginx;
  let key: string;

  beforeAll(async () => {
    api = await startProxyOrigin({
      "/reports/broken": (_request, response) => response.writeHead(500, { "x-own": "1" }).end("the API's own"),
    });
    gateway = await startServer();
    const addresses = { "127.0.0.1:9000": `127.0.0.1:${api.port}`, "127.0.0.1:8787": `127.0.0.1:${gateway.port}` };
    nginx = await startNginx(EXAMPLE, addresses);
    ({ key } = await control(gateway).issue({
      environment: "test",
      scopes: ["reports:read"],
      limits: [{ name: "burst", limit: 1_000, window: "minute", kind: "rate" }],
    }));
  });

  afterAll(async () => {
    await nginx?.stop();
    await gateway?.stop();
    await api?.close();
  });

  const get = (target: string, headers: Record<string, string>): Promise<Response> =>
    fetch(`${nginx.url}${target}`, { headers });

  test("a good key passes, and the API learns who calls, but not the key", async () => {
    const answer = await get("/reports/7?x=1", { authorization: `Bearer ${key}`, "x-latchkey-owner": "mallory" });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("ratelimit-policy")).toBe('"burst";q=1000;w=60');
    expect(answer.headers.get("ratelimit")).toMatch(/^"burst";r=99\d;t=\d+$/);
    const seen = api.seen("/reports/7?x=1");
    expect(seen?.headers).toMatchObject({
      "x-latchkey-owner": "acme",
      "x-latchkey-environment": "test",
      "x-latchkey-scopes": "reports:read",
    });
    expect(seen?.headers["x-request-id"]).toBe(answer.headers.get("x-request-id"));
    expect(JSON.stringify(seen?.rawHeaders)).not.toContain(key);
  });

  test("no key, and a bad one, are 401 with the challenge; the API sees nothing", async () => {
    const none = await get("/reports/none", {});
    expect(none.status).toBe(401);
    expect(none.headers.get("www-authenticate")).toBe('Bearer realm="latchkey"');
    const bad = await get("/reports/none", { "x-api-key": "no-such-key-anywhere" });
    expect(bad.status).toBe(401);
    expect(bad.headers.get("www-authenticate")).toContain('error="invalid_token"');
    expect(api.seen("/reports/none")).toBeUndefined();
  });

  test("the route's scope counts, by the original method and path", async () => {
    const answer = await fetch(`${nginx.url}/charges`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}` },
      body: "x",
    });
    expect(answer.status).toBe(403);
    expect(api.seen("/charges")).toBeUndefined();
  });

  test("a client cannot name another request than its own", async () => {
    const headers = {
      authorization: `Bearer ${key}`,
      "x-original-uri": "/open",
      "x-original-method": "GET",
      "x-forwarded-uri": "/open",
      "x-forwarded-method": "GET",
    };
    const answer = await fetch(`${nginx.url}/charges`, { method: "POST", headers, body: "x" });
    expect(answer.status).toBe(403);
  });

  test("a body goes to the API alone", async () => {
    const answer = await fetch(`${nginx.url}/items`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}` },
      body: "x".repeat(100_000),
    });
    expect(answer.status).toBe(200);
    expect(api.seen("/items")?.bodyBytes).toBe(100_000);
  });

  test("a limit that is used up is 429 with Retry-After", async () => {
    const { key: small } = await control(gateway).issue({
      limits: [{ name: "tiny", limit: 2, window: "hour", kind: "rate" }],
    });
    const statuses: number[] = [];
    let last = new Response();
    for (let call = 0; call < 3; call++) {
      last = await get("/limited", { authorization: `Bearer ${small}` });
      statuses.push(last.status);
    }
    expect(statuses).toEqual([200, 200, 429]);
    expect(Number(last.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(last.headers.get("content-type")).toBe("application/problem+json");
    expect(await last.json()).toMatchObject({ status: 429 });
  });

  test("two credentials are 400, and the API's own failure stays its own", async () => {
    const answer = await get("/reports/1", { authorization: `Bearer ${key}`, "x-api-key": "another-key-altogether" });
    expect(answer.status).toBe(400);
    const broken = await get("/reports/broken", { authorization: `Bearer ${key}` });
    expect(broken.status).toBe(500);
    expect(broken.headers.get("x-own")).toBe("1");
  });

  test("when Latchkey cannot be reached, nothing passes: 503", async () => {
    const orphan = await startNginx(EXAMPLE, {
      "127.0.0.1:9000": `127.0.0.1:${api.port}`,
      "127.0.0.1:8787": "127.0.0.1:1",
    });
    const answer = await fetch(`${orphan.url}/reports/orphan`, { headers: { authorization: `Bearer ${key}` } });
    expect(answer.status).toBe(503);
    expect(api.seen("/reports/orphan")).toBeUndefined();
    await orphan.stop();
  });
});
