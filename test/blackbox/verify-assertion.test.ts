import { spawn, spawnSync } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import http from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { CompactSign, generateKeyPair, type JWK, SignJWT, UnsecuredJWT } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeKeyPair } from "../../durable-objects/signing-keys/key-pair.ts";
import { control } from "../support/control.ts";
import { type Library, startLibrary } from "../support/library-lab.ts";
import { freePort, isNginxInstalled, startNginx } from "../support/nginx.ts";

/** The verifiers of docs/examples/verify-assertion, as origins run them: they take what Latchkey signs, and nothing else. */

const EXAMPLES = path.resolve(import.meta.dirname, "../../docs/examples/verify-assertion");
const HOST = "shown.lab.test";
const ISSUER = `http://${HOST}`;
const AUDIENCE = "https://shown.test";

interface Example {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  /** `null`: it can run here. */
  readonly lacks: string | null;
}

function lacking(command: string, args: readonly string[], what: string): string | null {
  return spawnSync(command, args).status === 0 ? null : what;
}

const VERIFIERS: readonly Example[] = [
  { name: "Node", command: [process.execPath, "node.mjs"], lacks: null },
  {
    name: "Python",
    command: ["python3", "python.py"],
    lacks: lacking("python3", ["-c", "import cryptography"], "python3 with the package cryptography"),
  },
  { name: "Go", command: ["go", "run", "main.go"], lacks: lacking("go", ["version"], "go") },
];
for (const { name, lacks } of VERIFIERS)
  if (lacks !== null) console.log(`skipped: the verifier for ${name} needs ${lacks} on the PATH`);

interface Running {
  readonly url: string;
  readonly stop: () => Promise<void>;
}

let library: Library;
let key: string;
let keyServer: http.Server;
let ours: { readonly kid: string; readonly privateKey: CryptoKey; readonly jwk: JWK };
let keysUrl: string;
beforeAll(async () => {
  library = await startLibrary();
  ({ key } = await control({ url: library.url(), rootToken: library.rootToken }).issue());
  const { kid, jwk, pkcs8 } = await makeKeyPair("ES256");
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  ours = { kid, jwk, privateKey: await crypto.subtle.importKey("pkcs8", pkcs8, algorithm, false, ["sign"]) };
  // Latchkey's keys, and one that lets the test sign what Latchkey never would.
  keyServer = http.createServer(async (_request, response) => {
    const { keys } = (await library.ask("/.well-known/jwks.json", { host: HOST })).json() as { keys: JWK[] };
    response.end(JSON.stringify({ keys: [...keys, ours.jwk] }));
  });
  await new Promise<void>((resolve) => keyServer.listen(0, "127.0.0.1", resolve));
  keysUrl = `http://127.0.0.1:${(keyServer.address() as AddressInfo).port}/`; // a TCP server has an AddressInfo
});
afterAll(async () => {
  keyServer?.close();
  await library?.stop();
});

async function startExample(
  [command, ...args]: Example["command"],
  env: Readonly<Record<string, string>> = {},
): Promise<Running & { readonly port: number }> {
  const port = await freePort();
  const child: ChildProcess = spawn(command, args, {
    cwd: EXAMPLES,
    // `go run` has a child of its own.
    detached: true,
    stdio: ["ignore", "pipe", "inherit"],
    env: {
      ...process.env,
      LATCHKEY_ISSUER: ISSUER,
      LATCHKEY_AUDIENCE: AUDIENCE,
      LATCHKEY_JWKS_URL: keysUrl,
      GO111MODULE: "off",
      PORT: String(port),
      ...env,
    },
  });
  await new Promise<void>((resolve, reject) => {
    child.stdout?.on("data", (chunk: Buffer) => (chunk.toString().includes("ready") ? resolve() : undefined));
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`${command} ended with ${code}`)));
  });
  const gone = new Promise<void>((resolve) => void child.once("exit", () => resolve()));
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    stop: async () => {
      if (child.pid !== undefined) process.kill(-child.pid, "SIGTERM");
      await gone;
    },
  };
}

/** As the origin of `shown` gets it for `GET target`. */
async function fromLatchkey(target: string): Promise<string> {
  const answer = await library.ask(target, { host: HOST, key });
  expect(answer.status).toBe(200);
  const { headers } = answer.json() as { headers: Record<string, string> };
  return headers["x-latchkey-assertion"] ?? "";
}

let made = 0;
function claimsOf(changes: Readonly<Record<string, unknown>> = {}) {
  const iat = Math.floor(Date.now() / 1_000);
  made += 1;
  const about = { iss: ISSUER, aud: AUDIENCE, sub: "acme", client_id: "key_1", scope: "", jti: `req_${made}` };
  return { ...about, iat, exp: iat + 30, htm: "GET", htu: `${ISSUER}/things/7`, ...changes };
}

const TYPE = "latchkey-assertion+jwt";
/** Signed by a published key, as Latchkey does. */
async function sign(changes: Readonly<Record<string, unknown>> = {}, header: Readonly<Record<string, string>> = {}) {
  const protectedHeader = { alg: "ES256", kid: ours.kid, typ: TYPE, ...header };
  return await new SignJWT(claimsOf(changes)).setProtectedHeader(protectedHeader).sign(ours.privateKey);
}

