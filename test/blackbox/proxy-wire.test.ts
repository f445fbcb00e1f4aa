import http from "node:http";
import zlib from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { exchangeRaw, startProxyLab } from "../support/proxy-lab.ts";
import type { ProxyLab } from "../support/proxy-lab.ts";
import { readAll, startProxyOrigin, startRawOrigin } from "../support/proxy-origin.ts";
import type { ProxyOrigin } from "../support/proxy-origin.ts";

/** What stands on the wire between client, gateway and origin: real sockets on both sides. */

const KEY = `lk_live_${"a".repeat(38)}`;
const AUTH = { authorization: `Bearer ${KEY}` };
const PACKED = {
  gzip: zlib.gzipSync("hello ".repeat(100)),
  br: zlib.brotliCompressSync("hello ".repeat(100)),
  zstd: Buffer.from("not unpacked by anyone"),
};

let origin: ProxyOrigin;
let lab: ProxyLab;

beforeAll(async () => {
  origin = await startProxyOrigin({
    "/cookies": (_request, response) => {
      response.writeHead(200, "Fine Thing", [
        "Set-Cookie",
        "a=1; Expires=Wed, 01 Jan 2031 00:00:00 GMT",
        "Set-Cookie",
        "b=2",
        "X-Dup",
        "1",
        "X-Dup",
        "2",
        "Connection",
        "X-Hop, keep-alive",
        "X-Hop",
        "1",
        "Proxy-Authenticate",
        "Basic",
        "Proxy-Connection",
        "keep-alive",
        "Keep-Alive",
        "timeout=77",
        "TE",
        "trailers",
        "Trailer",
        "X-Later",
        "Upgrade",
        "h2c",
      ]);
      response.end("ok");
    },
    "/gzip": (_request, response) =>
      response.writeHead(200, { "content-encoding": "gzip", "content-length": PACKED.gzip.length }).end(PACKED.gzip),
    "/gzip-chunked": (_request, response) => {
      response.writeHead(200, { "content-encoding": "gzip" });
      response.write(PACKED.gzip.subarray(0, 10));
      response.end(PACKED.gzip.subarray(10));
    },
    "/br-chunked": (_request, response) => {
      response.writeHead(200, { "content-encoding": "br" });
      response.write(PACKED.br.subarray(0, 3));
      response.end(PACKED.br.subarray(3));
    },
    "/zstd": (_request, response) => response.writeHead(200, { "content-encoding": "zstd" }).end(PACKED.zstd),
    "/redirect": (_request, response) => response.writeHead(307, { location: "../x/%2e/y?z=%20" }).end(),
    "/redirect-absolute": (_request, response) =>
      response.writeHead(302, { location: "http://internal.example/a%2Fb" }).end(),
    "/head": (_request, response) => response.writeHead(200, { "content-length": 1_234, etag: '"x"' }).end(),
    "/204": (_request, response) => response.writeHead(204).end(),
    "/205": (_request, response) => response.writeHead(205, { "content-length": 0 }).end(),
    "/304": (_request, response) => response.writeHead(304, { etag: '"x"' }).end(),
    "/early": (request, response, seen) => {
      response.writeEarlyHints({ link: "</a.css>; rel=preload" });
      readAll(request, seen, () => response.end("ok"));
    },
  });
  lab = await startProxyLab(origin.url);
});

afterAll(async () => {
  await lab.stop();
  await origin.close();
});

interface Answer {
  readonly status: number;
  readonly message: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
}

/** No library rewrites anything on the way. */
function send(path: string, options: http.RequestOptions = {}, body?: string | Buffer): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = Array.isArray(options.headers) ? options.headers : Object.assign({}, AUTH, options.headers);
    const request = http.request(lab.url, { ...options, path, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          message: response.statusMessage ?? "",
          headers: response.headers,
          rawHeaders: response.rawHeaders,
          body: Buffer.concat(chunks),
        }),
      );
    });
    request.on("error", reject);
    request.end(body);
  });
}

