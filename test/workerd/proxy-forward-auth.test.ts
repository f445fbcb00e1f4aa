import { describe, expect, test } from "vitest";
import { MAX_URI_BYTES } from "../../src/constants.ts";
import { authorizedAnswer, readOriginalRequest } from "../../src/gateway/forward-auth.ts";
import { proxyRecord } from "../support/proxy-record.ts";

const AUTHORIZE = "https://latchkey.test/_latchkey/v1/authorize";

function read(headers: Record<string, string>, url = AUTHORIZE, method = "GET") {
  return readOriginalRequest(new Request(url, { method, headers }));
}

describe("the original request is read from", () => {
  test.each([
    [
      "nginx",
      { "x-original-method": "post", "x-original-uri": "/a%2Fb?x=%20" },
      { method: "POST", url: "https://latchkey.test/a%2Fb?x=%20" },
    ],
    [
      "nginx with a host",
      { "x-original-method": "GET", "x-original-uri": "/", "x-original-host": "api.test:8443" },
      { method: "GET", url: "https://api.test:8443/" },
    ],
    [
      "Traefik and Caddy",
      {
        "x-forwarded-method": "PUT",
        "x-forwarded-uri": "/x",
        "x-forwarded-host": "api.test",
        "x-forwarded-proto": "https",
      },
      { method: "PUT", url: "https://api.test/x" },
    ],
    [
      "both, when they agree",
      { "x-original-method": "GET", "x-forwarded-method": "GET", "x-original-uri": "/x", "x-forwarded-uri": "/x" },
      { method: "GET", url: "https://latchkey.test/x" },
    ],
    [
      "a v6 host",
      { "x-forwarded-method": "GET", "x-forwarded-uri": "/x", "x-forwarded-host": "[2001:db8::1]:80" },
      { method: "GET", url: "https://[2001:db8::1]:80/x" },
    ],
  ])("%s", (_name, headers, becomes) => {
    expect(read(headers as Record<string, string>)).toEqual({ ok: true, value: becomes });
  });

  test("Envoy, which appends the path and keeps the method", () => {
    expect(read({}, `${AUTHORIZE}/charges/7?x=1`, "DELETE")).toEqual({
      ok: true,
      value: { method: "DELETE", url: "https://latchkey.test/charges/7?x=1" },
    });
  });
});

describe("request_invalid, and nothing guessed, for", () => {
  test.each([
    ["no path at all", { "x-original-method": "GET" }],
    ["no method at all: a GET would be the weakest guess", { "x-original-uri": "/x" }],
    ["two different paths", { "x-original-method": "GET", "x-original-uri": "/a", "x-forwarded-uri": "/b" }],
    ["two different methods", { "x-original-method": "GET", "x-forwarded-method": "POST", "x-original-uri": "/a" }],
    [
      "two different hosts",
      { "x-original-method": "GET", "x-original-uri": "/a", "x-original-host": "a", "x-forwarded-host": "b" },
    ],
    ["an absolute URL", { "x-original-method": "GET", "x-original-uri": "http://a/b" }],
    ["a header that was sent twice", { "x-original-method": "GET", "x-original-uri": "/a, /b" }],
    ["a fragment", { "x-original-method": "GET", "x-original-uri": "/a#b" }],
    ["a method that is none", { "x-original-method": "GET /", "x-original-uri": "/a" }],
    ["a method that was sent twice", { "x-original-method": "GET, POST", "x-original-uri": "/a" }],
    ["a host with a path", { "x-original-method": "GET", "x-original-uri": "/a", "x-forwarded-host": "a/b" }],
    ["a host with a user", { "x-original-method": "GET", "x-original-uri": "/a", "x-forwarded-host": "u@b" }],
  ])("%s", (_name, headers) => {
    expect(read(headers as Record<string, string>)).toMatchObject({ ok: false, error: { code: "request_invalid" } });
  });
});

test("an original URI at the bound passes, one past it is uri_too_long", () => {
  const uri = (length: number) => ({ "x-original-method": "GET", "x-original-uri": "/".padEnd(length, "x") });
  expect(read(uri(MAX_URI_BYTES)).ok).toBe(true);
  expect(read(uri(MAX_URI_BYTES + 1))).toMatchObject({ error: { code: "uri_too_long" } });
});

test("the answer names the holder, the limits and the deadline, has no body and is not stored", async () => {
  const limits = [{ name: "burst", limit: 9, remaining: 3, resetSeconds: 5, windowSeconds: 60 }];
  const record = proxyRecord({ notAfter: Date.UTC(2026, 10, 24), rotatedAt: Date.UTC(2026, 10, 23) });
  const answer = authorizedAnswer(
    { record, cost: 1, token: null, limits, degraded: false, refund: () => undefined },
    null,
    "req_1",
  );
  expect(answer.status).toBe(200);
  expect(await answer.text()).toBe("");
  expect(Object.fromEntries(answer.headers)).toEqual({
    "cache-control": "no-store",
    "x-latchkey-key-id": record.id,
    "x-latchkey-owner": "acme",
    "x-latchkey-environment": "live",
    "x-latchkey-scopes": "reports:read charges:*",
    "x-latchkey-workspace": "default",
    "x-request-id": "req_1",
    "ratelimit-policy": '"burst";q=9;w=60',
    ratelimit: '"burst";r=3;t=5',
    deprecation: `@${Date.UTC(2026, 10, 23) / 1_000}`,
    sunset: "Tue, 24 Nov 2026 00:00:00 GMT",
  });
});
