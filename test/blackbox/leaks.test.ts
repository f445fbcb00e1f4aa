import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { exchangeOctets, inParallel, openTarget, strangerKey } from "../support/contract.ts";
import type { Answer, SendOptions, Target } from "../support/contract.ts";
import type { IssuedKey } from "../support/control.ts";

/**
 * "Nothing that Latchkey prints, stores, logs, sends or answers contains a raw key, other than the one answer that creates it."
 * Keys are put wherever a client can put one, rightly and wrongly; then everything that can be reached is searched for them.
 */

let target: Target;
/** Every key of this file, good and bad. */
const keys: string[] = [];
/** Answers of Latchkey's own, other than those that created a key and what the demo origin echoed. */
const answers: { readonly what: string; readonly text: string }[] = [];
let good: IssuedKey;
let admin: IssuedKey;

const basic = (user: string): string => `Basic ${Buffer.from(`${user}:`).toString("base64")}`;

/** What betrays a key: its random characters, as they are or as Basic credentials carry them. The hint shows 4 and 4 of 38. */
function tracesOf(key: string): string[] {
  const whole = /^lk_(?:live|test)_/.test(key) ? key.slice(8, 40) : key;
  return [
    whole,
    Buffer.from(`${key}:`).toString("base64").replace(/=+$/, "").slice(0, -2),
    Buffer.from(key).toString("hex"),
  ];
}

function findLeaks(where: string, content: Buffer, among: readonly string[] = keys): string[] {
  return among.flatMap((key, index) =>
    tracesOf(key).some((trace) => content.includes(trace)) ? [`key ${index} in ${where}`] : [],
  );
}

function keep<T extends string | undefined>(key: T): T {
  if (key !== undefined) keys.push(key);
  return key;
}

/** A refusal or an answer of Latchkey's own is kept; what the origin echoes is the client's own request. */
async function ask(what: string, target_: string, options: SendOptions = {}): Promise<Answer> {
  const answer = await target.send(target_, options);
  if (!answer.text.includes("rawHeaders"))
    answers.push({ what, text: `${answer.rawHeaders.join("\n")}\n\n${answer.text}` });
  return answer;
}

const root = (
  method: string,
  call: string,
  body?: object,
  headers: Record<string, string> = {},
  what = `${method} ${call}`,
): Promise<Answer> =>
  ask(what, `/_latchkey/v1${call}`, {
    method,
    key: target.server.rootToken,
    headers,
    ...(body === undefined ? {} : { body }),
  });

/**
 * The one place that keeps a raw key by design: the demo key of a local start, so that a restart prints the same one. And `dev.vars`, the
 * local stand-in for the platform's secrets, which holds tokens that Latchkey is given, not keys that it issues.
 */
const BY_DESIGN = new Set(["state/demo-key", "dev.vars"]);

