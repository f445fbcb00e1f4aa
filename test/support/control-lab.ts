import { env } from "cloudflare:workers";
import { rotateSigningKeys, signingStatus } from "../../durable-objects/signing-keys/client.ts";
import { createControlApp } from "../../src/control/app.ts";
import type { ControlDependencies } from "../../src/control/dependencies.ts";
import { digestKey } from "../../src/keys/digest.ts";
import type { EdgeRecord } from "../../src/keys/record.ts";
import { newId } from "../../src/platform/ids.ts";
import { err, ok } from "../../src/result.ts";

/** The control API over a real registry, called as over HTTP. The check of admin keys is the record in KV: the gateway's own is tested there. */

export const ROOT = `lkroot_${"t".repeat(43)}`;
const BASE = "https://gateway.test/_latchkey/v1";

const SIGNING = { algorithm: "ES256", rotationDays: 30 } as const;

export interface CallOptions {
  readonly token?: string | null;
  readonly workspace?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  /** Instead of `body`, as it is. */
  readonly text?: string;
}

/** What JSON.parse gives: tests read members of many shapes, and each says what it expects. */
export type Parsed = ReturnType<typeof JSON.parse>;

export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Parsed;
}

export function openControl(changes: Partial<ControlDependencies> = {}) {
  const workspace = `ws-${crypto.randomUUID().slice(0, 12)}`;
  const app = createControlApp({
    env: {
      KEY_REGISTRY: env.KEY_REGISTRY,
      ALERT_CENTER: env.ALERT_CENTER,
      WATCH: env.WATCH,
      CONTROL_RATE: env.CONTROL_RATE,
      LATCHKEY_ROOT_TOKEN: ROOT,
    },
    config: { upstreams: {}, plans: { free: [], pro: [] }, workspaces: {} },
    authenticate: checkInKv,
    clientIp: () => "203.0.113.7",
    requestId: () => newId("req_", Date.now()),
    usage: async () => ok({ from: "", to: "", granularity: "hour", series: [], totals: NO_USAGE }),
    comparison: async () => ok({ comparedUntil: 0, differenceUnits: 0, unchecked: 0 }),
    measures: async () => ok({ measures: [], from: 0, to: 0 }),
    requests: { find: async () => ok([]), search: async () => ok({ requests: [], left: 0, next: null }) },
    signingKeys: {
      status: () => signingStatus(env.SIGNING_KEYS, SIGNING),
      rotate: (rotation) => rotateSigningKeys(env.SIGNING_KEYS, { ...rotation, policy: SIGNING }),
    },
    now: () => Date.now(),
    ...changes,
  });

  async function call(method: string, path: string, options: CallOptions = {}): Promise<Answered> {
    const token = options.token === undefined ? ROOT : options.token;
    const text = options.text ?? (options.body === undefined ? undefined : JSON.stringify(options.body));
    const response = await app.fetch(
      new Request(path.startsWith("/_latchkey") ? `https://gateway.test${path}` : BASE + path, {
        method,
        headers: {
          ...(token === null ? {} : { Authorization: `Bearer ${token}` }),
          ...(token === ROOT ? { "X-Latchkey-Workspace": options.workspace ?? workspace } : {}),
          ...(text === undefined ? {} : { "Content-Type": "application/json" }),
          ...options.headers,
        },
        ...(text === undefined ? {} : { body: text }),
      }),
    );
    const received = await response.text();
    return { status: response.status, headers: response.headers, body: parse(received) };
  }

  const input = (change: object = {}) => ({
    name: "Test",
    owner: "acme",
    environment: "live",
    scopes: ["charges:read"],
    ...change,
  });

  return {
    app,
    workspace,
    call,
    input,
    /** A key that exists: its record and itself. */
    create: async (change: object = {}, options: CallOptions = {}): Promise<Answered> =>
      await call("POST", "/keys", { body: input(change), ...options }),
    /** An admin key with these scopes. */
    admin: async (...scopes: string[]): Promise<{ readonly key: string; readonly id: string }> => {
      const made = await call("POST", "/keys", { body: input({ kind: "admin", scopes }) });
      return { key: String(made.body["key"]), id: String(made.body["id"]) };
    },
  };
}

const NO_USAGE = {
  requests: 0,
  allowed: 0,
  refused: 0,
  cost: 0,
  bytesIn: 0,
  bytesOut: 0,
  averageLatencyMs: null,
  estimatedCostUsd: "0.000000000",
};

const checkInKv: ControlDependencies["authenticate"] = async (_request, presentedKey) => {
  const record = await env.KEYS.get<EdgeRecord>(`key:${digestKey(presentedKey)}`, "json");
  if (record === null || record.state !== "active") return err({ code: "key_invalid", detail: "Not valid." });
  return ok(record);
};

function parse(text: string): Parsed {
  return text.startsWith("{") ? JSON.parse(text) : { text };
}