describe("the request's target reaches the origin as it was sent", () => {
  test.each([
    "/a%2Fb/%20/%C3%A9/%7e",
    "//x//y/",
    "/a;b=c/@:!$&'()*+,=~-_.",
    "/a?x=%20+&y=%2B&&=&z",
    "/a?q=%2e%2e/%2F",
    "/%00?%00",
  ])("%s", async (path) => {
    await send(path);
    expect(origin.seen(path)).toBeDefined();
  });

  test("only the parameter with the key is taken out of the query; the others keep their spelling and order", async () => {
    await send(`/public?b=%7E+1&api_key=${KEY}&a=%2f&b=&api%5Fkey=${KEY}&c`, { headers: { authorization: "" } });
    expect(origin.seen("/public?b=%7E+1&a=%2f&b=&c")).toBeDefined();
  });
});

describe("header fields", () => {
  test("repeated fields arrive apart, and the origin's answer keeps its own apart", async () => {
    const answer = await send("/cookies", {
      headers: ["Host", "api.test", "Authorization", AUTH.authorization, "X-Dup", "a", "X-Dup", "b"] as never,
    });
    const sent = origin.seen("/cookies")?.rawHeaders ?? [];
    expect(sent.filter((_, index) => sent[index - 1]?.toLowerCase() === "x-dup")).toEqual(["a", "b"]);
    expect(answer.headers["set-cookie"]).toEqual(["a=1; Expires=Wed, 01 Jan 2031 00:00:00 GMT", "b=2"]);
    const dups = answer.rawHeaders.filter((_, index) => answer.rawHeaders[index - 1]?.toLowerCase() === "x-dup");
    expect(dups).toEqual(["1", "2"]);
    expect(answer.message).toBe("Fine Thing");
  });

  test("fields of one hop stay on it, both ways, those that Connection names too", async () => {
    const answer = await send("/cookies", {
      headers: {
        connection: "close, X-Private-Hop",
        "x-private-hop": "1",
        "keep-alive": "timeout=4",
        te: "trailers",
        upgrade: "h2c",
        "proxy-connection": "x",
        "proxy-authorization": "Basic x",
        "x-kept": "1",
      },
    });
    const sent = origin.seen("/cookies")?.headers ?? {};
    expect(sent["x-kept"]).toBe("1");
    for (const name of ["x-private-hop", "keep-alive", "te", "upgrade", "proxy-connection", "proxy-authorization"]) {
      expect(sent[name], name).toBeUndefined();
    }
    const hop = ["x-hop", "proxy-authenticate", "proxy-connection", "keep-alive", "te", "trailer", "upgrade"];
    for (const name of hop) expect(answer.headers[name], name).toBeUndefined();
    expect(answer.headers.connection ?? "close").toMatch(/^(?:close|keep-alive)$/);
  });

  test("the credential never arrives, wherever it stood, and cookies do", async () => {
    const basic = Buffer.from(`${KEY}:`).toString("base64");
    const ways: Record<string, string>[] = [
      { authorization: `Bearer ${KEY}` },
      { authorization: `bearer  ${KEY}` },
      { authorization: `Basic ${basic}` },
      { authorization: "", "x-api-key": KEY },
      {
        authorization: `Bearer ${KEY}`,
        "x-api-key": KEY,
        "x-other": `see ${KEY}`,
        referer: `https://a.test/?k=${KEY}`,
      },
    ];
    for (const [index, headers] of ways.entries()) {
      await send(`/credential/${index}`, { headers: { ...headers, cookie: "a=1; b=2" } });
      const sent = origin.seen(`/credential/${index}`);
      expect(sent?.headers.cookie).toBe("a=1; b=2");
      expect(JSON.stringify(sent?.rawHeaders)).not.toContain(KEY);
      expect(JSON.stringify(sent?.rawHeaders)).not.toContain(basic);
    }
  });

  test("a log-in that is the origin's own arrives beside a key in X-API-Key", async () => {
    const authorization = `Basic ${Buffer.from("ann:secret").toString("base64")}`;
    await send("/origin-login", { headers: { authorization, "x-api-key": KEY } });
    expect(origin.seen("/origin-login")?.headers.authorization).toBe(authorization);
    expect(origin.seen("/origin-login")?.headers["x-api-key"]).toBeUndefined();
  });

  test("identity is Latchkey's alone: no spelling of a client's own gets through", async () => {
    await send("/identity", {
      headers: {
        host: "api.test:8443",
        "X-LATCHKEY-OWNER": "mallory",
        "x-latchkey-admin": "1",
        x_latchkey_owner: "mallory",
        "X-Latchkey_Scopes": "admin:*",
        "x-forwarded-for": "198.51.100.1",
        "x-forwarded-prefix": "/x",
        x_forwarded_for: "198.51.100.1",
        forwarded: "for=198.51.100.1",
        "x-real-ip": "198.51.100.1",
        "x-original-url": "/admin",
        "x-http-method-override": "DELETE",
        "x-request-id": "mine",
      },
    });
    const sent = origin.seen("/identity")?.headers ?? {};
    const about = Object.fromEntries(
      Object.entries(sent).filter(([name]) => /latchkey|forwarded|original|override|real/.test(name)),
    );
    expect(about).toEqual({
      "x-latchkey-key-id": "key_01hzzzzzzzzzzzzzzzzzzzzzzz",
      "x-latchkey-owner": "acme",
      "x-latchkey-environment": "live",
      "x-latchkey-scopes": "reports:read charges:*",
      "x-latchkey-workspace": "default",
      "x-forwarded-for": "192.0.2.1",
      "x-forwarded-proto": "http",
      "x-forwarded-host": "api.test:8443",
    });
    expect(sent["x-request-id"]).toBe("req_lab");
    expect(sent["traceparent"]).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/);
  });
});

