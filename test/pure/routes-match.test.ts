import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { defineConfig } from "../../src/config.ts";
import type { RouteConfig, UpstreamConfig } from "../../src/config.ts";
import { parsePattern } from "../../src/gateway/route-pattern.ts";
import { compileConfig } from "../../src/gateway/routes.ts";
import type { RouteMatch } from "../../src/gateway/compiled-route.ts";
import { withoutPrefix } from "../../src/gateway/upstream-url.ts";
import shipped from "../../gateway.config.ts";

type Routes = readonly (readonly [method: string, path: string])[];

function table(upstreams: Readonly<Record<string, UpstreamConfig>>, routes: readonly RouteConfig[]) {
  const compiled = compileConfig(defineConfig({ upstreams, routes }), {});
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.error));
  return compiled.value;
}

function oneUpstream(routes: Routes, open = false) {
  return table(
    { api: { url: "https://origin.test", open } },
    routes.map(([method, path]) => ({ upstream: "api", method, path })),
  );
}

function idOf(match: RouteMatch): string {
  return match.kind === "route" ? match.route.id : match.kind;
}

describe("the most specific route wins", () => {
  test("literal before parameter before rest, segment by segment, then method", () => {
    const routes = oneUpstream([
      ["GET", "/users/:id"],
      ["GET", "/users/me"],
      ["*", "/users/*"],
      ["GET", "/:any/me"],
      ["POST", "/users/me"],
      ["GET", "/users/:id/keys"],
      ["HEAD", "/users/head"],
      ["GET", "/users/head"],
      ["GET", "/"],
    ]);
    const at = (method: string, path: string) => idOf(routes.match(method, "api.test", path));
    expect(at("GET", "/users/me")).toBe("GET /users/me");
    expect(at("POST", "/users/me")).toBe("POST /users/me");
    expect(at("DELETE", "/users/me")).toBe("* /users/*");
    expect(at("GET", "/users/7")).toBe("GET /users/:id");
    expect(at("GET", "/users/7/keys")).toBe("GET /users/:id/keys");
    expect(at("GET", "/users/7/keys/1")).toBe("* /users/*");
    expect(at("GET", "/users")).toBe("* /users/*");
    expect(at("GET", "/users/")).toBe("* /users/*");
    expect(at("GET", "/x/me")).toBe("GET /:any/me");
    expect(at("GET", "/")).toBe("GET /");
    expect(at("HEAD", "/users/7")).toBe("GET /users/:id");
    expect(at("HEAD", "/users/head")).toBe("HEAD /users/head");
    expect(at("get", "/users/7")).toBe("GET /users/:id");
    expect(at("GET", "/x")).toBe("not_found");
    expect(at("POST", "/")).toBe("not_found");
    expect(at("GET", "*")).toBe("not_found");
    expect(at("GET", "")).toBe("not_found");
  });

  test("agrees with an obvious reference for random routes and paths", () => {
    const word = fc.constantFrom("a", "b", "c");
    const segment = fc.oneof({ weight: 3, arbitrary: word }, fc.constant(":p"));
    const path = fc
      .tuple(fc.array(segment, { maxLength: 4 }), fc.boolean())
      .map(([segments, rest]) => `/${[...segments, ...(rest ? ["*"] : [])].join("/")}`);
    const method = fc.constantFrom("GET", "POST", "HEAD", "*");
    const asked = fc
      .array(fc.constantFrom("a", "b", "c", "d"), { maxLength: 5 })
      .map((segments) => `/${segments.join("/")}`);
    let found = 0;
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.tuple(method, path), { minLength: 1, maxLength: 12, selector: String }),
        fc.constantFrom("GET", "HEAD", "POST", "PUT"),
        asked,
        fc.boolean(),
        (routes, verb, wanted, open) => {
          const expected = reference(routes, verb, wanted) ?? (open ? "* *" : "not_found");
          if (expected !== "not_found" && expected !== "* *") found += 1;
          const reachable = routes.filter((_, index) => !unreachable(routes).has(index));
          // What the compiler says is never reached had better not be what the definition reaches.
          expect(reference(reachable, verb, wanted)).toBe(reference(routes, verb, wanted));
          const compiled = oneUpstream(reachable, open);
          expect(idOf(compiled.match(verb, "h", wanted))).toBe(expected);
          expect(idOf(compiled.match(verb, "h", wanted === "/" ? "/" : `${wanted}/`))).toBe(expected);
        },
      ),
      { numRuns: 1_000 },
    );
    expect(found).toBeGreaterThan(100);
  });
});

