import { env } from "cloudflare:workers";
import { afterEach, describe, expect, test, vi } from "vitest";
import { MAX_HEADER_BYTES } from "../../src/constants.ts";
import { forward, type ForwardInput, type ForwardRoute } from "../../src/gateway/forward.ts";
import type { Admission } from "../../src/gateway/outcome.ts";
import { type Fields, readFields, surveyFields } from "../../src/gateway/survey.ts";
import { upstreamUrl, type UpstreamPlace, withoutParameter } from "../../src/gateway/upstream-url.ts";
import type { EdgeRecord } from "../../src/keys/record.ts";
import { proxyRecord } from "../support/proxy-record.ts";

const UPSTREAM = "http://origin.test";

afterEach(() => vi.restoreAllMocks());

function place(url: string, changes: Partial<UpstreamPlace> = {}): UpstreamPlace {
  return { target: { kind: "url", url: new URL(url) }, stripPrefix: false, pathPrefix: "/", ...changes };
}

function admission(record: EdgeRecord, changes: Partial<Admission> = {}): Admission {
  return { record, cost: 1, token: null, limits: [], degraded: false, refund: () => undefined, ...changes };
}

interface Call {
  readonly request?: Request;
  readonly route?: Partial<ForwardRoute>;
  readonly admission?: Admission | null;
  readonly env?: Env;
  readonly timingSince?: number;
}

function inputOf(call: Call): ForwardInput {
  const request = call.request ?? new Request("https://api.test/x");
  const survey = surveyFields(readFields(request.headers), null);
  if (!survey.ok) throw new Error(survey.error.code);
  const route = {
    upstream: { name: "test", ...place(UPSTREAM) },
    timeoutMs: 1_000,
    maxBodyBytes: 1_000,
    keyInQuery: null,
    ...call.route,
  };
  return {
    request,
    survey: survey.value,
    admission: call.admission === undefined ? admission(proxyRecord()) : call.admission,
    route,
    assertion: null,
    requestId: "req_1",
    traceparent: `00-${"1".repeat(32)}-${"2".repeat(16)}-00`,
    traceContinued: false,
    clientIp: null,
    env: call.env ?? env,
    timingSince: call.timingSince ?? null,
  };
}

/** The answer to the client when the origin answers with `response`. */
async function answerTo(call: Call, response = new Response("ok")): Promise<Response> {
  vi.spyOn(globalThis, "fetch").mockResolvedValue(response);
  const result = await forward(inputOf(call));
  if (!result.ok) throw new Error(result.failure.code);
  return result.response;
}

