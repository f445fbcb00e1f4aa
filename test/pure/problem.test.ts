import fc from "fast-check";
import { readFile, writeFile } from "node:fs/promises";
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { PROBLEMS } from "../../src/http/codes.ts";
import type { ProblemCode } from "../../src/http/codes.ts";
import { connectionNamed, isHopByHop } from "../../src/http/headers.ts";
import {
  exampleAnswer,
  isProblemCode,
  problemIndexPage,
  problemPage,
  problemPageHeaders,
} from "../../src/http/problem-page.ts";
import { PROBLEM_TEXTS } from "../../src/http/problem-texts.ts";
import { toProblem } from "../../src/http/problem.ts";
import { rateLimitHeaders } from "../../src/http/rate-limit-headers.ts";
import { newRequestId } from "../../src/http/request-id.ts";
import { continueTrace } from "../../src/http/traceparent.ts";
import { newId } from "../../src/platform/ids.ts";
import { randomHex } from "../../src/platform/random.ts";

const CODES = Object.keys(PROBLEMS).filter(isProblemCode);
const CONTEXT = { requestId: "req_1", realm: "latchkey" };
const LIMITS = [
  { name: "burst", limit: 100, remaining: 0, resetSeconds: 12, windowSeconds: 60 },
  {
    name: "monthly",
    limit: 10_000,
    remaining: 9_000,
    resetSeconds: 600_000,
    windowSeconds: 2_592_000,
  },
];
const answer = (code: ProblemCode, more: object = {}) => toProblem({ code, detail: "why", ...more }, CONTEXT);

describe("every refusal", () => {
  test.each(CODES)(
    "%s is a problem with its status, type, title, detail, code and request id, and is not cached",
    async (code) => {
      const response = answer(code);
      expect(response.status).toBe(PROBLEMS[code].status);
      expect(response.headers.get("content-type")).toBe("application/problem+json");
      expect(response.headers.get("cache-control")).toBe("no-store");
      expect(response.headers.get("x-request-id")).toBe("req_1");
      expect(await response.json()).toEqual({
        type: `/_latchkey/problems/${code}`,
        title: PROBLEMS[code].title,
        status: response.status,
        detail: "why",
        code,
        requestId: "req_1",
      });
    },
  );

  test("carries the challenge of RFC 6750 for its case, and no other refusal has one", () => {
    const expected = new Map<ProblemCode, string>([
      ["key_missing", 'Bearer realm="latchkey"'],
      ["credential_conflict", 'Bearer realm="latchkey", error="invalid_request"'],
      ["credential_in_query", 'Bearer realm="latchkey", error="invalid_request"'],
      ["scope_insufficient", 'Bearer realm="latchkey", error="insufficient_scope", scope="a:read b:write"'],
    ]);
    const invalid = ["key_invalid", "key_expired", "key_revoked", "key_disabled", "key_not_yet_valid"] as const;
    const tokens = ["token_invalid", "token_expired", "token_revoked"] as const;
    const signatures = ["signature_required", "signature_invalid"] as const;
    for (const code of [...invalid, ...tokens, ...signatures])
      expected.set(code, 'Bearer realm="latchkey", error="invalid_token"');
    // RFC 9449 §7.1.
    const algorithms = 'algs="ES256 ES384 Ed25519 EdDSA PS256 RS256"';
    expected.set("dpop_proof_invalid", `DPoP realm="latchkey", error="invalid_dpop_proof", ${algorithms}`);
    expected.set("dpop_nonce_required", `DPoP realm="latchkey", error="use_dpop_nonce", ${algorithms}`);
    for (const code of CODES) {
      const challenge = answer(code, { requiredScopes: ["a:read", "b:write"] }).headers.get("www-authenticate");
      expect(challenge, code).toBe(expected.get(code) ?? null);
    }
  });

  test("cannot be broken out of by a realm", () => {
    const response = toProblem({ code: "key_missing", detail: "" }, { requestId: "req_1", realm: 'a"b\\c\r\nX: y' });
    expect(response.headers.get("www-authenticate")).toBe('Bearer realm="a\\"b\\\\cX: y"');
  });
});