/** Indexes of the routes that the compiler refuses because others take all that they match. */
function unreachable(routes: Routes): ReadonlySet<number> {
  const entries = routes.map(([method, path]) => ({ upstream: "api", method, path }));
  const compiled = compileConfig({ upstreams: { api: { url: "https://origin.test" } }, routes: entries }, {});
  if (compiled.ok) return new Set();
  return new Set(
    compiled.error.map(({ place, detail }) => {
      expect(detail).toMatch(/never reached|matches what/);
      return Number(/\d+/.exec(place)?.[0]);
    }),
  );
}

/** By definition: of all routes that match, the one whose list of segment kinds comes first, then the one whose method does. */
function reference(routes: Routes, method: string, path: string): string | null {
  const segments = path.split("/").filter((segment) => segment !== "");
  const ranked = routes.flatMap(([routeMethod, pattern]) => {
    const methodRank =
      routeMethod === method ? 0 : routeMethod === "GET" && method === "HEAD" ? 1 : routeMethod === "*" ? 2 : -1;
    const parts = pattern.split("/").filter((part) => part !== "");
    const expression = new RegExp(
      `^${parts.map((part) => (part === "*" ? "(?:/.*)?" : part.startsWith(":") ? "/[^/]+" : `/${part}`)).join("")}$`,
    );
    const text = segments.map((segment) => `/${segment}`).join("");
    if (methodRank < 0 || !expression.test(text)) return [];
    const kinds = [...parts.map((part) => (part === "*" ? "3" : part.startsWith(":") ? "2" : "1")), "0"].join("");
    return [{ id: `${routeMethod} ${pattern}`, rank: kinds + methodRank }];
  });
  return ranked.toSorted((a, b) => (a.rank < b.rank ? -1 : 1))[0]?.id ?? null;
}

describe("the upstream", () => {
  const routes = table(
    {
      any: { url: "https://any.test", open: true },
      anyBilling: { url: "https://any-billing.test", open: true, pathPrefix: "/billing" },
      exact: { url: "https://exact.test", open: true, hosts: ["api.example.com"] },
      deep: {
        url: "https://deep.test",
        open: true,
        hosts: ["api.example.com"],
        pathPrefix: "/billing/v2/",
      },
      wild: { url: "https://wild.test", open: true, hosts: ["*.example.com"] },
      wilder: { url: "https://wilder.test", open: true, hosts: ["*.eu.example.com"] },
    },
    [],
  );
  const name = (host: string, path: string) => {
    const match = routes.match("GET", host, path);
    return match.kind === "route" ? match.route.upstream.name : match.kind;
  };

  test("is chosen by host, exact before the longest wildcard before any, then by the longest prefix", () => {
    expect(name("api.example.com", "/x")).toBe("exact");
    expect(name("API.example.com.:8787", "/x")).toBe("exact");
    expect(name("api.example.com", "/billing")).toBe("exact");
    expect(name("api.example.com", "/billing/v2")).toBe("deep");
    expect(name("api.example.com", "/billing/v2/x")).toBe("deep");
    expect(name("api.example.com", "/billing/v22")).toBe("exact");
    expect(name("a.b.example.com", "/x")).toBe("wild");
    expect(name("a.eu.example.com", "/x")).toBe("wilder");
    expect(name("eu.example.com", "/x")).toBe("wild");
    expect(name("example.com", "/x")).toBe("any");
    expect(name("evil-example.com", "/billing/x")).toBe("anyBilling");
    expect(name("[::1]:8787", "/billings")).toBe("any");
  });

  test("is never another one by a prefix in other letters or encoding", () => {
    expect(name("other.test", "/bill%69ng/x")).toBe("anyBilling");
    expect(name("other.test", "/BILLING/x")).toBe("ambiguous");
    expect(name("other.test", "//billing/x")).toBe("ambiguous");
    expect(name("other.test", "/x/../billing")).toBe("ambiguous");
  });

  test("gets the path without its prefix where that is to be stripped, and else as it was sent", () => {
    const compiled = table(
      {
        b: { url: "https://b.test", open: true, pathPrefix: "/bill/ing", stripPrefix: true },
        a: { url: "https://a.test", open: true },
      },
      [],
    );
    const pathFor = (upstream: string, path: string) => {
      const found = compiled.upstreams.get(upstream);
      return found === undefined ? null : found.stripPrefix ? withoutPrefix(path, found.pathPrefix) : path;
    };
    expect(pathFor("b", "/bill/ing/x%2Fy//z")).toBe("/x%2Fy//z");
    expect(pathFor("b", "/b%69ll/ing/x")).toBe("/x");
    expect(pathFor("b", "/bill/ing")).toBe("/");
    expect(pathFor("b", "/bill/ing/")).toBe("/");
    expect(pathFor("a", "/bill/%2e%2E")).toBe("/bill/%2e%2E");
  });
});