describe("the client's answer", () => {
  test("names the request and the limits, and replaces what the origin said of its own", async () => {
    const limits = [{ name: "burst", limit: 100, remaining: 57, resetSeconds: 12, windowSeconds: 60 }];
    const response = new Response("ok", {
      headers: { ratelimit: '"other";r=1', "x-request-id": "theirs", "x-other": "1" },
    });
    const { headers } = await answerTo({ admission: admission(proxyRecord(), { limits }) }, response);
    expect(headers.get("x-request-id")).toBe("req_1");
    expect(headers.get("ratelimit-policy")).toBe('"burst";q=100;w=60');
    expect(headers.get("ratelimit")).toBe('"burst";r=57;t=12');
    expect(headers.get("x-other")).toBe("1");
  });

  test("says nothing of limits that nobody set, nor of a replacement that is not going on", async () => {
    const { headers } = await answerTo({});
    for (const name of [
      "ratelimit",
      "ratelimit-policy",
      "deprecation",
      "sunset",
      "server-timing",
      "x-latchkey-degraded",
    ]) {
      expect(headers.get(name), name).toBeNull();
    }
  });

  test("tells a key that is being replaced since when, and until when it works", async () => {
    const rotatedAt = Date.UTC(2026, 10, 23, 12, 0, 0, 900);
    const notAfter = Date.UTC(2026, 10, 24, 12, 0, 0);
    const { headers } = await answerTo({ admission: admission(proxyRecord({ rotatedAt, notAfter })) });
    expect(headers.get("deprecation")).toBe(`@${Date.UTC(2026, 10, 23, 12) / 1_000}`);
    expect(headers.get("sunset")).toBe("Tue, 24 Nov 2026 12:00:00 GMT");
    const expiresAt = Date.UTC(2026, 10, 24, 6, 0, 0);
    const earlier = await answerTo({ admission: admission(proxyRecord({ rotatedAt, notAfter, expiresAt })) });
    expect(earlier.headers.get("sunset")).toBe("Tue, 24 Nov 2026 06:00:00 GMT");
  });

  test("shows Latchkey's own time when that is enabled, beside the origin's, and that it was degraded", async () => {
    const response = new Response("ok", { headers: { "server-timing": "db;dur=5" } });
    const { headers } = await answerTo(
      { timingSince: Date.now(), admission: admission(proxyRecord(), { degraded: true }) },
      response,
    );
    expect(headers.get("server-timing")).toMatch(/^db;dur=5, latchkey;dur=\d+$/);
    expect(headers.get("x-latchkey-degraded")).toBe("?1");
  });

  test.each([
    [null, "private"],
    ["max-age=60", "max-age=60, private"],
    ["no-store", "no-store"],
    ["public, max-age=60", "public, max-age=60"],
    ["s-maxage=60", "s-maxage=60"],
    ["private, max-age=5", "private, max-age=5"],
  ])("is kept out of shared caches unless the origin says otherwise: %s", async (said, becomes) => {
    const headers = said === null ? {} : { "cache-control": said };
    expect((await answerTo({}, new Response("ok", { headers }))).headers.get("cache-control")).toBe(becomes);
  });

  test("to a POST is never cached anyhow, and stays as it was", async () => {
    const request = new Request("https://api.test/x", { method: "POST", body: "x" });
    expect((await answerTo({ request })).headers.get("cache-control")).toBeNull();
  });
});

describe("the origin's request", () => {
  test("asks no cache of the zone: that one knows nothing of keys", async () => {
    await answerTo({});
    expect(vi.mocked(fetch).mock.calls[0]?.[1]).toMatchObject({
      cache: "no-store",
      redirect: "manual",
      encodeResponseBody: "manual",
    });
  });

  test("without a key, for a preflight, tells no identity and lets none through", async () => {
    const request = new Request("https://api.test/x", {
      method: "OPTIONS",
      headers: { "x-latchkey-owner": "mallory" },
    });
    const answer = await answerTo({ request, admission: null });
    const sent = new Headers(vi.mocked(fetch).mock.calls[0]?.[1]?.headers);
    expect([...sent.keys()].filter((name) => name.startsWith("x-latchkey"))).toEqual([]);
    expect(answer.headers.get("x-request-id")).toBe("req_1");
  });

  test("drops a tracestate whose trace does not go on", async () => {
    await answerTo({
      request: new Request("https://api.test/x", { headers: { tracestate: "a=1", traceparent: "rubbish" } }),
    });
    const sent = new Headers(vi.mocked(fetch).mock.calls[0]?.[1]?.headers);
    expect(sent.get("tracestate")).toBeNull();
    expect(sent.get("traceparent")).toMatch(/^00-1{32}/);
  });

  test("goes through a service binding under the client's own host", async () => {
    const calls: [string, RequestInit][] = [];
    const service = {
      fetch: (url: string, init: RequestInit) => {
        calls.push([url, init]);
        return Promise.resolve(new Response("from the service"));
      },
    };
    const upstream = {
      name: "svc",
      target: { kind: "service", binding: "BILLING" },
      stripPrefix: true,
      pathPrefix: "/billing",
    } as const;
    const request = new Request("https://api.test/billing/a%2Fb?x=1");
    const result = await forward(inputOf({ request, route: { upstream }, env: { ...env, BILLING: service } as Env }));
    expect(result.ok && (await result.response.text())).toBe("from the service");
    expect(calls[0]?.[0]).toBe("https://api.test/a%2Fb?x=1");
    expect(calls[0]?.[1]).not.toHaveProperty("cache");
  });

  test("a service binding that is not there, or an upstream without an address, is upstream_unreachable", async () => {
    vi.spyOn(console, "warn").mockReturnValue();
    const missing = {
      name: "svc",
      target: { kind: "service", binding: "NOT_THERE" },
      stripPrefix: false,
      pathPrefix: "/",
    } as const;
    const unset = { ...missing, target: { kind: "unset", variable: "SOME_URL" } } as const;
    for (const upstream of [missing, unset]) {
      const result = await forward(inputOf({ route: { upstream } }));
      expect(result.ok ? null : result.failure).toMatchObject({ code: "upstream_unreachable" });
      expect(JSON.stringify(result)).not.toMatch(/NOT_THERE|SOME_URL/);
    }
  });
});

