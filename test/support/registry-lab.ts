import { env } from "cloudflare:workers";
import { runInDurableObject } from "cloudflare:test";
import { createHash } from "node:crypto";
import type { KeyRecord, NewKey, WriteContext, WriteResult, Written } from "../../durable-objects/key-registry/api.ts";
import { registryOf } from "../../durable-objects/key-registry/client.ts";
import type { KeyRegistry } from "../../durable-objects/key-registry/key-registry.ts";
import type { EdgeRecord, KeyHash } from "../../src/keys/record.ts";
import type { Limit } from "../../src/limits/limit.ts";

/** A registry for a test: its RPC surface as callers see it, and its inside for faults and tampering. */

/** One past the last name given out in this file: every test has a workspace of its own. */
let workspaces = 0;

export function newWorkspace(): string {
  workspaces += 1;
  return `ws-${workspaces}-${crypto.randomUUID().slice(0, 8)}`;
}

export function openRegistry(workspace = newWorkspace()) {
  const stub = env.KEY_REGISTRY.getByName(workspace);
  return {
    workspace,
    stub,
    api: registryOf(env.KEY_REGISTRY, workspace),
    inside: <T>(use: (instance: KeyRegistry, state: DurableObjectState) => T | Promise<T>): Promise<T> =>
      // The stub's class is that of the binding; the test plugin's types say less.
      runInDurableObject(stub as never, use as never),
    sql: (query: string, ...bindings: SqlStorageValue[]): Promise<Record<string, SqlStorageValue>[]> =>
      runInDurableObject(stub as never, (_instance: unknown, state: DurableObjectState) =>
        state.storage.sql.exec(query, ...bindings).toArray(),
      ),
  };
}

export type RegistryLab = ReturnType<typeof openRegistry>;

export function hashOf(text: string): KeyHash {
  return createHash("sha256").update(text).digest("base64url") as KeyHash;
}

export function newKey(change: Partial<NewKey> = {}): NewKey {
  return {
    hash: hashOf(crypto.randomUUID()),
    hint: "lk_live_AbCd…wxyz",
    name: "Invoices",
    owner: "acme",
    environment: "live",
    kind: "secret",
    scopes: ["charges:read"],
    plan: null,
    limits: [],
    bindings: {},
    policy: {},
    metadata: {},
    tags: [],
    purpose: null,
    notBefore: null,
    expiresAt: null,
    ...change,
  };
}

export function context(change: Partial<WriteContext> = {}): WriteContext {
  return {
    actor: { kind: "root", id: "root", address: "192.0.2.7", requestId: "req_1" },
    idempotency: null,
    ifGeneration: null,
    ...change,
  };
}

/** The answer to a write that must have succeeded. */
export async function done<T>(result: Promise<WriteResult<T>>): Promise<Written<T>> {
  const settled = await result;
  if (!settled.ok) throw new Error(`${settled.error.code}: ${settled.error.detail}`);
  return settled.value;
}

export async function created(lab: RegistryLab, change: Partial<NewKey> = {}): Promise<KeyRecord> {
  return (await done(lab.api.create(newKey(change), context()))).value;
}

/** The message of the error that a call ends in. A plain promise stands around it: one of RPC looks callable to `expect`. */
export async function failureOf(call: () => Promise<unknown>): Promise<string> {
  try {
    await call();
  } catch (error) {
    return String(error);
  }
  return "nothing was thrown";
}

/** What meters and KV were told, and what they answer. */
export class FakeEdge {
  /** Newest generation per key, as a meter would hold it. */
  readonly meter = new Map<string, EdgeRecord>();
  readonly ownerLimits = new Map<string, { readonly generation: number; readonly limits: readonly Limit[] }>();
  readonly kv = new Map<string, EdgeRecord>();
  readonly calls: string[] = [];
  meterFails = false;
  /** Publications that are still taken; the rest fails. */
  meterTakes = Infinity;
  kvFails = false;
  /** Awaited by each KV write before it lands. */
  kvGate: Promise<void> = Promise.resolve();
  meterGate: Promise<void> = Promise.resolve();
  inFlight = 0;
  maxInFlight = 0;

  bindings(): Pick<Env, "KEY_METER" | "KEYS"> {
    const meterOf = (name: string) => ({
      publish: (records: readonly EdgeRecord[]) =>
        this.#call(
          `meter ${name.split("/").slice(1).join("/")} ${records.map((record) => record.generation).join(",")}`,
          this.meterFails || --this.meterTakes < 0,
          async () => {
            await this.meterGate;
            for (const record of records) {
              if ((this.meter.get(record.id)?.generation ?? 0) < record.generation) this.meter.set(record.id, record);
            }
            return [];
          },
        ),
      setOwnerLimits: (generation: number, limits: readonly Limit[]) =>
        this.#call(`owner ${name.split("/").slice(2).join("/")} ${generation}`, this.meterFails, async () => {
          this.ownerLimits.set(name.split("/").slice(2).join("/"), { generation, limits });
          return generation;
        }),
    });
    const put = (key: string, text: string) => {
      const record = JSON.parse(text) as EdgeRecord;
      return this.#call(`kv ${record.generation}`, this.kvFails, async () => {
        await this.kvGate;
        this.kv.set(key, record);
      });
    };
    // Only what the registry calls.
    return { KEY_METER: { getByName: meterOf }, KEYS: { put } } as unknown as Pick<Env, "KEY_METER" | "KEYS">;
  }

  async #call<T>(name: string, fails: boolean, act: () => Promise<T>): Promise<T> {
    this.calls.push(name);
    this.inFlight += 1;
    this.maxInFlight = Math.max(this.maxInFlight, this.inFlight);
    try {
      if (fails) throw new Error("injected: 429 Too Many Requests");
      return await act();
    } finally {
      this.inFlight -= 1;
    }
  }
}

/** Puts fakes in the place of the object's own bindings, until it is evicted. */
export async function withFakeEdge(lab: RegistryLab, edge = new FakeEdge()): Promise<FakeEdge> {
  await lab.inside((instance) => {
    // `env` is protected, and is read at each use: the one seam that a test needs.
    const open = instance as unknown as { env: object };
    open.env = { ...open.env, ...edge.bindings() };
  });
  return edge;
}

/** A gate for `FakeEdge`, and what opens it. */
export function gate(): { readonly closed: Promise<void>; readonly open: () => void } {
  let open = (): void => undefined;
  const closed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { closed, open };
}
