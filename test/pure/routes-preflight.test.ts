import { describe, expect, test } from "vitest";
import type { CorsConfig, UpstreamConfig } from "../../src/config.ts";
import { addCorsHeaders, decidePreflight } from "../../src/gateway/preflight.ts";
import { compileConfig } from "../../src/gateway/routes.ts";

const ORIGIN = "https://app.example.com";
const ASKED = {
  Origin: ORIGIN,
  "Access-Control-Request-Method": "POST",
  "Access-Control-Request-Headers": "authorization",
};

function decide(
  preflight: UpstreamConfig["preflight"],
  headers: Record<string, string> = ASKED,
  { method = "OPTIONS", pathname = "/x" } = {},
) {
  const upstream = { url: "https://o.test", ...(preflight === undefined ? {} : { preflight }) };
  const compiled = compileConfig(
    {
      upstreams: { api: upstream },
      routes: [{ upstream: "api", method: "POST", path: "/x", scopes: ["a:b"] }],
    },
    {},
  );
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.error));
  return decidePreflight(compiled.value, {
    method,
    pathname,
    headers: new Headers(headers),
    host: "h",
  });
}

function answerTo(cors: CorsConfig, origin = ORIGIN): Headers {
  const decision = decide(cors, { ...ASKED, Origin: origin });
  if (decision.kind !== "answer") throw new Error(decision.kind);
  expect(decision.response.status).toBe(204);
  return decision.response.headers;
}

describe("a preflight", () => {
  test("needs a key unless the upstream's policy says otherwise", () => {
    expect(decide(undefined).kind).toBe("none");
    expect(decide("key").kind).toBe("none");
    expect(decide("pass")).toMatchObject({ kind: "pass", match: { route: { id: "POST /x" } } });
    expect(decide({ origins: [ORIGIN] }).kind).toBe("answer");
  });

  test("is one only with both fields, by OPTIONS, and for what a route takes", () => {
    expect(decide("pass", { Origin: ORIGIN }).kind).toBe("none");
    expect(decide("pass", { "Access-Control-Request-Method": "POST" }).kind).toBe("none");
    expect(decide("pass", ASKED, { method: "POST" }).kind).toBe("none");
    expect(decide("pass", ASKED, { pathname: "/y" }).kind).toBe("none");
    expect(decide("pass", ASKED, { pathname: "/X" }).kind).toBe("none");
    expect(decide("pass", { ...ASKED, "Access-Control-Request-Method": "DELETE" }).kind).toBe("none");
  });

  test("from an allowed origin is told what it may send", () => {
    const headers = answerTo({ origins: ["*.example.com"] });
    expect(headers.get("access-control-allow-origin")).toBe(ORIGIN);
    expect(headers.get("access-control-allow-headers")).toContain("Authorization");
    expect(headers.get("access-control-allow-methods")).toContain("DELETE");
    expect(headers.get("access-control-max-age")).toBe("600");
    expect(headers.get("access-control-allow-credentials")).toBeNull();
    expect(headers.get("vary")).toContain("Origin");
    const own = answerTo({
      origins: [ORIGIN],
      methods: ["POST"],
      headers: ["X-A", "X-B"],
      maxAgeSeconds: 5,
      credentials: true,
    });
    expect(own.get("access-control-allow-methods")).toBe("POST");
    expect(own.get("access-control-allow-headers")).toBe("X-A, X-B");
    expect(own.get("access-control-max-age")).toBe("5");
    expect(own.get("access-control-allow-credentials")).toBe("true");
    expect(answerTo({ origins: ["*"] }).get("access-control-allow-origin")).toBe("*");
  });

  test("from another origin is told nothing", () => {
    for (const origin of ["https://evil.test", "https://example.com", "https://evil-example.com", "null"]) {
      const headers = answerTo({ origins: ["*.example.com"] }, origin);
      expect([...headers.keys()], origin).toEqual(["vary"]);
    }
  });
});

test("an answer is shown to pages of allowed origins, and to no others", () => {
  const cors: CorsConfig = { origins: ["*.example.com"], exposeHeaders: ["X-Mine"] };
  const shown = new Headers({ Vary: "Accept" });
  addCorsHeaders(shown, cors, ORIGIN);
  expect(Object.fromEntries(shown)).toEqual({
    vary: "Accept, Origin",
    "access-control-allow-origin": ORIGIN,
    "access-control-expose-headers": "X-Mine",
  });
  for (const origin of [null, "https://evil.test"]) {
    const hidden = new Headers();
    addCorsHeaders(hidden, cors, origin);
    expect(Object.fromEntries(hidden)).toEqual({ vary: "Origin" });
  }
  const open = new Headers();
  addCorsHeaders(open, { origins: ["*"] }, ORIGIN);
  expect(open.get("access-control-expose-headers")).toContain("RateLimit");
});