describe("answers pass as they are", () => {
  test.each([
    ["/gzip", "gzip", PACKED.gzip],
    ["/gzip-chunked", "gzip", PACKED.gzip],
    ["/br-chunked", "br", PACKED.br],
    ["/zstd", "zstd", PACKED.zstd],
  ])("%s: the octets of a coded body are the origin's", async (path, coding, octets) => {
    const answer = await send(path, { headers: { "accept-encoding": "gzip, br, zstd" } });
    expect(answer.headers["content-encoding"]).toBe(coding);
    expect(answer.body.equals(octets)).toBe(true);
    expect(origin.seen(path)?.headers["accept-encoding"]).toBe("gzip, br, zstd");
  });

  test("no coding is asked for that the client did not ask for", async () => {
    await send("/plain");
    expect(origin.seen("/plain")?.headers["accept-encoding"]).toBeUndefined();
  });

  test("redirects are passed, not followed, and Location is untouched", async () => {
    expect(await send("/redirect")).toMatchObject({ status: 307, headers: { location: "../x/%2e/y?z=%20" } });
    expect(await send("/redirect-absolute")).toMatchObject({
      status: 302,
      headers: { location: "http://internal.example/a%2Fb" },
    });
  });

  test("HEAD keeps the length that a GET would have, without a body", async () => {
    const answer = await send("/head", { method: "HEAD" });
    expect(answer).toMatchObject({ status: 200, headers: { "content-length": "1234", etag: '"x"' } });
    expect(answer.body.length).toBe(0);
    expect(origin.seen("/head")?.method).toBe("HEAD");
  });

  test.each([204, 205, 304])("%i passes", async (status) => {
    expect((await send(`/${status}`)).status).toBe(status);
  });

  test.each(["OPTIONS", "DELETE", "PATCH", "PROPFIND", "QUERY"])("%s keeps its method", async (method) => {
    const answer = await send(`/method/${method}`, { method });
    // Methods that the runtime does not know are refused by the server in front of the Worker.
    if (answer.status === 501) expect(origin.seen(`/method/${method}`)).toBeUndefined();
    else expect(origin.seen(`/method/${method}`)?.method).toBe(method);
  });
});

