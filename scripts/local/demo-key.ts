import { existsSync, readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import path from "node:path";

/**
 * The key that `npm start` prints. It opens nothing but the demo on this machine, and it is kept in the state directory
 * (readable by its owner alone) so that a restart prints the same one. But for the keys of `npm run demo`, kept in the same
 * way, Latchkey keeps a raw key nowhere else.
 */

export interface ControlAddress {
  readonly port: number;
  /** The host that serves the control API, or `localhost:PORT`. */
  readonly host: string;
}

const CALL_TIMEOUT_MS = 10_000;

interface Call {
  readonly method: string;
  readonly target: string;
  readonly credential: string;
  readonly body?: unknown;
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** `fetch` cannot set `Host`, which `LATCHKEY_CONTROL_HOST` may ask for. */
function call(address: ControlAddress, { method, target, credential, body }: Call): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.request({
      host: "127.0.0.1",
      port: address.port,
      method,
      path: target,
      timeout: CALL_TIMEOUT_MS,
      agent: false,
      headers: { host: address.host, authorization: `Bearer ${credential}`, "content-type": "application/json" },
    });
    request.on("timeout", () => request.destroy(new Error(`no answer within ${CALL_TIMEOUT_MS / 1_000} s`)));
    request.on("error", reject);
    request.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
    });
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** Waits until the Worker answers anything at all. */
export async function waitUntilServing(address: ControlAddress): Promise<void> {
  await call(address, { method: "GET", target: "/_latchkey/healthz", credential: "" });
}

/** The demo key of this state directory: the one made before if it still works, else a new one. Throws what went wrong. */
export async function obtainDemoKey(
  stateDirectory: string,
  address: ControlAddress,
  rootToken: string,
): Promise<string> {
  const file = path.join(stateDirectory, "demo-key");
  if (existsSync(file)) {
    const kept = readFileSync(file, "utf8").trim();
    const { status } = await call(address, { method: "GET", target: "/_latchkey/v1/whoami", credential: kept });
    // Revoked during a tour, for instance.
    if (kept !== "" && status !== 401) return kept;
  }
  const { status, body } = await call(address, {
    method: "POST",
    target: "/_latchkey/v1/keys",
    credential: rootToken,
    body: { name: "Demo key", owner: "demo", environment: "test", scopes: ["reports:read", "charges:write"] },
  });
  // The answer's body is left out: it may hold a key.
  if (status !== 201) throw new Error(`the control API answered ${status} when asked for one`);
  const { key } = JSON.parse(body) as { key?: unknown }; // checked on the next line
  if (typeof key !== "string") throw new Error("the control API's answer has no key");
  writeFileSync(file, `${key}\n`, { mode: 0o600 });
  return key;
}
