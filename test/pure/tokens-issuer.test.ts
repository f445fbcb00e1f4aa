import { describe, expect, test } from "vitest";
import { isIssuer, issuerOf } from "../../src/tokens/issuer.ts";

const UPSTREAMS = { upstreams: { api: { url: "https://origin.test" } } };

describe("the issuer of tokens", () => {
  test.each([
    ["https://api.test/", "https://api.test"],
    ["https://api.test/a/b?c=http://d/e", "https://api.test"],
    ["http://localhost:8787/_latchkey/oauth/token", "http://localhost:8787"],
    ["https://api.test", "https://api.test"],
  ])("of %s is the origin that the request came to, where none is configured", (url, issuer) => {
    expect(issuerOf(UPSTREAMS, url)).toBe(issuer);
    expect(issuerOf({ ...UPSTREAMS, tokens: {} }, url)).toBe(issuer);
  });

  test("is the configured one on every host", () => {
    const config = { ...UPSTREAMS, tokens: { issuer: "https://issuer.test" } };
    expect(issuerOf(config, "https://api.test/a")).toBe("https://issuer.test");
  });

  test.each([
    "https://api.test",
    "https://api.test:8443",
    "http://localhost:8787",
    "http://127.0.0.1",
    "http://[::1]:1",
  ])("may be %s", (text) => expect(isIssuer(text)).toBe(true));

  test.each([
    "",
    "api.test",
    "https://api.test/",
    "https://api.test/tenant",
    "https://api.test?a",
    "https://api.test#a",
    "https://user@api.test",
    "https://API.test",
    "https://api.test:443",
    "http://api.test",
    "ftp://api.test",
    "null",
  ])("may not be “%s”", (text) => expect(isIssuer(text)).toBe(false));
});
