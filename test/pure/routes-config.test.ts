import { describe, expect, test } from "vitest";
import type { GatewayConfig } from "../../src/config.ts";
import {
  MAX_COST,
  MAX_GRACE_SECONDS,
  MAX_LIMITS,
  MAX_REQUEST_BODY_BYTES,
  UPSTREAM_TIMEOUT_SECONDS,
} from "../../src/constants.ts";
import { compileConfig } from "../../src/gateway/routes.ts";
import type { CompiledRoute } from "../../src/gateway/compiled-route.ts";
import shipped from "../../gateway.config.ts";

const BURST = { name: "burst", limit: 10, window: "minute", kind: "rate" };

/** Configurations may come from anywhere: what is tested here is what the types would not have let through. */
function compile(config: object, env: Readonly<Record<string, unknown>> = {}) {
  return compileConfig(config as GatewayConfig, env); // The point is to hand in what is no GatewayConfig.
}

function errorsOf(config: object, env: Readonly<Record<string, unknown>> = {}): readonly string[] {
  const compiled = compile(config, env);
  return compiled.ok ? [] : compiled.error.map(({ place, detail }) => `${place}: ${detail}`);
}

function withUpstream(upstream: unknown, env = {}): readonly string[] {
  return errorsOf({ upstreams: { api: upstream } }, env);
}

function withRoute(route: object, rest: object = {}): readonly string[] {
  const sound = { upstream: "api", method: "GET", path: "/x" };
  return errorsOf({
    upstreams: { api: { url: "https://o.test" } },
    routes: [
      { ...sound, path: "/first" },
      { ...sound, ...route },
    ],
    ...rest,
  });
}

function routeOf(config: object, method: string, path: string, env = {}): CompiledRoute | null {
  const compiled = compile(config, env);
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.error));
  const match = compiled.value.match(method, "h", path);
  return match.kind === "route" ? match.route : null;
}

describe("the shipped configuration", () => {
  const env = { LATCHKEY_UPSTREAM_URL: "http://127.0.0.1:9000" };

  test("compiles into what the contract says of it", () => {
    expect(routeOf(shipped, "GET", "/reports/x", env)).toMatchObject({
      id: "GET /reports/*",
      template: "/reports/*",
      scopes: ["reports:read"],
      cost: 5,
      strict: false,
      audit: "async",
      keyInQuery: null,
    });
    expect(routeOf(shipped, "POST", "/charges", env)).toMatchObject({
      id: "POST /charges",
      scopes: ["charges:write"],
      cost: 1,
      strict: true,
      audit: "sync",
    });
    expect(routeOf(shipped, "GET", "/public/a", env)).toMatchObject({
      keyInQuery: "api_key",
      scopes: [],
    });
    expect(routeOf(shipped, "DELETE", "/else/where", env)).toEqual({
      id: "* *",
      template: "*",
      assertionSeconds: null,
      scopes: [],
      cost: 1,
      limits: [],
      strict: false,
      onMeterUnavailable: null,
      graceSeconds: null,
      audit: "async",
      keyInQuery: null,
      timeoutMs: UPSTREAM_TIMEOUT_SECONDS * 1_000,
      maxBodyBytes: MAX_REQUEST_BODY_BYTES,
      refundOn: [],
      environments: ["live", "test"],
      upstream: expect.objectContaining({
        name: "demo",
        workspace: "*",
        open: true,
        preflight: "key",
        target: { kind: "url", url: new URL("http://127.0.0.1:9000") },
      }),
    });
  });

  test("serves with an empty upstream variable, and knows that the upstream is not set", () => {
    expect(routeOf(shipped, "GET", "/x", { LATCHKEY_UPSTREAM_URL: "" })?.upstream.target).toEqual({
      kind: "unset",
      variable: "LATCHKEY_UPSTREAM_URL",
    });
  });

  test("does not serve when the variable is not declared or holds no URL", () => {
    expect(errorsOf(shipped, {})).toEqual([
      "upstreams.demo.urlFromEnv: there is no variable LATCHKEY_UPSTREAM_URL; see [vars] in wrangler.toml",
    ]);
    expect(errorsOf(shipped, { LATCHKEY_UPSTREAM_URL: "localhost:9000" })).toEqual([
      "upstreams.demo.urlFromEnv (LATCHKEY_UPSTREAM_URL): must be an https or http URL",
    ]);
  });
});

