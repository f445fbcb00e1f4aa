import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expectProblem, openTarget, strangerKey } from "../support/contract.ts";
import type { Target } from "../support/contract.ts";

/** The contract on health, metrics, the API's own description and the pages for people. */

let target: Target;
beforeAll(async () => {
  target = await openTarget();
  await target.send("/reports/1", { key: target.server.demoKey });
  await target.send("/reports/1", { key: strangerKey() });
});
afterAll(() => target.stop());

describe("starting", () => {
  test("npm start prints one ready line, a demo key, the root token and a curl line", () => {
    const lines = target.server.logs().split("\n");
    expect(lines.filter((line) => line === `Latchkey ready on ${target.server.url}`)).toHaveLength(1);
    expect(target.server.logs()).toContain(target.server.demoKey);
    expect(target.server.logs()).toContain(target.server.rootToken);
    expect(lines.some((line) => /\bcurl .*http:\/\/localhost:\d+\//.test(line))).toBe(true);
  });
});

describe("health", () => {
  test("healthz is open and alive", async () => {
    expect((await target.send("/_latchkey/healthz")).status).toBe(200);
    expect((await target.send("/_latchkey/healthz", { method: "HEAD" })).status).toBe(200);
  });

  test("readyz names each dependency with its state and latency", async () => {
    const answer = await target.send("/_latchkey/readyz");
    expect(answer.status).toBe(200);
    const parts = Object.values(answer.json()).find((value) => typeof value === "object" && value !== null) ?? {};
    // KV, the Durable Objects and the queue.
    expect(Object.keys(parts).length).toBeGreaterThanOrEqual(4);
    for (const part of Object.values(parts))
      expect(part).toMatchObject({ state: expect.stringMatching(/./), latencyMs: expect.any(Number) });
  });
});

describe("metrics", () => {
  const METRICS = "/_latchkey/metrics";
  const NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*";
  const LABELS = String.raw`\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"(?:,(?!\})|(?=\})))*,?\}`;
  const SAMPLE = new RegExp(
    `^(${NAME})(${LABELS})? ([+-]?(?:\\d+(?:\\.\\d+)?(?:[eE][+-]?\\d+)?|Inf|NaN))(?: -?\\d+)?$`,
  );

  test("only for an admin key with usage:read, or the root token", async () => {
    expectProblem(await target.send(METRICS), 401, "key_missing");
    expectProblem(await target.send(METRICS, { key: strangerKey() }), 401, "key_invalid");
    expect([401, 403]).toContain((await target.send(METRICS, { key: target.server.demoKey })).status);
    const admin = async (scope: string) =>
      (await target.api.issue({ kind: "admin", owner: "ops", scopes: [scope] })).key;
    expectProblem(await target.send(METRICS, { key: await admin("keys:read") }), 403, "scope_insufficient");
    expect((await target.send(METRICS, { key: await admin("usage:read") })).status).toBe(200);
  });

  test("every line is in Prometheus' grammar, each family has one type, no series stands twice", async () => {
    const answer = await target.send(METRICS, { key: target.server.rootToken });
    expect(answer.headers["content-type"]).toMatch(/^text\/plain;.*version=0\.0\.4|^application\/openmetrics-text/);
    expect(answer.text.endsWith("\n")).toBe(true);
    const types = new Map<string, string>();
    const closed = new Set<string>();
    const series = new Set<string>();
    let family = "";
    for (const line of answer.text.split("\n")) {
      if (line === "") continue;
      const comment = new RegExp(`^# (HELP|TYPE) (${NAME})(?: (.*))?$`).exec(line);
      if (comment !== null) {
        const [, what, name = "", rest = ""] = comment;
        if (what === "TYPE") {
          expect(rest).toMatch(/^(counter|gauge|histogram|summary|untyped)$/);
          expect(types.has(name), name).toBe(false);
          types.set(name, rest);
        }
        continue;
      }
      expect(line).not.toMatch(/^#/);
      const sample = SAMPLE.exec(line);
      expect(sample, line).not.toBeNull();
      const [, name = "", labels = ""] = sample ?? [];
      const base = types.has(name) ? name : name.replace(/_(?:bucket|sum|count)$/, "");
      expect(types.get(base), `the type of ${name}`).toBeDefined();
      if (base !== family) closed.add(family);
      // The lines of a family stand together.
      expect(closed.has(base), name).toBe(false);
      family = base;
      expect(series.has(`${name}${labels}`), line).toBe(false);
      series.add(`${name}${labels}`);
    }
    expect(series.size).toBeGreaterThan(5);
  });

  test("counters of requests follow the requests", async () => {
    const sum = async (): Promise<number> => {
      const { text } = await target.send(METRICS, { key: target.server.rootToken });
      return [...text.matchAll(/^latchkey_requests_allowed_total(?:\{[^}]*\})? (\d+)$/gm)].reduce(
        (total, match) => total + Number(match[1]),
        0,
      );
    };
    await expect.poll(sum, { timeout: 15_000, interval: 200 }).toBeGreaterThanOrEqual(1);
    const before = await sum();
    for (let count = 0; count < 5; count++) await target.send("/anything", { key: target.server.demoKey });
    await expect.poll(sum, { timeout: 15_000, interval: 200 }).toBeGreaterThanOrEqual(before + 5);
  });
});

describe("the description", () => {
  const CALLS: [string, string][] = [
    ["post", "/_latchkey/v1/keys"],
    ["get", "/_latchkey/v1/keys"],
    ["get", "/_latchkey/v1/keys/{id}"],
    ["patch", "/_latchkey/v1/keys/{id}"],
    ["post", "/_latchkey/v1/keys/{id}/rotate"],
    ["post", "/_latchkey/v1/keys/{id}/revoke"],
    ["post", "/_latchkey/v1/keys/{id}/disable"],
    ["post", "/_latchkey/v1/keys/{id}/enable"],
    ["post", "/_latchkey/v1/keys/import"],
    ["get", "/_latchkey/v1/owners/{id}"],
    ["put", "/_latchkey/v1/owners/{id}"],
    ["post", "/_latchkey/v1/owners/{id}/disable"],
    ["post", "/_latchkey/v1/owners/{id}/enable"],
    ["get", "/_latchkey/v1/usage"],
    ["get", "/_latchkey/v1/audit"],
    ["get", "/_latchkey/v1/audit/verify"],
    ["post", "/_latchkey/v1/verify"],
    ["post", "/_latchkey/v1/verify/batch"],
    ["get", "/_latchkey/v1/authorize"],
    ["get", "/_latchkey/v1/whoami"],
    ["get", "/_latchkey/healthz"],
    ["get", "/_latchkey/readyz"],
    ["get", "/_latchkey/metrics"],
  ];
  interface OpenApi {
    readonly openapi: string;
    readonly paths: Record<
      string,
      Record<
        string,
        {
          readonly responses?: Record<string, unknown>;
          readonly operationId?: string;
          readonly parameters?: unknown[];
          readonly security?: unknown;
        }
      >
    >;
    readonly [field: string]: unknown;
  }
  const describeApi = async (): Promise<OpenApi> => {
    const answer = await target.send("/_latchkey/openapi.json");
    expect([answer.status, answer.headers["content-type"]]).toEqual([200, expect.stringContaining("json")]);
    return answer.json() as unknown as OpenApi; // the parts used are asserted on
  };

  test("is OpenAPI 3.1 and lists every call of the contract", async () => {
    const api = await describeApi();
    expect(api.openapi).toMatch(/^3\.1\.\d+$/);
    expect(api["info"]).toMatchObject({ title: expect.any(String), version: expect.any(String) });
    for (const [method, path] of CALLS) {
      // Whatever its parameters are called.
      const found = Object.entries(api.paths).find(([name]) => name.replaceAll(/\{[^}]+\}/g, "{id}") === path)?.[1];
      expect(found?.[method], `${method} ${path}`).toBeDefined();
      expect(Object.keys(found?.[method]?.responses ?? {}).some((status) => status.startsWith("2"))).toBe(true);
    }
  });

  test("every reference in it leads somewhere, and no operation's id stands twice", async () => {
    const api = await describeApi();
    for (const [, reference = ""] of JSON.stringify(api).matchAll(/"\$ref":"([^"]+)"/g)) {
      expect(reference).toMatch(/^#\//);
      let place: unknown = api;
      for (const part of reference.slice(2).split("/"))
        place = (place as Record<string, unknown> | undefined)?.[part.replaceAll("~1", "/").replaceAll("~0", "~")];
      expect(place, reference).toBeDefined();
    }
    const ids = Object.values(api.paths)
      .flatMap((item) => Object.values(item).map(({ operationId }) => operationId))
      .filter((id) => id !== undefined);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("the record that it describes is the record that comes", async () => {
    const api = await describeApi();
    const key = (
      api["components"] as { schemas: Record<string, { properties: Record<string, unknown>; required: string[] }> }
    ).schemas["Key"];
    const record = (await target.api.call("GET", "/keys?limit=1")).body as { data: Record<string, unknown>[] };
    const members = Object.keys(record.data[0] ?? {});
    expect(members.toSorted()).toEqual(key?.required.toSorted());
    expect(Object.keys(key?.properties ?? {})).toEqual(expect.arrayContaining(members));
  });

  test("the page that renders it needs nothing from elsewhere", async () => {
    const page = await target.send("/_latchkey/docs");
    expect([page.status, page.headers["content-type"]]).toEqual([200, expect.stringContaining("text/html")]);
    expect(page.text).not.toMatch(/(?:src|href)\s*=\s*["']?(?:https?:)?\/\/(?!localhost|127\.)/i);
    for (const [, path] of CALLS) expect(page.text, path).toContain(path);
    for (const [, linked = ""] of page.text.matchAll(/(?:src|href)="(\/[^"#]*)/g))
      expect([linked, (await target.send(linked)).status]).toEqual([linked, 200]);
  });

  const CODES = [
    "credential_conflict",
    "credential_in_query",
    "request_invalid",
    "key_missing",
    "key_invalid",
    "key_expired",
    "key_revoked",
    "key_disabled",
    "key_not_yet_valid",
    "scope_insufficient",
    "ip_not_allowed",
    "origin_not_allowed",
    "country_not_allowed",
    "certificate_required",
    "environment_mismatch",
    "route_not_found",
    "body_too_large",
    "uri_too_long",
    "headers_too_large",
    "rate_limited",
    "quota_exhausted",
    "too_many_failures",
    "upstream_unreachable",
    "upstream_timeout",
    "verification_unavailable",
  ];
  test.each(CODES)("there is a page on %s", async (code) => {
    const page = await target.send(`/_latchkey/problems/${code}`);
    expect([page.status, page.headers["content-type"]]).toEqual([200, expect.stringMatching(/^text\/html/)]);
    expect(page.text).toContain(code);
  });

  test("there is none on a code that is none", async () => {
    for (const code of ["nothing", "../keys", "%3Cscript%3E", "constructor", "__proto__"]) {
      const page = await target.send(`/_latchkey/problems/${code}`);
      expect([code, page.status]).toEqual([code, 404]);
      expect(page.text).not.toContain("<script>");
    }
  });
});