describe("no spelling of a path slips past a route that guards it", () => {
  const compiled = compileConfig(shipped, { LATCHKEY_UPSTREAM_URL: "http://127.0.0.1:1" });
  const at = (method: string, path: string) =>
    compiled.ok ? idOf(compiled.value.match(method, "h", path)) : "bad config";

  test.each(["/re%70orts/x", "/%72%65%70%6f%72%74%73/x", "/reports/", "/reports/x/", "/reports/%78"])(
    "%s needs what /reports/* needs",
    (path) => {
      expect(at("GET", path)).toBe("GET /reports/*");
      expect(at("HEAD", path)).toBe("GET /reports/*");
    },
  );

  test.each([
    "//reports/x",
    "/./reports/x",
    "/x/../reports/x",
    "/%2e/reports/x",
    "/x/%2e%2e/reports/x",
    "/x/.%2E/reports/x",
    "/REPORTS/x",
    "/Reports/x",
    "/r%45ports/x",
    "/x%2f..%2freports/x",
    "/%2freports/x",
    "/%5creports/x",
    "/\\reports\\x",
    "/x/..\\reports/x",
    "/;a=b/reports/x",
    "/reports;v=1/x",
    "/reports%3Bv=1/x",
    "/x/..;/reports/x",
    "/x/..%3b/reports/x",
    "/reports%2fx",
    "/reports%252fx",
    "/%25%32%65%25%32%65/reports/x",
    "/x/%252e%252e/reports/x",
    "/x/%252e%252e%252freports",
    "/reports%3fx",
    "/reports%23x",
    "/reports/../x",
    "/public/..%2freports/x",
    "/../reports/x",
    "/..",
    "/x/../../y",
    "/%2e%2e/%2e%2e/etc",
    "/a%00b",
    "/reports%00",
    "/x%2500",
    // A path that is harmless when read to the end, and another route's when read half-way.
    "/public/..%2freports/x%252f..%252f..%252fpublic/y",
    `/%${"25".repeat(40)}2freports`,
    `/a${"/;b".repeat(30)}${"%2f..".repeat(10)}`,
  ])("%s is refused", (path) => {
    expect(at("GET", path)).toBe("ambiguous");
  });

  test.each(["/charges/", "/char%67es", "/%63harges/"])("POST %s is POST /charges", (path) => {
    expect(at("POST", path)).toBe("POST /charges");
  });

  test.each([
    "/files/a%2Fb",
    "/files/a//b",
    "/files/./b",
    "/a/b/../c",
    "/Files/README.md",
    "/x;v=1/y",
    "/100%",
    "/%zz",
    "/a%20b",
    "/%E4%BD%A0%E5%A5%BD",
    "/你好",
    "/.well-known/x",
    "/a/...",
    "/proxy/https://example.com/x",
    "/a%3Fb",
    "/%C3",
  ])("%s is let through: every reading leads to the same route", (path) => {
    expect(at("GET", path)).toBe("* *");
  });

  test("a long path costs little: what is read in many ways is refused early", () => {
    const evil = `/a${"\\%5c;/x/./".repeat(1_500)}`;
    const started = performance.now();
    for (let round = 0; round < 20; round += 1) expect(at("GET", evil)).toBe("ambiguous");
    expect((performance.now() - started) / 20).toBeLessThan(40);
    // And a long path that is only long, or full of encoded data, is let through.
    expect(at("GET", `/a/${"%20%C3%A9x".repeat(1_600)}`)).toBe("* *");
    expect(at("GET", `/a/${"b%2Fc".repeat(3_000)}`)).toBe("* *");
  });

  test("behind a closed upstream an encoded slash cannot reach what no route names", () => {
    const closed = oneUpstream([
      ["GET", "/users/:id"],
      ["GET", "/projects/*"],
    ]);
    const reach = (path: string) => idOf(closed.match("GET", "h", path));
    expect(reach("/users/1%2Fadmin")).toBe("ambiguous");
    expect(reach("/users/..%2Fadmin")).toBe("ambiguous");
    expect(reach("/users/1")).toBe("GET /users/:id");
    expect(reach("/projects/group%2Fproject")).toBe("GET /projects/*");
    expect(reach("/projects/..%2fadmin")).toBe("ambiguous");
    expect(reach("/users//")).toBe("not_found");
    expect(reach("/Users/1")).toBe("not_found");
    expect(reach("/admin")).toBe("not_found");
  });

  test("whatever sequence of steps an origin takes with the path, it ends at the route that was enforced", () => {
    const guarded = oneUpstream(
      [
        ["GET", "/reports/*"],
        ["GET", "/public/*"],
        ["GET", "/users/:id"],
        ["GET", "/users/me"],
        ["GET", "/Admin"],
      ],
      true,
    );
    const piece = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.constantFrom("reports", "public", "users", "me", "x", "REPORTS", "Me", "admin"),
      },
      {
        weight: 6,
        arbitrary: fc.constantFrom("/", "/", "//", "%2f", "%2F", "\\", "%5c", "%252f", "%255C"),
      },
      {
        weight: 4,
        arbitrary: fc.constantFrom("..", ".", "%2e%2e", ".%2E", "%252e%252e", "..;", "..%3b"),
      },
      {
        weight: 2,
        arbitrary: fc.constantFrom(";", ";a=b", "%3B", "%3f", "%23", "%72", "%25", "%2", "%45"),
      },
    );
    const pathArbitrary = fc.array(piece, { minLength: 1, maxLength: 9 }).map((pieces) => `/${pieces.join("")}`);
    const step = fc.constantFrom(...ORIGIN_STEPS);
    let accepted = 0;
    let refused = 0;
    fc.assert(
      fc.property(pathArbitrary, fc.array(step, { minLength: 1, maxLength: 8 }), fc.boolean(), (path, steps, folds) => {
        const match = guarded.match("GET", "h", path);
        if (match.kind !== "route") {
          refused += 1;
          return;
        }
        accepted += 1;
        let read = path;
        for (const take of steps) read = take(read);
        expect(originRoute(read, folds), `${path} read as ${read}`).toBe(match.route.id);
      }),
      { numRuns: 20_000 },
    );
    expect(accepted).toBeGreaterThan(500);
    expect(refused).toBeGreaterThan(1_000);
  });
});

