import { connectRegistry } from "../../durable-objects/key-registry/client.ts";
import { signingHealth } from "../../durable-objects/signing-keys/client.ts";
import { directoryLedger } from "../../durable-objects/usage-ledger/client.ts";
import { within } from "./clock.ts";
import { logWarning } from "./log.ts";

/** What Latchkey says of itself to whoever watches it. No versions, addresses or reasons: those are in the log. */

/** A dependency that needs longer than this is as good as gone. */
const CHECK_TIMEOUT_MS = 1_000;
/** The endpoint is open to all; however often it is asked, the dependencies are asked once in this time by an isolate. */
const ANSWER_TTL_MS = 1_000;

export interface DependencyHealth {
  /** `off`: not set up, and not missed. */
  readonly state: "up" | "down" | "off";
  readonly latencyMs: number;
}

export interface Readiness {
  /**
   * `down`: keys that this isolate does not know yet cannot be checked, so it should get no traffic.
   * `degraded`: keys are checked, but changes, events or usage wait, or no token can be signed.
   */
  readonly status: "ok" | "degraded" | "down";
  readonly checks: Readonly<Record<Dependency, DependencyHealth>>;
}

type Dependency = "keys" | "meter" | "registry" | "ledger" | "queue" | "signing";

/** Without these no new key can be checked; the others' work waits for them. */
const ESSENTIAL: readonly Dependency[] = ["keys", "meter"];

const OFF = Symbol("off");

/** Each is a question with a fixed and harmless answer, that goes all the way to the dependency. */
const PROBES: Readonly<Record<Dependency, (env: Env) => Promise<unknown>>> = {
  keys: (env) => env.KEYS.get("readyz"),
  meter: async (env) => await env.KEY_METER.getByName("readyz").ping(),
  registry: async (env) => {
    const answer = await connectRegistry(env.KEY_REGISTRY, "default").read((registry) => registry.get("key_readyz"));
    if (!answer.ok) throw answer.error.cause;
  },
  ledger: (env) => directoryLedger(env.USAGE_LEDGER).listWorkspaces(1, 0),
  // A send would be an event that never happened; the queue's own figures prove as much.
  queue: (env) => env.USAGE.metrics(),
  signing: async (env) => {
    const { signingOff, keys } = await signingHealth(env.SIGNING_KEYS);
    if (signingOff === null) return null;
    // Tokens were never switched on.
    if (signingOff === "secret_missing" && keys === 0) return OFF;
    throw new Error(`no token can be signed: ${signingOff}`);
  },
};

const NO_STORE = { "cache-control": "no-store" } as const;

/** The Worker runs. Nothing else is asked. */
export function healthz(): Response {
  return Response.json({ status: "ok" }, { headers: NO_STORE });
}

let last: { readonly at: number; readonly readiness: Readiness } | null = null;

/** 200 with `ok` or `degraded`, 503 with `down`. */
export async function readyz(env: Env): Promise<Response> {
  const now = Date.now();
  if (last === null || now - last.at >= ANSWER_TTL_MS) last = { at: now, readiness: await checkReadiness(env) };
  const { readiness } = last;
  return Response.json(readiness, { status: readiness.status === "down" ? 503 : 200, headers: NO_STORE });
}

/** Asks every dependency at once. Never throws. */
export async function checkReadiness(env: Env): Promise<Readiness> {
  const [keys, meter, registry, ledger, queue, signing] = await Promise.all([
    probe("keys", env),
    probe("meter", env),
    probe("registry", env),
    probe("ledger", env),
    probe("queue", env),
    probe("signing", env),
  ]);
  const checks = { keys, meter, registry, ledger, queue, signing };
  const down = Object.values(checks).some(({ state }) => state === "down");
  const essentialDown = ESSENTIAL.some((name) => checks[name].state === "down");
  return { status: essentialDown ? "down" : down ? "degraded" : "ok", checks };
}

async function probe(name: Dependency, env: Env): Promise<DependencyHealth> {
  const startedAt = Date.now();
  try {
    const answer = await within(PROBES[name](env), CHECK_TIMEOUT_MS, name);
    return { state: answer === OFF ? "off" : "up", latencyMs: Date.now() - startedAt };
  } catch (error) {
    logWarning("dependency down", { dependency: name, error: String(error) });
    return { state: "down", latencyMs: Date.now() - startedAt };
  }
}