describe("Retry-After", () => {
  test("is a whole number of seconds, at least 1, never earlier than asked nor than `t` of a limit that refused", () => {
    const seconds = fc.double({ min: -5, max: 1e6, noNaN: true });
    fc.assert(
      fc.property(seconds, fc.nat(1_000_000), fc.nat(1_000_000), (asked, reset, otherReset) => {
        const limits = [
          { name: "burst", limit: 1, remaining: 0, resetSeconds: reset, windowSeconds: 60 },
          { name: "other", limit: 1, remaining: 1, resetSeconds: otherReset, windowSeconds: 60 },
        ];
        const header =
          answer("rate_limited", {
            retryAfterSeconds: asked,
            violated: ["burst"],
            limits,
          }).headers.get("retry-after") ?? "";
        expect(header).toMatch(/^[1-9][0-9]*$/);
        const value = Number(header);
        expect(value).toBeGreaterThanOrEqual(asked);
        expect(value).toBeGreaterThanOrEqual(reset);
        // And no later than it must be: a limit that did not refuse is not waited for.
        expect(value).toBe(Math.max(1, Math.ceil(asked), reset));
      }),
    );
  });

  test("stands on every 429 and 503 and on nothing else", () => {
    for (const code of CODES) {
      const { status } = PROBLEMS[code];
      expect(answer(code, { retryAfterSeconds: 3 }).headers.get("retry-after"), code).toBe(
        status === 429 || status === 503 ? "3" : null,
      );
      expect(answer(code).headers.has("retry-after"), code).toBe(status === 429 || status === 503);
    }
    expect(answer("rate_limited", { retryAfterSeconds: Infinity }).headers.get("retry-after")).toMatch(/^[1-9][0-9]*$/);
  });
});

describe("what is left of a limit", () => {
  test("is told on 429 alone: elsewhere it would say that a key exists", async () => {
    for (const code of CODES) {
      const response = answer(code, { limits: LIMITS, violated: ["burst"] });
      const told = PROBLEMS[code].status === 429;
      expect(response.headers.get("ratelimit"), code).toBe(told ? '"burst";r=0;t=12, "monthly";r=9000;t=600000' : null);
      expect(response.headers.get("ratelimit-policy"), code).toBe(
        told ? '"burst";q=100;w=60, "monthly";q=10000;w=2592000' : null,
      );
      expect(await response.json(), code).toHaveProperty("code", code);
      const body: unknown = await answer(code, { limits: LIMITS, violated: ["burst"] }).json();
      expect(Object.hasOwn(Object(body), "violatedPolicies"), code).toBe(told);
    }
  });

  test("is in whole numbers that never promise too much, in structured fields that always parse", () => {
    const name = fc.string({ unit: "binary", minLength: 1, maxLength: 20 });
    const number = fc.double({ min: -10, max: 1e13, noNaN: true });
    const limit = fc.record({
      name,
      limit: number,
      remaining: number,
      resetSeconds: number,
      windowSeconds: number,
    });
    fc.assert(
      fc.property(fc.array(limit, { minLength: 1, maxLength: 3 }), (limits) => {
        const headers = rateLimitHeaders(limits);
        const item = '"(?:[ !#-[\\]-~]|\\\\["\\\\])*"';
        const integer = "[0-9]{1,15}";
        expect(headers?.policy).toMatch(
          new RegExp(`^${item};q=${integer};w=[1-9][0-9]{0,14}(?:, ${item};q=${integer};w=[1-9][0-9]{0,14})*$`),
        );
        expect(headers?.state).toMatch(
          new RegExp(`^${item};r=${integer};t=${integer}(?:, ${item};r=${integer};t=${integer})*$`),
        );
        // A header that the runtime would refuse throws here.
        expect(() => new Headers({ RateLimit: headers?.state ?? "" })).not.toThrow();
      }),
    );
    expect(
      rateLimitHeaders([{ name: "a", limit: 1, remaining: 0.9, resetSeconds: 0.1, windowSeconds: 60 }])?.state,
    ).toBe('"a";r=0;t=1');
    expect(
      rateLimitHeaders([{ name: 'a"\\', limit: 1, remaining: 1, resetSeconds: 1, windowSeconds: 1 }])?.policy,
    ).toBe('"a\\"\\\\";q=1;w=1');
    expect(rateLimitHeaders([])).toBeNull();
  });
});

