import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { newId } from "../../src/platform/ids.ts";
import { isSampled, logError, logRequest, redact } from "../../src/platform/log.ts";
import { usageEvent } from "../support/usage-makers.ts";

const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

const anySecret = fc
  .array(fc.constantFrom(...BASE62.split("")), { minLength: 38, maxLength: 38 })
  .map((all) => all.join(""));
const anyKey = fc
  .tuple(fc.stringMatching(/^[a-z][a-z0-9]{1,11}$/), fc.constantFrom("live", "test"), anySecret)
  .map(([prefix, environment, secret]) => ({ key: [prefix, environment, secret].join("_"), secret }));

afterEach(() => {
  vi.restoreAllMocks();
});

describe("redaction", () => {
  test("no key of any prefix survives, wherever it stands", () => {
    fc.assert(
      fc.property(anyKey, fc.string(), fc.string(), ({ key, secret }, before, after) => {
        for (const text of [
          `${before}${key}${after}`,
          `${before} ${key.replaceAll("_", "%5F")} ${after}`,
          `/v1/${key}/x?k=${key}`,
          JSON.stringify({ key }),
        ]) {
          expect(redact(text)).not.toContain(secret);
          expect(redact(text)).not.toContain(secret.slice(0, 20));
        }
      }),
    );
  });

  test("no token survives, wherever it stands", () => {
    const part = fc.stringMatching(/^[A-Za-z0-9_-]{12,200}$/);
    fc.assert(
      fc.property(part, part, part, (header, payload, signature) => {
        const token = `eyJ${header}.eyJ${payload}.${signature}`;
        for (const text of [`fault in ${token}!`, `/x?t=${token}&a=1`, JSON.stringify({ token }), `DPoP ${token}`]) {
          expect(redact(text)).not.toContain(payload);
          expect(redact(text)).not.toContain(signature);
        }
      }),
    );
  });

  test("credentials without a form of their own go by where they stand", () => {
    const secret = "anything-at-all.123";
    for (const text of [
      `Authorization: Bearer ${secret}`,
      `authorization: basic ${secret}`,
      `{"Authorization":"Bearer ${secret}"}`,
      `X-API-Key: ${secret}`,
      `{"x-api-key":"${secret}"}`,
      `fetch failed: https://x.test/p?a=1&api_key=${secret}&b=2`,
      `access_token=${secret}`,
      `password: ${secret}`,
      `subject_token=${secret}`,
      `client_secret=${secret}`,
      `Authorization: DPoP ${secret}`,
    ]) {
      expect(redact(text), text).not.toContain(secret);
    }
    expect(redact("https://x.test/p?a=1&api_key=zzz&b=2")).toContain("b=2");
  });

  test("hints, ids and plain words stay", () => {
    const text = "key lk_live_AbCd…wxyz (key_01jd3m8y0000000000000000aa) was refused: key_revoked";
    expect(redact(text)).toBe(text);
  });

  test("a long text is cut, and a key at the cut does not survive in half", () => {
    fc.assert(
      fc.property(anyKey, fc.integer({ min: 1_940, max: 2_000 }), ({ key, secret }, at) => {
        const text = redact(`${"x ".repeat(1_000).slice(0, at)}${key} and more`);
        expect(text.length).toBeLessThanOrEqual(2_020);
        expect(text).not.toContain(secret.slice(0, 6));
      }),
    );
  });

  test("a hostile text takes no time", () => {
    const startedAt = performance.now();
    for (const text of [
      "a".repeat(100_000),
      "bearer ".repeat(20_000),
      "a_live".repeat(20_000),
      "key=".repeat(20_000),
      "%5f".repeat(30_000),
    ])
      redact(text);
    expect(performance.now() - startedAt).toBeLessThan(500);
  });
});

describe("log lines", () => {
  test("an error's message, stack and context are redacted, in one JSON line", () => {
    const secret = "Z".repeat(38);
    const key = ["lk", "live", secret].join("_");
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    logError(new Error(`cannot parse ${key}`), { path: `/x/${key}`, requestId: "req_1", tries: 2, nothing: undefined });
    logError(`thrown as text: ${key}`);
    const lines = log.mock.calls.map(([line]) => String(line));
    expect(lines).toHaveLength(2);
    for (const line of lines) {
      expect(line).not.toContain(secret);
      expect(line).not.toContain("\n");
    }
    expect(JSON.parse(String(lines[0]))).toMatchObject({
      level: "error",
      requestId: "req_1",
      tries: 2,
      error: "Error: cannot parse [redacted]",
    });
  });

  test("a request is logged when it is in the sample, and always when Latchkey failed", () => {
    const info = vi.spyOn(console, "log").mockImplementation(() => {});
    const error = vi.spyOn(console, "error").mockImplementation(() => {});
    const time = Date.now();
    logRequest(usageEvent({ time }), { hint: "lk_live_AbCd…wxyz", sampleRate: 0 });
    logRequest(usageEvent({ time, status: 500 }), { hint: null, sampleRate: 0 });
    expect(info).not.toHaveBeenCalled();
    logRequest(usageEvent({ time, status: 503, code: "verification_unavailable" }), { hint: null, sampleRate: 0 });
    expect(error).toHaveBeenCalledTimes(1);
    logRequest(usageEvent({ time }), { hint: "lk_live_AbCd…wxyz", sampleRate: 1 });
    expect(JSON.parse(String(info.mock.calls[0]?.[0]))).toMatchObject({
      level: "info",
      keyId: "key_a",
      hint: "lk_live_AbCd…wxyz",
      status: 200,
      code: "allowed",
    });
  });

  test("the sample is the share that was asked for, and the same wherever it is drawn", () => {
    const ids = Array.from({ length: 20_000 }, () => newId("req_", Date.now()));
    const sampled = ids.filter((id) => isSampled(id, 0.1));
    expect(sampled.length).toBeGreaterThan(1_700);
    expect(sampled.length).toBeLessThan(2_300);
    expect(sampled.every((id) => isSampled(id, 0.1) && isSampled(id, 0.5))).toBe(true);
    expect(ids.some((id) => isSampled(id, 0))).toBe(false);
    expect(ids.every((id) => isSampled(id, 1))).toBe(true);
  });
});
