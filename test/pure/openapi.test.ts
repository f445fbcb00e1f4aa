import { createHash } from "node:crypto";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { createControlApp } from "../../src/control/app.ts";
import { OPERATIONS } from "../../src/control/operations.ts";
import { PROBLEMS } from "../../src/http/codes.ts";
import { err } from "../../src/result.ts";

/** The document and its page, as they are served. */

const run = promisify(execFile);
const NOT_ASKED = new Error("the document needs no signing keys");

const app = createControlApp({
  // Neither the document nor the page touches a binding; a test that did would fail here.
  env: {} as never,
  config: { upstreams: {} },
  authenticate: async () => err({ code: "key_invalid", detail: "No." }),
  clientIp: () => null,
  requestId: () => "req_test",
  usage: async () => err({ code: "storage_unavailable", detail: "No." }),
  comparison: async () => err({ code: "storage_unavailable", detail: "No." }),
  measures: async () => err({ code: "storage_unavailable", detail: "No." }),
  requests: {
    find: async () => err({ code: "storage_unavailable", detail: "No." }),
    search: async () => err({ code: "storage_unavailable", detail: "No." }),
  },
  signingKeys: { status: () => Promise.reject(NOT_ASKED), rotate: () => Promise.reject(NOT_ASKED) },
  now: () => 0,
});

async function get(target: string): Promise<Response> {
  return await app.fetch(new Request(`https://api.acme.test${target}`));
}

/** What JSON.parse gives: the document's shape is what this file is about. */
type Parsed = ReturnType<typeof JSON.parse>;
const document: Parsed = JSON.parse(await (await get("/_latchkey/openapi.json")).text());

test("redocly finds no error in the served document", async () => {
  const directory = await mkdtemp(path.join(tmpdir(), "latchkey-openapi-"));
  try {
    const file = path.join(directory, "openapi.json");
    await writeFile(file, JSON.stringify(document));
    const cli = path.resolve("node_modules/@redocly/cli/bin/cli.js");
    const env = { ...process.env, REDOCLY_TELEMETRY: "off", REDOCLY_SUPPRESS_UPDATE_NOTICE: "true", CI: "true" };
    // A lint with errors exits with 1, which rejects and shows its output.
    const { stdout } = await run(process.execPath, [cli, "lint", file, "--format", "json"], { env });
    expect(JSON.parse(stdout)).toMatchObject({ totals: { errors: 0 } });
  } finally {
    await rm(directory, { recursive: true });
  }
});

test("every call of the contract is described, with its scope", () => {
  expect(document.openapi).toMatch(/^3\.1\./);
  const described = Object.entries<Parsed>(document.paths).flatMap(([where, methods]) =>
    Object.keys(methods).map((method) => `${method} ${where}`),
  );
  const served = OPERATIONS.map(({ method, path: below }) => `${method} /_latchkey/v1${below}`);
  const elsewhere = [
    "post /_latchkey/v1/verify",
    "post /_latchkey/v1/verify/batch",
    "get /_latchkey/v1/authorize",
    "post /_latchkey/v1/authorize",
    "get /_latchkey/v1/whoami",
    "post /_latchkey/oauth/token",
    "post /_latchkey/oauth/introspect",
    "post /_latchkey/oauth/revoke",
    "get /_latchkey/healthz",
    "get /_latchkey/readyz",
    "get /_latchkey/metrics",
    "get /.well-known/jwks.json",
    "get /.well-known/oauth-authorization-server",
    "get /.well-known/oauth-protected-resource",
  ];
  expect(described.toSorted()).toEqual([...served, ...elsewhere].toSorted());
  for (const operation of OPERATIONS) {
    const one = document.paths[`/_latchkey/v1${operation.path}`][operation.method];
    expect(one.security).toEqual([{ rootToken: [] }, { adminKey: [operation.scope] }]);
  }
});

test("every refusal that is described is one of the codes, under its own status, with an example that is whole", () => {
  let seen = 0;
  for (const methods of Object.values<Parsed>(document.paths)) {
    for (const operation of Object.values<Parsed>(methods)) {
      for (const [status, response] of Object.entries<Parsed>(operation.responses)) {
        for (const code of Object.keys(response.content?.["application/problem+json"]?.examples ?? {})) {
          const example = document.components.examples[code].value;
          expect([code, example.code, String(example.status)]).toEqual([code, code, status]);
          expect(String(PROBLEMS[code as keyof typeof PROBLEMS].status)).toBe(status);
          seen += 1;
        }
      }
    }
  }
  expect(seen).toBeGreaterThan(100);
});

test("no schema lost its items or its type on the way", () => {
  const bare: string[] = [];
  const walk = (schema: Parsed, place: string): void => {
    if (schema.type === "array" && schema.items === undefined) bare.push(place);
    for (const [name, member] of Object.entries<Parsed>(schema.properties ?? {})) walk(member, `${place}/${name}`);
    if (schema.items !== undefined) walk(schema.items, `${place}/items`);
  };
  for (const [name, schema] of Object.entries<Parsed>(document.components.schemas)) walk(schema, name);
  expect(bare).toEqual([]);
});

test("writes take an Idempotency-Key, and what has an ETag takes If-Match", () => {
  for (const operation of OPERATIONS) {
    const one = document.paths[`/_latchkey/v1${operation.path}`][operation.method];
    const parameters = one.parameters.map((parameter: { $ref?: string }) => parameter.$ref ?? "");
    const writes = operation.method !== "get";
    expect(parameters.includes("#/components/parameters/IdempotencyKey")).toBe(writes);
    // Alerts have no generations: what is done to them is done twice without harm.
    // Nor does a link change the owner that it is for.
    if (
      writes &&
      operation.path.includes("{id}") &&
      operation.tag !== "Alerts" &&
      operation.operationId !== "openPortal"
    )
      expect(parameters).toContain("#/components/parameters/IfMatch");
  }
});

test("the page works without scripts or anything from elsewhere, and has a place and an example for every call", async () => {
  const response = await get("/_latchkey/docs");
  expect(response.headers.get("Content-Type")).toBe("text/html; charset=utf-8");
  const policy = response.headers.get("Content-Security-Policy") ?? "";
  expect(policy).toMatch(
    /^default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]+'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'$/,
  );
  const page = await response.text();
  // What the browser will hash is what stands between the tags, to the last space.
  const style = /<style>(.*?)<\/style>/s.exec(page)?.[1] ?? "";
  expect(policy).toContain(`'sha256-${createHash("sha256").update(style).digest("base64")}'`);
  expect(page).not.toMatch(/<script|<link|<img|@import|url\(|\son[a-z]+=/i);
  for (const [where, methods] of Object.entries<Parsed>(document.paths)) {
    for (const operation of Object.values<Parsed>(methods)) {
      expect(page).toContain(`id="${operation.operationId}"`);
      expect(page).toContain(`href="#${operation.operationId}"`);
    }
    expect(page).toContain(where.split("{")[0]);
  }
  const anchors = new Set([...page.matchAll(/\sid="([^"]+)"/g)].map((match) => match[1]));
  for (const match of page.matchAll(/href="#([^"]+)"/g)) expect(anchors).toContain(match[1]);
  expect(anchors.size).toBe([...page.matchAll(/\sid="([^"]+)"/g)].length);
  expect(page.match(/curl /g)?.length).toBeGreaterThanOrEqual(OPERATIONS.length);
  expect(page).toContain("https://api.acme.test/_latchkey/v1/keys");
});