describe("what a route does not say", () => {
  const upstream = {
    url: "https://o.test/base",
    timeoutSeconds: 5,
    maxBodyBytes: 10,
    refundOn: ["upstream_timeout"],
    environments: ["live"],
    workspace: "acme",
  };

  test("it takes from its upstream", () => {
    const route = routeOf(
      {
        upstreams: { api: upstream },
        routes: [{ upstream: "api", method: ["GET", "PUT"], path: "/x/:id" }],
      },
      "PUT",
      "/x/1",
    );
    expect(route).toMatchObject({
      id: "GET,PUT /x/:id",
      timeoutMs: 5_000,
      maxBodyBytes: 10,
      refundOn: ["upstream_timeout"],
      environments: ["live"],
      upstream: { workspace: "acme" },
    });
  });

  test("and what it says counts", () => {
    const own = {
      timeoutSeconds: 0.5,
      maxBodyBytes: 0,
      refundOn: [],
      onMeterUnavailable: "open",
      graceSeconds: 7,
      strict: true,
      limits: [BURST],
      cost: 0,
    };
    const route = routeOf(
      {
        upstreams: { api: upstream },
        routes: [{ upstream: "api", method: "*", path: "/x", ...own }],
      },
      "PUT",
      "/x",
    );
    expect(route).toMatchObject({
      timeoutMs: 500,
      maxBodyBytes: 0,
      refundOn: [],
      onMeterUnavailable: "open",
      graceSeconds: 7,
      strict: true,
      limits: [BURST],
      cost: 0,
    });
  });
});

test("the table knows the prefixes, plans and realm of the deployment", () => {
  const compiled = compile({
    upstreams: { a: { url: "https://o.test" } },
    workspaces: { acme: { prefix: "acme" }, other: {} },
    plans: { free: [BURST] },
    realm: "Acme",
    importedKeys: false,
  });
  expect(compiled.ok && [...compiled.value.prefixes]).toEqual(["lk", "acme"]);
  expect(compiled.ok && compiled.value.plans["free"]).toEqual([BURST]);
  expect(compiled.ok && compiled.value.plans["constructor"]).toBeUndefined();
  expect(compiled).toMatchObject({ ok: true, value: { realm: "Acme", importedKeys: false } });
});