/** What origins and the proxies before them do with a path, written without a look at ours. */
const ORIGIN_STEPS: readonly ((path: string) => string)[] = [
  function decodeAll(path) {
    return path.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  },
  function decodeAllButSlashes(path) {
    return path.replace(/%([0-9a-f]{2})/gi, (whole, hex: string) =>
      /2f|5c|25/i.test(hex) ? whole : String.fromCharCode(Number.parseInt(hex, 16)),
    );
  },
  function urlParser(path) {
    return new URL(`http://o.test${path}`).pathname;
  },
  function posixNormalize(path) {
    const kept: string[] = [];
    for (const segment of path.split(/\/+/)) {
      if (segment === "..") kept.pop();
      else if (segment !== "." && segment !== "") kept.push(segment);
    }
    return `/${kept.join("/")}`;
  },
  function collapse(path) {
    return path.replace(/\/\/+/g, "/");
  },
  function backslashes(path) {
    return path.split("\\").join("/");
  },
  function matrixParameters(path) {
    return path
      .split("/")
      .map((segment) => segment.split(";")[0])
      .join("/");
  },
  function cutQuery(path) {
    return path.split("?")[0]?.split("#")[0] ?? "";
  },
];

/** A plain router on what has been read; strict about everything but case, and the slash at the end. */
function originRoute(read: string, folds: boolean): string {
  const path = (folds ? read.toLowerCase() : read).replace(/(.)\/$/, "$1").replace(/%[0-9a-f]{2}/gi, (hex) => {
    const character = String.fromCharCode(Number.parseInt(hex.slice(1), 16));
    return /[/\\%]/.test(character) ? hex : character;
  });
  const admin = folds ? "/admin" : "/Admin";
  if (path === admin) return "GET /Admin";
  if (/^\/reports(\/|$)/.test(path)) return "GET /reports/*";
  if (/^\/public(\/|$)/.test(path)) return "GET /public/*";
  if (path === "/users/me") return "GET /users/me";
  if (/^\/users\/[^/]+$/.test(path)) return "GET /users/:id";
  return "* *";
}

describe("a pattern", () => {
  test("is read into its segments, literals as requests' paths are read", () => {
    expect(parsePattern("/a%62/:id/%C3%A9é/*")).toEqual({
      ok: true,
      value: [
        { kind: "literal", text: "ab" },
        { kind: "parameter" },
        { kind: "literal", text: "%C3%A9%C3%A9" },
        { kind: "rest" },
      ],
    });
    expect(parsePattern("/")).toEqual({ ok: true, value: [] });
    expect(parsePattern("/*")).toEqual({ ok: true, value: [{ kind: "rest" }] });
  });

  test.each([
    "",
    "a",
    "*",
    "/a*",
    "/*/a",
    "/a//b",
    "//",
    "/:",
    "/:1",
    "/:a-b",
    "/a/../b",
    "/.",
    "/%2e",
    "/a%2Fb",
    "/a\\b",
    "/a;b",
    "/a?b",
    "/a#b",
    "/%00",
    `/a${"/a".repeat(32)}`,
  ])("%s is none", (pattern) => {
    expect(parsePattern(pattern).ok).toBe(false);
  });
});