describe("bounds", () => {
  test("header fields at the bound pass, one octet more is headers_too_large", () => {
    const fields = (bytes: number): Fields => readFields(new Headers({ "x-a": "x".repeat(bytes - "x-a".length - 4) }));
    expect(surveyFields(fields(MAX_HEADER_BYTES), null).ok).toBe(true);
    expect(surveyFields(fields(MAX_HEADER_BYTES + 1), null)).toMatchObject({ error: { code: "headers_too_large" } });
  });
});

test("what stays here is the same the first time, the second time, and after more names than are remembered", () => {
  const withheldOf = (name: string): readonly string[] => {
    const survey = surveyFields(readFields(new Headers({ [name]: "1" })), null);
    return survey.ok ? survey.value.withheld : [];
  };
  const judge = (mark: string): void => {
    for (const name of ["x-latchkey-owner", `x_latchkey-${mark}`, "x_real_ip", `x-forwarded-${mark}`, "upgrade"])
      expect(withheldOf(name), name).toEqual([name]);
    for (const name of ["accept", `x-${mark}`, `y_${mark}`]) expect(withheldOf(name), name).toEqual([]);
  };
  judge("a");
  judge("a");
  for (let index = 0; index < 600; index++) withheldOf(`x-name-${index}`);
  judge("b");
});

describe("the upstream's URL", () => {
  test.each([
    [place("http://o.test"), "https://api.test/a%2Fb/?x=%20", "http://o.test/a%2Fb/?x=%20"],
    [place("http://o.test/"), "https://api.test/", "http://o.test/"],
    [place("http://o.test/v2"), "https://api.test/x?y", "http://o.test/v2/x?y"],
    [place("http://o.test/v2/"), "https://api.test//x", "http://o.test/v2//x"],
    [place("http://o.test/", { pathPrefix: "/api", stripPrefix: true }), "https://api.test/api/x", "http://o.test/x"],
    [
      place("http://o.test/v1", { pathPrefix: "/api", stripPrefix: true }),
      "https://api.test/api?y=1",
      "http://o.test/v1/?y=1",
    ],
    [place("http://o.test", { pathPrefix: "/api" }), "https://api.test/api/x", "http://o.test/api/x"],
    [place("http://o.test", { pathPrefix: "/api", stripPrefix: true }), "https://api.test/apix", "http://o.test/apix"],
  ])("%o of %s", (upstream, url, becomes) => {
    expect(upstreamUrl(upstream, url, null)).toEqual({ ok: true, value: becomes });
  });

  test.each(["/../admin", "/x/%2e%2E/%2e./admin", "/x/..", "/.%2e/admin", "/x\\..\\..\\admin"])(
    "a path never climbs out of the upstream's base: %s",
    (path) => {
      for (const upstream of [
        place("http://o.test/tenants/7"),
        place("http://o.test", { pathPrefix: "/x", stripPrefix: true }),
      ]) {
        expect(upstreamUrl(upstream, `https://api.test${path}`, null).ok).toBe(false);
      }
    },
  );

  test.each(["https://api.test*", "https://api.test"])("a target without a path is refused: %s", (url) => {
    expect(upstreamUrl(place("http://o.test"), url, null).ok).toBe(false);
  });

  test.each([
    ["?api_key=k", ""],
    ["?a=1&api_key=k&b=%20", "?a=1&b=%20"],
    ["?api%5Fkey=k&a", "?a"],
    ["?api+key=k&api_keys=1&xapi_key=2", "?api+key=k&api_keys=1&xapi_key=2"],
    ["?a=api_key&&api_key", "?a=api_key&"],
    ["?", "?"],
    ["", ""],
  ])("a parameter is taken out of %s", (query, becomes) => {
    expect(withoutParameter(query, "api_key")).toBe(becomes);
  });
});