test("faults of a body are listed, and a 405 says what is allowed", async () => {
  const errors = [{ pointer: "/name", detail: "Too long." }];
  expect(await answer("request_invalid", { errors }).json()).toMatchObject({ errors });
  expect(answer("method_not_allowed", { allow: ["GET", "POST"] }).headers.get("allow")).toBe("GET, POST");
});

describe("the pages on the codes", () => {
  test.each(CODES)("%s has a page with its texts and an example, and no script", (code) => {
    const page = problemPage(code) ?? "";
    const text = page
      .replaceAll("&lt;", "<")
      .replaceAll("&gt;", ">")
      .replaceAll("&quot;", '"')
      .replaceAll("&amp;", "&");
    for (const part of [
      PROBLEMS[code].title,
      code,
      PROBLEM_TEXTS[code].meaning,
      PROBLEM_TEXTS[code].caller,
      PROBLEM_TEXTS[code].operator,
      exampleAnswer(code),
    ]) {
      expect(text).toContain(part);
    }
    expect(page).toContain('<html lang="en">');
    expect(page).toContain('name="viewport"');
    expect(page).not.toMatch(/<script|https?:\/\/|\son\w+=|style="/i);
    expect(problemIndexPage()).toContain(`href="/_latchkey/problems/${code}"`);
  });

  test("there is none for anything else", () => {
    for (const text of ["", "nope", "constructor", "__proto__", "key_missing/", "<script>"])
      expect(problemPage(text), text).toBeNull();
  });

  test("may load nothing, and their policy names the very style that they contain", () => {
    const style = /<style>([^]*)<\/style>/.exec(problemIndexPage())?.[1] ?? "";
    const digest = createHash("sha256").update(style).digest("base64");
    expect(problemPageHeaders()["Content-Security-Policy"]).toContain(
      `default-src 'none'; style-src 'sha256-${digest}';`,
    );
    expect(problemPage("key_missing")).toContain(`<style>${style}</style>`);
  });
});

test("docs/errors.md says what the pages say", async () => {
  const sections = CODES.map((code) => {
    const { meaning, caller, operator } = PROBLEM_TEXTS[code];
    const { status, title } = PROBLEMS[code];
    return `## \`${code}\`\n\n**${title}**, HTTP status ${status}. ${markdown(meaning)}\n\n- If you sent the request: ${markdown(caller)}\n- If you run this gateway: ${markdown(operator)}\n\n\`\`\`http\n${exampleAnswer(code)}\n\`\`\`\n`;
  });
  const rows = CODES.map((code) => `- ${PROBLEMS[code].status} [\`${code}\`](#${code}): ${PROBLEMS[code].title}`);
  const intro =
    "Every refusal is `application/problem+json` (RFC 9457). `code` is stable; `type` is the path of a page with the text below.\n" +
    "This file is made from `src/http/codes.ts` and `src/http/problem-texts.ts`: change those, then run\n`UPDATE_DOCS=1 npx vitest run --project pure test/pure/problem.test.ts`.";
  const expected = `# Error codes\n\n${intro}\n\n${rows.join("\n")}\n\n${sections.join("\n")}`;
  const file = fileURLToPath(import.meta.resolve("../../docs/errors.md"));
  if (process.env["UPDATE_DOCS"] === "1") await writeFile(file, expected);
  expect(await readFile(file, "utf8")).toBe(expected);
});

function markdown(text: string): string {
  return text.replace(/[*_<]/g, "\\$&");
}

describe("request ids and traces", () => {
  test("a request id is ours, prefixed, and new each time", () => {
    const ids = new Set(Array.from({ length: 1_000 }, () => newRequestId(Date.now())));
    expect(ids.size).toBe(1_000);
    for (const id of ids) expect(id).toMatch(/^req_[0-9a-z]{26}$/);
  });

  const digits = (length: number) => "ab".repeat(length / 2);
  const traceId = "0af7651916cd43dd8448eb211c80319c";

  test("a valid traceparent goes on with the same trace, a new span and the sampled flag alone", () => {
    const span = "ab".repeat(8);
    for (const [flags, sent] of [
      ["01", "01"],
      ["00", "00"],
      ["03", "01"],
      ["fe", "00"],
    ] as const) {
      const trace = continueTrace(`00-${traceId}-b7ad6b7169203331-${flags}`, digits);
      expect(trace).toEqual({
        traceId,
        traceparent: `00-${traceId}-${span}-${sent}`,
        continued: true,
        sampled: sent === "01",
      });
    }
    expect(continueTrace(`cc-${traceId}-b7ad6b7169203331-01-what-comes-later`, digits).continued).toBe(true);
  });

  test("anything else starts a new trace", () => {
    const own = "ab".repeat(16);
    for (const bad of [
      null,
      "",
      "00",
      `ff-${traceId}-b7ad6b7169203331-01`,
      `00-${"0".repeat(32)}-b7ad6b7169203331-01`,
      `00-${traceId}-${"0".repeat(16)}-01`,
      `00-${traceId.toUpperCase()}-b7ad6b7169203331-01`,
      `00-${traceId}-b7ad6b7169203331-01-x`,
      `00-${traceId}-b7ad6b7169203331-1`,
      `00-${traceId}-b7ad6b7169203331-01, 00-${traceId}-b7ad6b7169203331-01`,
      `cc-${traceId}-b7ad6b7169203331-01.x`,
      `cc-${traceId}-b7ad6b7169203331-01-${"x".repeat(600)}`,
    ]) {
      expect(continueTrace(bad, digits), String(bad)).toEqual({
        traceId: own,
        traceparent: `00-${own}-${"ab".repeat(8)}-00`,
        continued: false,
        sampled: false,
      });
    }
  });

  test("random digits are hex, as many as were asked for, and nobody's twice, also when the store is drawn anew", () => {
    const drawn = Array.from({ length: 1_000 }, (_, index) => randomHex(index % 2 === 0 ? 32 : 16));
    expect(new Set(drawn).size).toBe(1_000);
    for (const [index, text] of drawn.entries())
      expect(text).toMatch(index % 2 === 0 ? /^[0-9a-f]{32}$/ : /^[0-9a-f]{16}$/);
    const counts = new Map<string, number>();
    for (const digit of drawn.join("")) counts.set(digit, (counts.get(digit) ?? 0) + 1);
    // 24,000 digits: 1,500 of each, and 300 away is eight standard deviations.
    for (const [digit, count] of counts) expect(Math.abs(count - 1_500), digit).toBeLessThan(300);
    expect(counts.size).toBe(16);
  });

  test("random characters of an id are Crockford's digits, each drawn alike, and no id comes twice", () => {
    const drawn = Array.from({ length: 2_000 }, () => newId("req_", 1));
    expect(new Set(drawn).size).toBe(2_000);
    const counts = new Map<string, number>();
    for (const text of drawn) for (const digit of text.slice(-16)) counts.set(digit, (counts.get(digit) ?? 0) + 1);
    expect([...counts.keys()].sort().join("")).toBe("0123456789abcdefghjkmnpqrstvwxyz");
    // 32,000 characters: 1,000 of each, and 250 away is eight standard deviations.
    for (const [digit, count] of counts) expect(Math.abs(count - 1_000), digit).toBeLessThan(250);
  });

  test("no id is ever all zeros", () => {
    expect(continueTrace(null, (length) => "0".repeat(length)).traceparent).toMatch(/^00-0{31}1-0{15}1-00$/);
  });
});

test("hop-by-hop fields are those of RFC 9110 and those that Connection names, in any case", () => {
  for (const name of [
    "connection",
    "keep-alive",
    "te",
    "transfer-encoding",
    "upgrade",
    "proxy-authorization",
    "trailer",
  ])
    expect(isHopByHop(name), name).toBe(true);
  for (const name of ["content-type", "x-other", "content-length", "via", ""])
    expect(isHopByHop(name), name).toBe(false);
  expect([...connectionNamed("close, X-Mine ,, Keep-Alive")]).toEqual(["close", "x-mine", "keep-alive"]);
  for (const naming of [null, "", " , ", "close", "keep-alive"])
    expect(connectionNamed(naming).has("x-mine")).toBe(false);
});