const now = () => Math.floor(Date.now() / 1_000);

const REFUSED: readonly (readonly [what: string, make: () => Promise<string>])[] = [
  ["nothing", async () => ""],
  ["what is no JWT", async () => "a.b"],
  ["an access token, which has the same audience", async () => await sign({}, { typ: "at+jwt" })],
  ["another audience's", async () => await sign({ aud: "https://other.test" })],
  ["another issuer's", async () => await sign({ iss: "http://other.test" })],
  ["one that has expired", async () => await sign({ iat: now() - 50, exp: now() - 20 })],
  ["one that is of the future", async () => await sign({ iat: now() + 60, exp: now() + 90 })],
  ["one that lives too long", async () => await sign({ exp: now() + 600 })],
  ["another method's", async () => await sign({ htm: "POST" })],
  ["another path's", async () => await sign({ htu: `${ISSUER}/things/8` })],
  ["a key's that is not published", async () => await foreign()],
  ["alg none", async () => new UnsecuredJWT(claimsOf()).encode()],
  ["HS256 with the public key as its secret", async () => await symmetric()],
  ["one whose claims were changed", async () => await changed()],
];

async function foreign(): Promise<string> {
  const { privateKey } = await generateKeyPair("ES256");
  return await new SignJWT(claimsOf()).setProtectedHeader({ alg: "ES256", kid: ours.kid, typ: TYPE }).sign(privateKey);
}

async function symmetric(): Promise<string> {
  const secret = new TextEncoder().encode(JSON.stringify(ours.jwk));
  const header = { alg: "HS256", kid: ours.kid, typ: TYPE };
  return await new CompactSign(Buffer.from(JSON.stringify(claimsOf()))).setProtectedHeader(header).sign(secret);
}

async function changed(): Promise<string> {
  const [header = "", , signature = ""] = (await sign()).split(".");
  return [header, Buffer.from(JSON.stringify(claimsOf({ sub: "mallory" }))).toString("base64url"), signature].join(".");
}

async function present(url: string, assertion: string, target = "/things/7"): Promise<number> {
  const headers = assertion === "" ? {} : { "X-Latchkey-Assertion": assertion };
  const response = await fetch(url + target, { headers });
  await response.text();
  return response.status;
}

for (const example of VERIFIERS) {
  describe.skipIf(example.lacks !== null)(`the verifier for ${example.name}`, () => {
    let running: Running;
    beforeAll(async () => {
      running = await startExample(example.command);
    });
    afterAll(() => running?.stop());

    test("takes what Latchkey signs, once, and for that request alone", async () => {
      const [first, second] = [await fromLatchkey("/things/7?x=1"), await fromLatchkey("/things/9")];
      expect(await present(running.url, first, "/things/7?x=1")).toBe(200);
      expect(await present(running.url, first, "/things/7?x=1")).toBe(401);
      expect(await present(running.url, second, "/things/7")).toBe(401);
      expect(await present(running.url, second, "/things/9")).toBe(200);
    });

    test("the test's own signatures are good", async () => {
      expect(await present(running.url, await sign())).toBe(200);
    });

    for (const [what, make] of REFUSED) {
      test(`refuses ${what}`, async () => {
        expect(await present(running.url, await make())).toBe(401);
      });
    }

    test("answers 503 where the keys cannot be read", async () => {
      const blind = await startExample(example.command, { LATCHKEY_JWKS_URL: "http://127.0.0.1:1/" });
      try {
        expect(await present(blind.url, await sign())).toBe(503);
      } finally {
        await blind.stop();
      }
    });
  });
}

if (!isNginxInstalled) console.log("skipped: nginx before a verifier needs nginx on the PATH");
describe.skipIf(!isNginxInstalled)("nginx, with the verifier for Node beside it", () => {
  test("lets through what was verified for the request that it got, and nothing else", async () => {
    const api = http.createServer((request, response) => response.end(`the API saw ${request.method} ${request.url}`));
    await new Promise<void>((resolve) => api.listen(0, "127.0.0.1", resolve));
    const verifier = await startExample([process.execPath, "node.mjs"], { BEHIND_NGINX: "1" });
    const nginx = await startNginx(path.join(EXAMPLES, "nginx.conf"), {
      "127.0.0.1:9000": `127.0.0.1:${(api.address() as AddressInfo).port}`, // as above
      "127.0.0.1:9100": `127.0.0.1:${verifier.port}`,
    });
    try {
      const assertion = await fromLatchkey("/things/7?x=1");
      const forged = { "X-Latchkey-Assertion": assertion, "X-Original-URI": "/things/7", "X-Original-Method": "GET" };
      expect((await fetch(`${nginx.url}/things/8`, { headers: forged })).status).toBe(401);
      const answer = await fetch(`${nginx.url}/things/7?x=1`, { headers: { "X-Latchkey-Assertion": assertion } });
      expect([answer.status, await answer.text()]).toEqual([200, "the API saw GET /things/7?x=1"]);
      expect(await present(nginx.url, "")).toBe(401);
      await verifier.stop();
      expect(await present(nginx.url, await sign())).toBe(500);
    } finally {
      await nginx.stop();
      await new Promise((resolve) => api.close(resolve));
    }
  });
});
