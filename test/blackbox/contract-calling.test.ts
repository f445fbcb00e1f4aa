import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  echoOf,
  exchangeOctets,
  expectProblem,
  inParallel,
  openTarget,
  quotasOf,
  strangerKey,
  untilRoom,
} from "../support/contract.ts";
import type { Answer, SendOptions, Target } from "../support/contract.ts";
import type { IssuedKey } from "../support/control.ts";

/** The contract, "Calling a fronted API", and what it says of the shipped configuration. */

let target: Target;
let issued: IssuedKey;
let other: IssuedKey;
beforeAll(async () => {
  target = await openTarget();
  issued = await target.api.issue({ owner: "cus_1:eu.a-b", scopes: ["reports:read", "charges:write"] });
  other = await target.api.issue();
});
afterAll(() => target.stop());

const basic = (user: string, password = ""): string => `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;

/** Nothing the origin received may hold the credential, in any of its forms. */
function expectNoCredential(answer: Answer, key: string): void {
  const received = JSON.stringify(echoOf(answer));
  expect(received.includes(key.slice(8, 40))).toBe(false);
  expect(received.includes(Buffer.from(`${key}:`).toString("base64").slice(0, 40))).toBe(false);
}

describe("credentials", () => {
  const forms: [string, (key: string) => SendOptions][] = [
    ["Authorization: Bearer", (key) => ({ headers: { authorization: `Bearer ${key}` } })],
    ["authorization: bearer", (key) => ({ headers: { authorization: `bearer ${key}` } })],
    ["X-API-Key", (key) => ({ headers: { "X-API-Key": key } })],
    ["Basic with an empty password", (key) => ({ headers: { authorization: basic(key) } })],
    ["Bearer and X-API-Key alike", (key) => ({ headers: { authorization: `Bearer ${key}`, "x-api-key": key } })],
    ["Basic and X-API-Key alike", (key) => ({ headers: { authorization: basic(key), "x-api-key": key } })],
  ];
  test.each(forms)("a key is taken as %s, and never arrives", async (_name, options) => {
    const answer = await target.send("/anything?a=1", options(issued.key));
    expect(echoOf(answer).headers["x-latchkey-key-id"]).toBe(issued.id);
    expectNoCredential(answer, issued.key);
    expect(echoOf(answer).headers).not.toHaveProperty("authorization");
    expect(echoOf(answer).headers).not.toHaveProperty("x-api-key");
  });

  const conflicts: [string, (a: string, b: string) => [string, SendOptions]][] = [
    ["Bearer and X-API-Key", (a, b) => ["/anything", { headers: { authorization: `Bearer ${a}`, "x-api-key": b } }]],
    ["Basic and X-API-Key", (a, b) => ["/anything", { headers: { authorization: basic(a), "x-api-key": b } }]],
    ["two X-API-Key fields", (a, b) => ["/anything", { headers: { "x-api-key": [a, b] } }]],
    [
      "two Authorization fields",
      (a, b) => ["/anything", { headers: { authorization: [`Bearer ${a}`, `Bearer ${b}`] } }],
    ],
    ["Bearer and query", (a, b) => [`/public/x?api_key=${b}`, { headers: { authorization: `Bearer ${a}` } }]],
    ["two query parameters", (a, b) => [`/public/x?api_key=${a}&api_key=${b}`, {}]],
  ];
  test.each(conflicts)("two different credentials are refused: %s", async (_name, make) => {
    for (const [a, b] of [
      [issued.key, other.key],
      [issued.key, strangerKey()],
      [strangerKey(), issued.key],
    ]) {
      const [path, options] = make(a ?? "", b ?? "");
      const answer = await target.send(path, options);
      expectProblem(answer, 400, "credential_conflict");
    }
  });

  test("Basic with a password is not taken for a key", async () => {
    const answer = await target.send("/anything", { headers: { authorization: basic(issued.key, "secret") } });
    expect([400, 401]).toContain(answer.status);
  });

  test("a query parameter is taken where the route names it, and only there", async () => {
    const taken = await target.send(`/public/page?x=1&api_key=${issued.key}&y=%20z`);
    expect(echoOf(taken).headers["x-latchkey-key-id"]).toBe(issued.id);
    expect(echoOf(taken).query).toBe("?x=1&y=%20z");
    expectNoCredential(taken, issued.key);
    const both = await target.send(`/public/page?api_key=${issued.key}`, { key: issued.key });
    expectNoCredential(both, issued.key);

    for (const path of ["/anything", "/reports/1", "/publicity/x", "/charges"]) {
      expectProblem(await target.send(`${path}?api_key=${issued.key}`), 400, "credential_in_query");
      expectProblem(
        await target.send(`${path}?api_key=${issued.key}`, { key: issued.key }),
        400,
        "credential_in_query",
      );
    }
    expectProblem(await target.send(`/public/x?api_key=${issued.key}`, { method: "POST" }), 400, "credential_in_query");
    // Another parameter's name makes it no less a key in a URL.
    expectProblem(await target.send(`/public/x?key=${issued.key}`, { key: issued.key }), 400, "credential_in_query");
  });
});

describe("what is added", () => {
  test("each answer has a request id, which the origin and a refusal name too", async () => {
    const allowed = await target.send("/anything", { key: issued.key });
    expect(allowed.headers["x-request-id"]).toMatch(/^req_./);
    expect(echoOf(allowed).headers["x-request-id"]).toBe(allowed.headers["x-request-id"]);
    const refused = await target.send("/anything");
    expect(refused.headers["x-request-id"]).toMatch(/^req_./);
    expect(refused.headers["x-request-id"]).not.toBe(allowed.headers["x-request-id"]);
  });

  test("no limit is applied that nobody asked for", async () => {
    const answers = await inParallel(300, 16, () => target.send("/anything", { key: other.key }));
    for (const answer of answers) {
      expect(answer.status).toBe(200);
      expect(quotasOf(answer)).toEqual({});
    }
  });

  test("one item for each limit, with quota, window, rest and time to the window's end", async () => {
    await untilRoom(3_600, 10);
    const { key } = await target.api.issue({
      limits: [
        { name: "burst", limit: 100, window: { seconds: 3_600 }, kind: "rate" },
        { name: "daily", limit: 7, window: "day", kind: "quota" },
      ],
    });
    const before = Date.now() / 1_000;
    const answer = await target.send("/anything", { key });
    const after = Date.now() / 1_000;
    expect(answer.status).toBe(200);
    const quotas = quotasOf(answer);
    expect(Object.keys(quotas).toSorted()).toEqual(["burst", "daily"]);
    expect(quotas["burst"]).toMatchObject({ q: 100, w: 3_600 });
    expect(quotas["daily"]).toMatchObject({ q: 7, w: 86_400, r: 6 });
    expect(quotas["burst"]?.r).toBe(99);
    for (const [name, window] of [
      ["burst", 3_600],
      ["daily", 86_400],
    ] as const) {
      expect(quotas[name]?.t).toBeGreaterThanOrEqual(Math.floor(window - (after % window)));
      expect(quotas[name]?.t).toBeLessThanOrEqual(Math.ceil(window - (before % window)));
    }
  });

  test("while a key is being replaced, its answers carry its deadline; those of the new one do not", async () => {
    const old = await target.api.issue();
    expect((await target.send("/anything", { key: old.key })).headers).not.toHaveProperty("deprecation");
    const next = await target.api.rotate(old.id, { overlapSeconds: 3_600 });
    const record = (await target.api.call("GET", `/keys/${old.id}`)).body;
    // It may take a lease's time until a warm isolate hears of it.
    await expect
      .poll(async () => (await target.send("/anything", { key: old.key })).headers, { timeout: 6_000 })
      .toHaveProperty("deprecation");
    const { headers, status } = await target.send("/anything", { key: old.key });
    expect(status).toBe(200);
    const deprecation = /^@(\d+)$/.exec(headers["deprecation"] ?? "")?.[1]; // RFC 9745: a structured Date
    expect(Math.abs(Number(deprecation) - Date.now() / 1_000)).toBeLessThan(60);
    expect(headers["sunset"]).toMatch(/^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/);
    expect(Date.parse(headers["sunset"] ?? "")).toBe(
      Math.floor(Date.parse(String(record["notAfter"])) / 1_000) * 1_000,
    );
    const fresh = await target.send("/anything", { key: next.key });
    expect(fresh.status).toBe(200);
    expect(fresh.headers).not.toHaveProperty("deprecation");
    expect(fresh.headers).not.toHaveProperty("sunset");
  });

  test("the origin's status, headers and body pass through", async () => {
    for (const status of [201, 204, 302, 404, 418, 500, 503]) {
      const answer = await target.send(status === 302 ? "/redirect?to=/elsewhere" : `/status/${status}`, {
        key: issued.key,
      });
      expect(answer.status).toBe(status);
      expect(answer.headers["content-type"] ?? "").not.toContain("problem");
    }
    const moved = await target.send("/redirect?to=/elsewhere", { key: issued.key });
    expect(moved.headers["location"]).toBe("/elsewhere");
    const cookies = await target.send("/cookies", { key: issued.key });
    expect(cookies.rawHeaders.filter((name) => name.toLowerCase() === "set-cookie")).toHaveLength(2);
    const body = "héllo\0".repeat(10_000);
    const echoed = await target.send("/echo", {
      method: "POST",
      key: issued.key,
      body,
      headers: { "content-type": "text/x" },
    });
    expect(echoed.text).toBe(body);
    expect(echoed.headers["content-type"]).toBe("text/x");
  });
});

describe("what the origin is told", () => {
  test("who calls, and nothing that the client made up", async () => {
    const answer = await target.send("/anything?q=1&q=2", {
      key: issued.key,
      headers: {
        "X-Latchkey-Owner": "mallory",
        "x-latchkey-key-id": "key_forged",
        "X-LATCHKEY-SCOPES": "admin:*",
        "X-Latchkey-Workspace": "other",
        "X-Latchkey-Environment": "test",
        "X-Latchkey-Anything": "1",
        "x-latchkey-": "2",
        "X-Forwarded-For": "198.51.100.7",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "gopher",
        "CF-Connecting-IP": "198.51.100.8",
        "X-Mine": "kept",
      },
    });
    const echo = echoOf(answer);
    expect(echo.headers).toMatchObject({
      "x-latchkey-key-id": issued.id,
      "x-latchkey-owner": "cus_1:eu.a-b",
      "x-latchkey-environment": "live",
      "x-latchkey-scopes": "reports:read charges:write",
      "x-latchkey-workspace": "default",
      "x-request-id": answer.headers["x-request-id"],
      "x-forwarded-proto": "http",
      "x-forwarded-host": `127.0.0.1:${target.server.port}`,
      "x-mine": "kept",
    });
    expect(echo.headers["traceparent"]).toMatch(/^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/);
    expect(echo.headers["x-forwarded-for"]?.split(",").at(-1)?.trim()).toBe("127.0.0.1");
    const names = echo.rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase());
    expect(names.filter((name) => name.startsWith("x-latchkey-")).toSorted()).toEqual([
      "x-latchkey-environment",
      "x-latchkey-key-id",
      "x-latchkey-owner",
      "x-latchkey-scopes",
      "x-latchkey-workspace",
    ]);
    for (const made of ["mallory", "key_forged", "admin:*", "evil.example", "gopher", "198.51.100.8"])
      expect(JSON.stringify(echo)).not.toContain(made);
    expect([echo.method, echo.path, echo.query]).toEqual(["GET", "/anything", "?q=1&q=2"]);
  });

  test("the client's Connection header does not strip the identity", async () => {
    const answer = await target.send("/anything", {
      key: issued.key,
      headers: {
        connection: "keep-alive, X-Latchkey-Owner, X-Latchkey-Key-Id, X-Request-Id, X-Forwarded-For, Authorization",
      },
    });
    if (answer.status !== 200) return expect(answer.status).toBe(401); // the credential was named as one of this hop
    expect(echoOf(answer).headers).toMatchObject({
      "x-latchkey-owner": "cus_1:eu.a-b",
      "x-latchkey-key-id": issued.id,
    });
    expect(echoOf(answer).headers["x-forwarded-for"]).toBeDefined();
  });
});

describe("the shipped configuration", () => {
  test("GET /reports/* needs reports:read and costs 5; any other path is open to any key and costs 1", async () => {
    await untilRoom(3_600, 20);
    const limits = [{ name: "units", limit: 12, window: { seconds: 3_600 }, kind: "quota" }];
    const { key } = await target.api.issue({ scopes: ["reports:read"], limits });
    const left: unknown[] = [];
    for (const [method, path] of [
      ["GET", "/reports/a"],
      ["POST", "/reports/a"],
      ["GET", "/reports/a/b?c"],
      ["GET", "/reports/b"],
      ["GET", "/other"],
      ["GET", "/"],
    ] as const) {
      const answer = await target.send(path, { key, method });
      left.push([path, answer.status, quotasOf(answer)["units"]?.r]);
    }
    expect(left).toEqual([
      ["/reports/a", 200, 7],
      ["/reports/a", 200, 6],
      ["/reports/a/b?c", 200, 1],
      ["/reports/b", 429, 1],
      ["/other", 200, 0],
      ["/", 429, 0],
    ]);
  });

  test("POST /charges needs charges:write; GET /charges does not", async () => {
    const { key } = await target.api.issue({ scopes: ["reports:read"] });
    expect((await target.send("/charges", { key })).status).toBe(200);
    expectProblem(await target.send("/charges", { key, method: "POST", body: "{}" }), 403, "scope_insufficient");
    const writer = await target.api.issue({ scopes: ["charges:write"] });
    expect((await target.send("/charges", { key: writer.key, method: "POST", body: "{}" })).status).toBe(200);
  });

  test("no spelling of a path gets past the route that guards it", async () => {
    const { key } = await target.api.issue({ scopes: ["other:read"] });
    const spellings = [
      "/reports/1",
      "/reports/",
      "//reports/1",
      "/./reports/1",
      "/x/../reports/1",
      "/%72eports/1",
      "/reports%2f1",
      "/reports/%2e/1",
      "/x/%2e%2e/reports/1",
      "/x/..%2freports/1",
      "/public/..;/reports/1",
      "/reports//1",
      "/reports\\1",
      "/x\\..\\reports/1",
      "http://elsewhere.example/reports/1",
      "/reports/1?x=/public/y",
      "/reports/1;x",
    ];
    let arrived = 0;
    for (const spelling of [...spellings, "/open"]) {
      const request = `GET ${spelling} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${key}\r\nConnection: close\r\n\r\n`;
      const answer = await exchangeOctets(target.server.port, request);
      const path = /"path": "([^"]*)"/.exec(answer)?.[1];
      // What reached the origin as /reports/… must have been refused.
      if (path === undefined) continue;
      arrived++;
      expect(decodeURIComponent(path).replaceAll(/\/+/g, "/"), spelling).not.toMatch(/^\/reports\//);
    }
    expect(arrived).toBeGreaterThan(0);
  });

  test("the demo key works, and the printed curl line's path with it", async () => {
    const printed = /curl .*http:\/\/localhost:\d+(\/\S*)/.exec(target.server.logs())?.[1];
    expect(printed).toBeDefined();
    expect((await target.send(printed ?? "", { key: target.server.demoKey })).status).toBe(200);
  });
});