describe("nonsense is refused with its place", () => {
  test.each<[string, object, string]>([
    ["no upstream", { upstreams: {} }, "upstreams: must name at least 1"],
    ["upstreams that are none", { upstreams: [] }, "upstreams: must be an object"],
    [
      "a misspelt field",
      { upstreams: { a: { url: "https://o.test" } }, rotues: [] },
      "config: has an unknown field rotues",
    ],
    [
      "a prefix",
      { upstreams: { a: { url: "https://o.test" } }, workspaces: { acme: { prefix: "A_B" } } },
      "workspaces.acme.prefix: must be 2 to 12",
    ],
    [
      "a workspace's field",
      { upstreams: { a: { url: "https://o.test" } }, workspaces: { acme: { prefx: "ab" } } },
      "workspaces.acme: has an unknown field prefx",
    ],
    [
      "a workspace's name",
      { upstreams: { a: { url: "https://o.test" } }, workspaces: { "a/b": {} } },
      "workspaces.a/b: is not a name",
    ],
    ["a share", { upstreams: { a: { url: "https://o.test" } }, logSampleRate: 2 }, "logSampleRate: must be a number"],
    [
      "an ip mode",
      { upstreams: { a: { url: "https://o.test" } }, clientIpInEvents: "none" },
      "clientIpInEvents: must be one of",
    ],
    [
      "brokers that are merely wanted",
      { upstreams: { a: { url: "https://o.test" } }, leaseBrokers: true },
      "leaseBrokers: must be an object",
    ],
    [
      "no number of brokers",
      { upstreams: { a: { url: "https://o.test" } }, leaseBrokers: {} },
      "leaseBrokers.shardsPerLocation: must be a whole number from 1 to 256",
    ],
    [
      "no brokers by number",
      { upstreams: { a: { url: "https://o.test" } }, leaseBrokers: { shardsPerLocation: 0 } },
      "leaseBrokers.shardsPerLocation: must be a whole number from 1 to 256",
    ],
    [
      "too many brokers",
      { upstreams: { a: { url: "https://o.test" } }, leaseBrokers: { shardsPerLocation: 257 } },
      "leaseBrokers.shardsPerLocation: must be a whole number from 1 to 256",
    ],
    [
      "a retention",
      { upstreams: { a: { url: "https://o.test" } }, usage: { retention: { minuteHours: 12 } } },
      "usage.retention.minuteHours: must be a whole number from 24 to 168",
    ],
    [
      "a unit of retention",
      { upstreams: { a: { url: "https://o.test" } }, usage: { retention: { years: 2 } } },
      "usage.retention: has an unknown field years",
    ],
    [
      "a currency",
      { upstreams: { a: { url: "https://o.test" } }, pricing: { currency: "euro", perUnit: "1" } },
      "pricing.currency: must be three capital letters",
    ],
    [
      "a price as a number",
      { upstreams: { a: { url: "https://o.test" } }, pricing: { currency: "EUR", perUnit: 0.1 } },
      "pricing.perUnit: must be a decimal in quotes",
    ],
    [
      "a price of no plan",
      {
        upstreams: { a: { url: "https://o.test" } },
        pricing: { currency: "EUR", perUnit: "1", perUnitByPlan: { x: "2" } },
      },
      "pricing.perUnitByPlan.x: must be one of the names under plans",
    ],
    ["a realm", { upstreams: { a: { url: "https://o.test" } }, realm: "a\nb" }, "realm: must be"],
    [
      "a flag",
      { upstreams: { a: { url: "https://o.test" } }, importedKeys: "no" },
      "importedKeys: must be true or false",
    ],
    [
      "a publishable scope",
      { upstreams: { a: { url: "https://o.test" } }, publishableScopes: ["a:read", "*"] },
      "publishableScopes[1]: must be",
    ],
    ["a plan's name", { upstreams: { a: { url: "https://o.test" } }, plans: { "": [] } }, "plans.: is not a name"],
    ["a plan", { upstreams: { a: { url: "https://o.test" } }, plans: { free: {} } }, "plans.free: must be a list"],
  ])("%s", (_what, config, expected) => {
    expect(errorsOf(config)).toEqual([expect.stringContaining(expected)]);
  });

  test.each<[object, string]>([
    [{ limit: -1 }, "plans.p[1].limit: must be a whole number"],
    [{ limit: 1.5 }, "plans.p[1].limit: must be a whole number"],
    [{ limit: "10" }, "plans.p[1].limit: must be a whole number"],
    [{ window: "week" }, "plans.p[1].window: must be minute"],
    [{ window: { seconds: 0 } }, "plans.p[1].window.seconds: must be a whole number"],
    [{ window: { minutes: 1, seconds: 1 } }, "plans.p[1].window: has an unknown field minutes"],
    [{ window: null }, "plans.p[1].window: must be minute"],
    [{ kind: "burst" }, "plans.p[1].kind: must be one of rate, quota"],
    [{ kind: undefined }, "plans.p[1].kind: must be one of"],
    [{ name: "a b" }, "plans.p[1].name: must be letters"],
    [{ name: "burst" }, "plans.p[1].name: burst is the name of another limit"],
    [{ max: 1 }, "plans.p[1]: has an unknown field max"],
  ])("a limit with %j", (change, expected) => {
    const errors = errorsOf({
      upstreams: { a: { url: "https://o.test" } },
      plans: { p: [BURST, { ...BURST, name: "other", ...change }] },
    });
    expect(errors).toEqual([expect.stringContaining(expected)]);
  });

  test("as many limits as are allowed, and one more", () => {
    const plan = (count: number) => ({
      upstreams: { a: { url: "https://o.test" } },
      plans: { p: Array.from({ length: count }, (_, index) => ({ ...BURST, name: `l${index}` })) },
    });
    expect(errorsOf(plan(MAX_LIMITS))).toEqual([]);
    expect(errorsOf(plan(MAX_LIMITS + 1))).toEqual([`plans.p: has more than ${MAX_LIMITS} limits`]);
  });

  const url = "https://o.test";
  test.each<[unknown, string]>([
    [null, "upstreams.api: must be an object"],
    [{}, "upstreams.api: must have exactly one of url, urlFromEnv, service"],
    [{ url, service: "X" }, "upstreams.api: must have exactly one of"],
    [{ url: "ftp://o.test" }, "upstreams.api.url: must be an https or http URL"],
    [{ url: "https://u:p@o.test" }, "upstreams.api.url: must not contain a user name"],
    [{ url: "https://o.test?a=b" }, "upstreams.api.url: must not contain a query"],
    [{ url: "" }, "upstreams.api.url: must be a text"],
    [{ service: "BILLING" }, "upstreams.api.service: there is no service binding BILLING"],
    [{ service: "TEXT" }, "upstreams.api.service: there is no service binding TEXT"],
    [{ urlFromEnv: "NOPE" }, "upstreams.api.urlFromEnv: there is no variable NOPE"],
    [{ url, hosts: [] }, "upstreams.api.hosts: must name at least one"],
    [{ url, hosts: ["API.test"] }, "upstreams.api.hosts[0]: must be a host name"],
    [{ url, hosts: ["ok.test", "https://x.test"] }, "upstreams.api.hosts[1]: must be a host name"],
    [{ url, hosts: ["*.com"] }, "upstreams.api.hosts[0]: must be a host name"],
    [{ url, hosts: ["a.test:8787"] }, "upstreams.api.hosts[0]: must be a host name"],
    [{ url, pathPrefix: "billing" }, "upstreams.api.pathPrefix: must start with /"],
    [{ url, pathPrefix: "/a/*" }, "upstreams.api.pathPrefix: must not have parameters"],
    [{ url, stripPrefix: true }, "upstreams.api.stripPrefix: needs a pathPrefix"],
    [{ url, open: 1 }, "upstreams.api.open: must be true or false"],
    [{ url, workspace: "a b" }, "upstreams.api.workspace: is not a name"],
    [{ url, environments: ["prod"] }, "upstreams.api.environments: must be one of live, test"],
    [{ url, environments: [] }, "upstreams.api.environments: must name live, test or both"],
    [{ url, timeoutSeconds: 0 }, "upstreams.api.timeoutSeconds: must be a number above 0"],
    [{ url, timeoutSeconds: Number.NaN }, "upstreams.api.timeoutSeconds: must be a number above 0"],
    [{ url, maxBodyBytes: -1 }, "upstreams.api.maxBodyBytes: must be a whole number"],
    [{ url, refundOn: ["never"] }, "upstreams.api.refundOn: must be one of"],
    [{ url, preflight: "allow" }, "upstreams.api.preflight: must be pass, key, or an object"],
    [
      { url, preflight: { origins: ["https://*.x.test"] } },
      "upstreams.api.preflight.origins[0]: must be https://app.example.com",
    ],
    [
      { url, preflight: { origins: ["*"], credentials: true } },
      "upstreams.api.preflight.credentials: must not be true",
    ],
    [{ url, preflight: { origins: ["*"], headers: ["a b"] } }, "upstreams.api.preflight.headers: must be names"],
    [{ url, preflight: { origins: ["*"], maxAge: 1 } }, "upstreams.api.preflight: has an unknown field maxAge"],
    [{ url, timeout: 5 }, "upstreams.api: has an unknown field timeout"],
  ])("the upstream %j", (upstream, expected) => {
    expect(withUpstream(upstream, { TEXT: "x" })).toEqual([expect.stringContaining(expected)]);
  });

  test.each<[object, string]>([
    [{ upstream: "apis" }, "routes[1].upstream: must be one of the names"],
    [{ method: "get" }, "routes[1].method: must be methods in upper case"],
    [{ method: [] }, "routes[1].method: must name at least one"],
    [{ method: ["GET", "*"] }, "routes[1].method: has * beside other methods"],
    [{ method: ["GET", "GET"] }, "routes[1].method: names a method twice"],
    [{ path: "x" }, "routes[1].path: must start with /"],
    [{ path: "/a/*/b" }, "routes[1].path: may have * only at its end"],
    [{ path: "/a/../b" }, "routes[1].path: has the segment .., which servers read in different ways"],
    [{ path: "/_latchkey/v1/keys" }, "routes[1].path: is Latchkey's own"],
    [{ path: "/first" }, "routes[1]: matches what GET /first of the same upstream matches"],
    [{ path: "/first/" }, "routes[1]: matches what GET /first"],
    [{ path: "/F%69RST" }, "routes[1]: matches what GET /first"],
    [{ scopes: ["a:read", "*"] }, "routes[1].scopes[1]: must be resource:action"],
    [{ scopes: "a:read" }, "routes[1].scopes: must be a list"],
    [{ cost: -1 }, "routes[1].cost: must be a whole number"],
    [{ cost: MAX_COST + 1 }, "routes[1].cost: must be a whole number"],
    [{ cost: 0.5 }, "routes[1].cost: must be a whole number"],
    [{ environments: ["lvie"] }, "routes[1].environments: must be one of"],
    [{ strict: "yes" }, "routes[1].strict: must be true or false"],
    [{ onMeterUnavailable: "fail" }, "routes[1].onMeterUnavailable: must be one of open, closed"],
    [{ graceSeconds: MAX_GRACE_SECONDS + 1 }, "routes[1].graceSeconds: must be a whole number"],
    [{ graceSeconds: 5, onMeterUnavailable: "closed" }, "routes[1].graceSeconds: means nothing"],
    [{ audit: true }, "routes[1].audit: must be one of"],
    [{ keyInQuery: "" }, "routes[1].keyInQuery: must be the name"],
    [{ keyInQuery: true }, "routes[1].keyInQuery: must be the name"],
    [{ scope: ["a:read"] }, "routes[1]: has an unknown field scope"],
    [{ limits: [BURST, BURST] }, "routes[1].limits[1].name: burst is the name of another"],
  ])("the route %j", (route, expected) => {
    expect(withRoute(route)).toEqual([expect.stringContaining(expected)]);
  });

  test("a route's limit with the name of a plan's, or of another route's that means something else", () => {
    expect(withRoute({ limits: [BURST] }, { plans: { free: [BURST] } })).toEqual([
      expect.stringContaining("routes[1].limits: has a limit named burst, and so has a plan"),
    ]);
    const routes = (limit: number) => [
      { upstream: "api", method: "GET", path: "/a", limits: [BURST] },
      { upstream: "api", method: "GET", path: "/b", limits: [{ ...BURST, limit }] },
    ];
    expect(errorsOf({ upstreams: { api: { url } }, routes: routes(11) })).toEqual([
      "routes[1].limits: has a limit named burst that differs from the one of routes[0].limits",
    ]);
    expect(errorsOf({ upstreams: { api: { url } }, routes: routes(10) })).toEqual([]);
  });

  test("two upstreams for one host and prefix, and routes that are never reached", () => {
    expect(errorsOf({ upstreams: { a: { url }, b: { url } } })).toEqual([
      "upstreams.b: answers for the same host and path prefix as upstreams.a",
    ]);
    expect(errorsOf({ upstreams: { a: { url, pathPrefix: "/X" }, b: { url, pathPrefix: "/x/" } } })).toEqual([
      expect.stringContaining("upstreams.b: answers for the same host"),
    ]);
    const two = { a: { url }, b: { url, pathPrefix: "/v2" } };
    expect(errorsOf({ upstreams: two, routes: [{ upstream: "a", method: "GET", path: "/v2/x" }] })).toEqual([
      expect.stringContaining("routes[0].path: is never reached"),
    ]);
    expect(errorsOf({ upstreams: two, routes: [{ upstream: "b", method: "GET", path: "/v3/x" }] })).toEqual([
      "routes[0].path: lies outside /v2, the prefix of upstreams.b",
    ]);
    expect(
      errorsOf({
        upstreams: {
          ...two,
          a: { url, hosts: ["a.test", "b.test"] },
          b: { url, pathPrefix: "/v2", hosts: ["a.test"] },
        },
        routes: [{ upstream: "a", method: "GET", path: "/v2/x" }],
      }),
    ).toEqual([]);
  });

  test("environments that a route and its upstream do not share", () => {
    const config = {
      upstreams: { api: { url, environments: ["live"] } },
      routes: [{ upstream: "api", method: "GET", path: "/x", environments: ["test"] }],
    };
    expect(errorsOf(config)).toEqual(["routes[0].environments: has none that upstreams.api takes"]);
  });

  test("every fault is named, not only the first", () => {
    expect(withRoute({ cost: -1, audit: "x", scopes: ["y"] })).toHaveLength(3);
  });
});

test("a service binding is an object that can fetch", () => {
  const env = { BILLING: { fetch: () => new Response() } };
  expect(routeOf({ upstreams: { b: { service: "BILLING", open: true } } }, "GET", "/", env)?.upstream.target).toEqual({
    kind: "service",
    binding: "BILLING",
  });
});