/** Every other file below the state directory. */
async function storedFiles(): Promise<string[]> {
  const entries = await readdir(target.server.state, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .filter((file) => !BY_DESIGN.has(path.relative(target.server.state, file)));
}

/** Empty where the file is gone: a -wal may go while we look. */
const readStored = (file: string): Promise<Buffer> => readFile(file).catch(() => Buffer.alloc(0));

beforeAll(async () => {
  target = await openTarget();
  keep(target.server.demoKey);
  good = await target.api.issue({
    name: "leak-marker-name",
    owner: "leak-owner",
    scopes: ["reports:read", "charges:write"],
  });
  keep(good.key);
  admin = await target.api.issue({ kind: "admin", owner: "ops", scopes: ["keys:read", "keys:write", "keys:verify"] });
  keep(admin.key);
});
afterAll(() => target.stop());

/** Each place in a request that a key can stand in, rightly or by mistake. */
const PLACES: [string, (key: string) => [string, SendOptions]][] = [
  ["Bearer", (key) => ["/reports/1", { headers: { authorization: `Bearer ${key}` } }]],
  ["X-API-Key", (key) => ["/reports/1", { headers: { "x-api-key": key } }]],
  ["Basic", (key) => ["/reports/1", { headers: { authorization: basic(key) } }]],
  [
    "Basic as password",
    (key) => ["/reports/1", { headers: { authorization: `Basic ${Buffer.from(`user:${key}`).toString("base64")}` } }],
  ],
  ["bare Authorization", (key) => ["/reports/1", { headers: { authorization: key } }]],
  ["Authorization of a scheme that is none", (key) => ["/reports/1", { headers: { authorization: `Key ${key}` } }]],
  ["Bearer with rubbish", (key) => ["/reports/1", { headers: { authorization: `Bearer ${key} ${key}` } }]],
  ["the named query parameter", (key) => [`/public/x?api_key=${key}`, {}]],
  ["a query parameter elsewhere", (key) => [`/anything?api_key=${key}&token=${key}`, {}]],
  ["the query of a good request", (key) => [`/anything?q=${key}`, { key: good.key }]],
  ["the path", (key) => [`/${key}/x`, { key: good.key }]],
  ["the path of a report", (key) => [`/reports/${key}`, { key: good.key }]],
  ["the path, refused", (key) => [`/reports/${key}`, {}]],
  ["the body", (key) => ["/charges", { method: "POST", key: good.key, body: { key, note: `my key is ${key}` } }]],
  ["a failing origin's body", (key) => ["/status/500", { method: "POST", key: good.key, body: key }]],
  ["an origin that breaks off", (key) => [`/x/${key}/fail`, { key: good.key }]],
  ["a redirect", (key) => [`/redirect?to=/${key}`, { key: good.key }]],
  ["User-Agent", (key) => ["/anything", { key: good.key, headers: { "user-agent": key } }]],
  ["User-Agent, refused", (key) => ["/anything", { headers: { "user-agent": `${key}/1.0` } }]],
  [
    "Referer and Origin",
    (key) => [
      "/anything",
      {
        key: good.key,
        headers: { referer: `https://x.example/?k=${key}`, origin: `https://${key.replaceAll("_", "-")}.example` },
      },
    ],
  ],
  ["Cookie", (key) => ["/anything", { headers: { cookie: `key=${key}` } }]],
  [
    "X-Request-Id and traceparent",
    (key) => [
      "/anything",
      { key: good.key, headers: { "x-request-id": key, traceparent: key, tracestate: `k=${key}`, baggage: key } },
    ],
  ],
  [
    "X-Forwarded-For and CF headers",
    (key) => [
      "/anything",
      {
        key: good.key,
        headers: { "x-forwarded-for": key, "cf-connecting-ip": key, "cf-ipcountry": key, "x-latchkey-owner": key },
      },
    ],
  ],
  ["Host", (key) => ["/anything", { key: good.key, headers: { host: `${key}.localhost` } }]],
  ["a header that is too large", (key) => ["/anything", { key: good.key, headers: { "x-large": key.repeat(3_000) } }]],
  ["a path that is too long", (key) => [`/${key.repeat(1_000)}`, { key: good.key }]],
  ["two that differ", (key) => ["/anything", { headers: { authorization: `Bearer ${key}`, "x-api-key": good.key } }]],
  [
    "forward auth's original URI",
    (key) => [
      "/_latchkey/v1/authorize",
      { key: good.key, headers: { "x-original-method": "GET", "x-original-uri": `/reports/${key}?k=${key}` } },
    ],
  ],
  [
    "forward auth, refused",
    (key) => [
      "/_latchkey/v1/authorize",
      { key, headers: { "x-original-method": key, "x-original-uri": `/${key}`, "x-forwarded-host": key } },
    ],
  ],
  ["whoami", (key) => [`/_latchkey/v1/whoami?k=${key}`, { key }]],
  ["a path of Latchkey's", (key) => [`/_latchkey/${key}`, { key }]],
  ["a problem's page", (key) => [`/_latchkey/problems/${key}`, {}]],
  ["a name that starts the proxy's own", (key) => [`/_latchkey/docs?k=${key}`, {}]],
];

const CONTROL: [string, (key: string) => [string, string, (object | undefined)?, Record<string, string>?]][] = [
  ["an id", (key) => ["GET", `/keys/${key}`]],
  ["an id to change", (key) => ["PATCH", `/keys/${key}`, { name: "x" }]],
  ["an id to revoke", (key) => ["POST", `/keys/${key}/revoke`, { reason: "leaked" }]],
  ["a filter", (key) => ["GET", `/keys?q=${key}&owner=${key}&tag=${key}&scope=${key}`]],
  ["a cursor", (key) => ["GET", `/keys?cursor=${key}`]],
  ["an unknown parameter", (key) => ["GET", `/keys?${key}=1`]],
  ["an owner's name", (key) => ["GET", `/owners/${key}`]],
  ["a usage filter", (key) => ["GET", `/usage?groupBy=${key}&from=${key}`]],
  ["an audit filter", (key) => ["GET", `/audit?subject=${key}&action=${key}`]],
  ["a field that is none", (key) => ["POST", "/keys", { [key]: key }]],
  [
    "values of wrong kinds",
    (key) => [
      "POST",
      "/keys",
      {
        name: 1,
        owner: `${key} `,
        environment: key,
        scopes: [key],
        plan: key,
        kind: key,
        expiresAt: key,
        bindings: { ips: [key], origins: [key], [key]: 1 },
        limits: [{ name: `${key} `, window: key }],
        metadata: key,
        tags: [`${key} `],
      },
    ],
  ],
  [
    "an import's hash",
    (key) => [
      "POST",
      "/keys/import",
      {
        keys: [
          {
            hash: { algorithm: "sha256", encoding: "hex", value: key },
            name: "x",
            owner: "leak-owner",
            environment: "live",
            scopes: ["a:b"],
          },
        ],
      },
    ],
  ],
  [
    "an import's key in place of a hash",
    (key) => [
      "POST",
      "/keys/import",
      { keys: [{ key, name: "x", owner: "leak-owner", environment: "live", scopes: ["a:b"] }] },
    ],
  ],
  [
    "verify",
    (key) => [
      "POST",
      "/verify",
      {
        key,
        scopes: ["a:b"],
        path: `/reports/${key}`,
        method: "GET",
        origin: `https://x.example/${key}`,
        ip: "203.0.113.1",
      },
    ],
  ],
  [
    "verify with wrong kinds",
    (key) => ["POST", "/verify", { key: { key }, cost: key, ip: key, scopes: key, [key]: key }],
  ],
  [
    "verify/batch",
    (key) => ["POST", "/verify/batch", { keys: [{ key }, { key: `${key}x` }, { key: key.toLowerCase() }] }],
  ],
  ["the name of a workspace", (key) => ["GET", "/keys", undefined, { "x-latchkey-workspace": key }]],
  ["If-Match", (key) => ["PATCH", `/keys/${good.id}`, { name: "leak-marker-name" }, { "if-match": `"${key}"` }]],
  ["Content-Type", (key) => ["POST", "/keys", {}, { "content-type": key }]],
];

test("wherever a key is sent, no answer of Latchkey's own repeats it", { timeout: 60_000 }, async () => {
  const samples: [string, string][] = [
    ["good", good.key],
    ["stranger", keep(strangerKey())],
    ["cut", keep(strangerKey().slice(0, 40))],
    ["one character wrong", keep(`${strangerKey().slice(0, -1)}-`)],
  ];
  for (const [kind, key] of samples) {
    await inParallel(PLACES.length, 4, async (index) => {
      const [place, make] = PLACES[index] ?? expect.fail();
      await ask(`${kind} key in ${place}`, ...make(key));
    });
    for (const [place, make] of CONTROL) {
      const [method, call, body, headers] = make(key);
      await root(method, call, body, headers, `${kind} key as ${place}`);
    }
    // A body that is not JSON, and requests that no client library makes.
    await ask("broken JSON", "/_latchkey/v1/keys", {
      method: "POST",
      key: target.server.rootToken,
      body: `{"name": "${key}`,
      headers: { "content-type": "application/json" },
    });
    for (const octets of [
      `GET /anything HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key}\r\nBad Header ${key}\r\n\r\n`,
      `${key} /anything HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
      `GET ${key} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
      `GET /%zz/${key} HTTP/1.1\r\nHost: x\r\nX-API-Key: ${key}\r\nConnection: close\r\n\r\n`,
      `GET / HTTP/9.9\r\nX-API-Key: ${key}\r\n\r\n`,
      `POST /charges HTTP/1.1\r\nHost: x\r\nX-API-Key: ${key}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n${key}\r\n`,
    ]) {
      const text = await exchangeOctets(target.server.port, octets, 500);
      if (!text.includes("rawHeaders")) answers.push({ what: `${kind} key in ${octets.slice(0, 12)}…`, text });
    }
  }
  // What it sent on purpose comes back to a client only from the origin: a redirect's Location.
  const own = answers.filter(({ what }) => !what.includes("a redirect"));
  expect(own.length).toBeGreaterThan(100);
  expect(own.flatMap(({ what, text }) => findLeaks(what, Buffer.from(text)))).toEqual([]);
});

test("a key's whole life leaves it in the one answer that created it", async () => {
  const earlier = answers.length;
  const input = { name: "Life", owner: "leak-owner", environment: "live", scopes: ["a:b"] };
  const created = await target.send("/_latchkey/v1/keys", {
    method: "POST",
    key: admin.key,
    body: input,
    headers: { "idempotency-key": "leak-1" },
  });
  const { key, id } = created.json() as unknown as IssuedKey; // asserted on the next line
  expect(created.text.split(keep(key)).length).toBe(2);
  await root("GET", `/keys/${id}`);
  await ask("a repeat", "/_latchkey/v1/keys", {
    method: "POST",
    key: admin.key,
    body: input,
    headers: { "idempotency-key": "leak-1" },
  });
  const rotated = await target.send(`/_latchkey/v1/keys/${id}/rotate`, {
    method: "POST",
    key: target.server.rootToken,
    body: { overlapSeconds: 60 },
    headers: { "idempotency-key": "leak-2" },
  });
  const next = keep((rotated.json() as unknown as IssuedKey).key);
  expect(rotated.text.split(next).length).toBe(2);
  expect(findLeaks("the rotation's answer", Buffer.from(rotated.text.replace(next, "")))).toEqual([]);
  await root("POST", `/keys/${id}/rotate`, { overlapSeconds: 60 }, { "idempotency-key": "leak-2" });
  for (const action of ["disable", "enable"]) await root("POST", `/keys/${id}/${action}`, {});
  await ask("whoami", "/_latchkey/v1/whoami", { key: next });
  await root("POST", "/verify", { key: next });
  await root("POST", `/keys/${id}/revoke`, { reason: "leaked" });
  for (const used of [key, next]) await ask("used", "/reports/1", { key: used });
  const imported = keep(`import-${strangerKey().slice(8)}`);
  const hash = { algorithm: "sha256", encoding: "hex", value: createHash("sha256").update(imported).digest("hex") };
  expect((await root("POST", "/keys/import", { keys: [{ ...input, hash }] })).status).toBe(200);
  await ask("imported", "/anything", { headers: { "x-api-key": imported } });
  expect(answers.slice(earlier).flatMap(({ what, text }) => findLeaks(what, Buffer.from(text)))).toEqual([]);
});

test("no list, log, metric or stored octet holds a raw key", { timeout: 60_000 }, async () => {
  // Events are on their way for some seconds.
  await expect
    .poll(
      async () =>
        (await target.api.call<{ totals: { requests: number } }>("GET", "/usage?owner=leak-owner")).body.totals
          .requests,
      { timeout: 15_000 },
    )
    .toBeGreaterThan(10);
  await sleep(2_500);
  const reachable = [
    "/keys?limit=200",
    "/audit?limit=200",
    "/audit/verify",
    "/owners/leak-owner",
    "/usage?granularity=minute&groupBy=key,owner,route,status,code,country",
    `/keys/${good.id}`,
    "/usage?groupBy=environment,lineage",
  ];
  for (const call of reachable) {
    const answer = await root("GET", call);
    expect([call, answer.status, findLeaks(call, Buffer.from(answer.text))]).toEqual([call, 200, []]);
  }
  for (const page of ["/_latchkey/metrics", "/_latchkey/readyz", "/_latchkey/openapi.json", "/_latchkey/docs"]) {
    const answer = await ask(page, page, { key: target.server.rootToken });
    expect([page, answer.status, findLeaks(page, Buffer.from(answer.text))]).toEqual([page, 200, []]);
  }

  // The demo key is printed on purpose, at the start; it is one of the keys searched for everywhere else.
  const logs = target.server.logs().replaceAll(target.server.demoKey, "");
  expect(findLeaks("the logs", Buffer.from(logs))).toEqual([]);

  const files = await storedFiles();
  const contents = await Promise.all(files.map(readStored));
  const leaks = files.flatMap((file, index) => [
    ...findLeaks(`the name ${path.basename(file)}`, Buffer.from(file)),
    ...findLeaks(path.relative(target.server.state, file), contents[index] ?? Buffer.alloc(0)),
  ]);
  expect(leaks).toEqual([]);
  // The search would have found something: what must be stored is there, in more than one file.
  expect(files.length).toBeGreaterThan(5);
  const holding = (text: string): number => contents.filter((content) => content.includes(text)).length;
  expect(holding("leak-marker-name")).toBeGreaterThan(0);
  expect(holding(createHash("sha256").update(good.key).digest("base64url"))).toBeGreaterThan(0);
  expect(holding("/reports/*")).toBeGreaterThan(0);
});

test("a key that someone writes into a name, a note or an idempotency key is not stored either", async () => {
  const input = { name: "Careless", owner: "leak-owner", environment: "live", scopes: ["a:b"] };
  const { id } = await target.api.issue(input);
  const writes: [string, (key: string) => [string, string, object, Record<string, string>?]][] = [
    ["name", (key) => ["POST", "/keys", { ...input, name: `for ${key}` }]],
    ["metadata", (key) => ["POST", "/keys", { ...input, metadata: { key } }]],
    ["a member of metadata", (key) => ["POST", "/keys", { ...input, metadata: { a: { [key]: 1 } } }]],
    ["purpose", (key) => ["POST", "/keys", { ...input, purpose: key }]],
    ["tag", (key) => ["POST", "/keys", { ...input, tags: [key] }]],
    ["owner", (key) => ["POST", "/keys", { ...input, owner: key }]],
    ["patched name", (key) => ["PATCH", `/keys/${id}`, { name: key }]],
    ["note", (key) => ["POST", `/keys/${id}/revoke`, { reason: "leaked", note: `seen: ${key}` }]],
    [
      "a limit's name",
      (key) => ["PUT", "/owners/leak-owner", { limits: [{ name: key, limit: 1, window: "day", kind: "rate" }] }],
    ],
    ["an owner's id", (key) => ["PUT", `/owners/${key}`, { limits: [] }]],
    ["an idempotency key", (key) => ["POST", "/keys", input, { "idempotency-key": key }]],
    ["a workspace's name", (key) => ["POST", "/keys", input, { "x-latchkey-workspace": key }]],
  ];
  const used: [string, string][] = [];
  for (const [place, make] of writes) {
    const { key } = await target.api.issue();
    used.push([place, key]);
    const [method, call, body, headers = {}] = make(key);
    await target.send(`/_latchkey/v1${call}`, { method, key: target.server.rootToken, body, headers });
  }
  const reachable: Buffer[] = [];
  for (const call of ["/keys?limit=200", "/audit?limit=200", "/owners?limit=200"])
    reachable.push(Buffer.from((await target.send(`/_latchkey/v1${call}`, { key: target.server.rootToken })).text));
  for (const file of await storedFiles()) reachable.push(await readStored(file));
  const stored = used.filter(([, key]) => reachable.some((content) => findLeaks("", content, [key]).length > 0));
  expect(stored.map(([place]) => place)).toEqual([]);
});