describe("request bodies", () => {
  test("a body on GET arrives", async () => {
    const answer = await send("/get-body", { method: "GET", headers: { "content-length": "3" } }, "abc");
    expect(answer.status).toBe(200);
    expect(origin.seen("/get-body")).toMatchObject({ method: "GET", bodyBytes: 3 });
  });

  test("an empty body on GET and on POST is no trouble", async () => {
    expect((await send("/get-empty", { headers: { "content-length": "0" } })).status).toBe(200);
    expect((await send("/post-empty", { method: "POST", headers: { "content-length": "0" } })).status).toBe(200);
    expect(origin.seen("/post-empty")?.headers["content-length"]).toBe("0");
  });

  test("a body of known length keeps it; a chunked one stays chunked, without trailers", async () => {
    await send("/known", { method: "POST", headers: { "content-length": "5" } }, "12345");
    expect(origin.seen("/known")).toMatchObject({ bodyBytes: 5, headers: { "content-length": "5" } });
    const head = `POST /chunked HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${KEY}\r\nTrailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n`;
    const answer = await exchangeRaw(lab.port, `${head}3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n`, 1_000);
    expect(answer).toContain("200 OK");
    expect(origin.seen("/chunked")).toMatchObject({ bodyBytes: 3, complete: true });
    expect(origin.seen("/chunked")?.headers["transfer-encoding"]).toBe("chunked");
    expect(origin.seen("/chunked")?.headers["trailer"]).toBeUndefined();
  });

  test("Expect: 100-continue is answered here and does not reach the origin", async () => {
    const head = `POST /expect HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${KEY}\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n`;
    const early = await exchangeRaw(lab.port, head, 500);
    expect(early).toContain("HTTP/1.1 100 Continue");
    const answer = await exchangeRaw(lab.port, `${head}abc`, 1_000);
    expect(answer).toContain("200 OK");
    expect(origin.seen("/expect")).toMatchObject({ bodyBytes: 3, complete: true });
    expect(origin.seen("/expect")?.headers["expect"]).toBeUndefined();
  });

  test("interim answers do not disturb the final one", async () => {
    expect((await send("/early", { method: "POST" }, "abc")).body.toString()).toBe("ok");
  });

  test("two lengths or a length beside chunks never reach the origin as sent", async () => {
    const head = `POST /smuggle HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${KEY}\r\n`;
    const twice = await exchangeRaw(lab.port, `${head}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd`, 500);
    expect(twice).toContain("400 Bad Request");
    await exchangeRaw(
      lab.port,
      `${head}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`,
      500,
    );
    const seen = origin.seen("/smuggle");
    if (seen !== undefined)
      expect([seen.headers["content-length"], seen.headers["transfer-encoding"]]).toContain(undefined);
  });
});

describe("a failed upstream", () => {
  test.each([
    ["resets", null],
    ["does not speak HTTP", "NOT HTTP AT ALL\r\n\r\n"],
    ["answers with a status outside of HTTP", "HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n"],
  ])("that %s is upstream_unreachable, without its address", async (_name, octets) => {
    const raw = await startRawOrigin(octets);
    const answer = await send("/x", { headers: { "x-lab-upstream": raw.url } });
    expect(answer).toMatchObject({ status: 502 });
    expect(answer.body.toString()).toBe("upstream_unreachable");
    expect(JSON.stringify(answer.headers)).not.toContain(new URL(raw.url).port);
    await raw.close();
  });

  test("that refuses, or has no address, is upstream_unreachable", async () => {
    for (const upstream of ["http://127.0.0.1:1", "http://no-such-host.invalid"]) {
      const answer = await send("/x", { headers: { "x-lab-upstream": upstream } });
      expect(answer).toMatchObject({ status: 502 });
      expect(JSON.stringify(answer.headers) + answer.body.toString()).not.toMatch(/127\.0|no-such/);
    }
  });
});
