/**
 * The Worker as shipped, with bindings that fail when a test says so. Entry module of every Worker in `startEdges`; never
 * deployed. The fetch handlers and the objects of one Worker share an isolate, and so one set of faults.
 */
import worker, {
  AlertCenter as RealAlertCenter,
  HashClaims as RealHashClaims,
  KeyMeter as RealKeyMeter,
  KeyRegistry as RealKeyRegistry,
  LeaseBroker as RealLeaseBroker,
  ReplayGuard as RealReplayGuard,
  RequestLog as RealRequestLog,
  SigningKeys as RealSigningKeys,
  UsageLedger as RealUsageLedger,
  Verifier as RealVerifier,
  Watch as RealWatch,
} from "../../src/index.ts";
import type { AcquireAnswer } from "../../src/limits/acquire.ts";
import { CALLS_PATH, CLOCK_PATH, CRASH_PATH, FAULTS_PATH } from "./faults.ts";
import type { BindingName, Fault, Faults } from "./faults.ts";

/** Faults in force, each with the number of calls that it still meets. */
const active = new Map<string, { readonly fault: Fault; left: number }>();
const calls = new Map<string, number>();
/** What KV held when it was frozen; kept by every read that meets a `frozen` fault. */
let snapshot: ReadonlyMap<string, string> = new Map();

/**
 * The clock of this isolate, with everything in it: handlers, objects, and all that asks `Date.now()`. Timers and alarms go
 * by the machine's clock, as they do when a real clock is set.
 */
const machineNow = Date.now.bind(Date);
let clockOffsetMs = 0;
Date.now = () => machineNow() + clockOffsetMs;

const NAMESPACES: ReadonlySet<string> = new Set([
  "KEY_REGISTRY",
  "KEY_METER",
  "LEASE_BROKER",
  "USAGE_LEDGER",
  "HASH_CLAIMS",
  "REPLAY_GUARD",
  "REQUEST_LOG",
  "SIGNING_KEYS",
  "ALERT_CENTER",
  "WATCH",
] satisfies BindingName[]);
const PLAIN: ReadonlySet<string> = new Set(["KEYS", "USAGE", "FAILURE_SHIELD", "CONTROL_RATE"] satisfies BindingName[]);

type Call = (...args: unknown[]) => unknown;

/** The fault that this call meets, if any. */
function meet(binding: string, method: string, args: readonly unknown[]): Fault | null {
  const name = `${binding}.${method}`;
  calls.set(name, (calls.get(name) ?? 0) + 1);
  const entry = active.get(binding);
  if (entry === undefined || entry.left <= 0) return null;
  if (entry.fault.methods !== undefined && !entry.fault.methods.includes(method)) return null;
  if (entry.fault.holding !== undefined && !JSON.stringify(args).includes(entry.fault.holding)) return null;
  entry.left -= 1;
  return entry.fault;
}

function lostConnection(overloaded: boolean): Error {
  return overloaded
    ? Object.assign(new Error("Durable Object is overloaded. (injected)"), { overloaded: true })
    : Object.assign(new Error("Network connection lost. (injected)"), { retryable: true });
}

/** KV's `get(key)`, `get(key, "json")`, `get(key, { type })` and `get(keys, …)` out of the snapshot. */
function readFrozen(method: string, keys: unknown, options: unknown): unknown {
  const typed = typeof options === "object" && options !== null && "type" in options ? options.type : options;
  const read = (key: unknown): unknown => {
    const text = snapshot.get(String(key));
    if (text === undefined) return null;
    return typed === "json" ? JSON.parse(text) : text;
  };
  const shape = (value: unknown): unknown =>
    method === "getWithMetadata" ? { value, metadata: null, cacheStatus: null } : value;
  return Array.isArray(keys) ? new Map(keys.map((key) => [key, shape(read(key))])) : shape(read(keys));
}

/** What a meter that is off by one would answer. */
function addOneUnit(answer: AcquireAnswer): AcquireAnswer {
  if (answer.outcome !== "granted") return answer;
  const grants = answer.grants.map((grant) => (grant.granted === 0 ? grant : { ...grant, granted: grant.granted + 1 }));
  return { ...answer, grants };
}

async function inject(
  binding: string,
  method: string,
  args: readonly unknown[],
  call: () => unknown,
): Promise<unknown> {
  const fault = meet(binding, method, args);
  switch (fault?.kind) {
    case undefined:
      return await call();
    case "down":
      throw lostConnection(fault.overloaded === true);
    case "slow":
      await scheduler.wait(fault.ms);
      return await call();
    case "lost":
      await call();
      throw lostConnection(false);
    case "frozen":
      return method === "get" || method === "getWithMetadata" ? readFrozen(method, args[0], args[1]) : await call();
    case "skipped":
      return fault.answer;
    case "generous":
      return addOneUnit((await call()) as AcquireAnswer); // this fault is for `acquire` alone
  }
}

/** `target` with every method going through `inject`. */
function wrapMethods<T extends object>(target: T, binding: string): T {
  return new Proxy(target, {
    get(real, property) {
      const value: unknown = Reflect.get(real, property, real);
      // A stub has any name as a method; only `then` would make it look like a promise.
      if (typeof property === "symbol" || typeof value !== "function") return value;
      if (property === "then") return undefined;
      return (...args: unknown[]) => inject(binding, property, args, () => Reflect.apply(value as Call, real, args));
    },
  });
}

/** A namespace whose stubs are wrapped; making a stub is no call. */
function wrapNamespace<T extends object>(namespace: T, binding: string): T {
  return new Proxy(namespace, {
    get(real, property) {
      const value: unknown = Reflect.get(real, property, real);
      if (typeof value !== "function") return value;
      return (...args: unknown[]): unknown => {
        const made: unknown = Reflect.apply(value as Call, real, args);
        const isStub = property === "getByName" || property === "get";
        return isStub && typeof made === "object" && made !== null ? wrapMethods(made, binding) : made;
      };
    },
  });
}

const wrapped = new WeakMap<Env, Env>();

/** The same for the same `env`: the Worker keeps things by it. */
function wrapEnv(env: Env): Env {
  const known = wrapped.get(env);
  if (known !== undefined) return known;
  const entries = Object.entries(env).map(([name, value]: [string, unknown]): [string, unknown] => {
    if (typeof value !== "object" || value === null) return [name, value];
    if (NAMESPACES.has(name)) return [name, wrapNamespace(value, name)];
    return [name, PLAIN.has(name) ? wrapMethods(value, name) : value];
  });
  const made = Object.fromEntries(entries) as unknown as Env; // the same names, each with a value of the same shape
  wrapped.set(env, made);
  return made;
}

/** Copies all of KV: tests keep few keys. */
async function takeSnapshot(kv: KVNamespace): Promise<ReadonlyMap<string, string>> {
  const copy = new Map<string, string>();
  let cursor: string | null = null;
  do {
    const page: KVNamespaceListResult<unknown> = await kv.list({ cursor });
    for (const { name } of page.keys) copy.set(name, (await kv.get(name)) ?? "");
    cursor = page.list_complete ? null : page.cursor;
  } while (cursor !== null);
  return copy;
}

async function setFaults(faults: Faults, env: Env): Promise<void> {
  const frozen = faults.KEYS?.kind === "frozen";
  if (frozen && active.get("KEYS")?.fault.kind !== "frozen") snapshot = await takeSnapshot(env.KEYS);
  active.clear();
  for (const [binding, fault] of Object.entries(faults)) active.set(binding, { fault, left: fault.times ?? Infinity });
}

export default {
  async fetch(request, env, ctx) {
    const { pathname } = new URL(request.url);
    if (pathname === FAULTS_PATH) {
      await setFaults(await request.json<Faults>(), env);
      return Response.json({});
    }
    if (pathname === CALLS_PATH) {
      const counts = Object.fromEntries(calls);
      if (request.method === "DELETE") calls.clear();
      return Response.json(counts);
    }
    if (pathname === CLOCK_PATH) {
      ({ offsetMs: clockOffsetMs } = await request.json<{ readonly offsetMs: number }>());
      return Response.json({});
    }
    if (pathname === CRASH_PATH) {
      const { binding, name } = await request.json<{
        readonly binding: "KEY_METER" | "LEASE_BROKER" | "REPLAY_GUARD";
        readonly name: string;
      }>();
      const object = env[binding].getByName(name) as unknown as { crash(): Promise<void> }; // a class below, not a shipped one
      // The call ends with its object.
      await object.crash().catch(() => undefined);
      return Response.json({});
    }
    return await worker.fetch(request, wrapEnv(env), ctx);
  },
  async queue(batch, env) {
    await worker.queue(batch, wrapEnv(env));
  },
  async scheduled(controller, env) {
    await worker.scheduled(controller, wrapEnv(env));
  },
} satisfies ExportedHandler<Env>;

export class KeyRegistry extends RealKeyRegistry {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, wrapEnv(env));
  }
}

export class KeyMeter extends RealKeyMeter {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, wrapEnv(env));
  }

  crash(): void {
    this.ctx.abort("crashed by the lab");
  }
}

export class LeaseBroker extends RealLeaseBroker {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, wrapEnv(env));
  }

  crash(): void {
    this.ctx.abort("crashed by the lab");
  }
}

export class UsageLedger extends RealUsageLedger {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, wrapEnv(env));
  }
}

export class HashClaims extends RealHashClaims {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, wrapEnv(env));
  }
}

export class ReplayGuard extends RealReplayGuard {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, wrapEnv(env));
  }

  crash(): void {
    this.ctx.abort("crashed by the lab");
  }
}

export class RequestLog extends RealRequestLog {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, wrapEnv(env));
  }
}

export class Watch extends RealWatch {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, wrapEnv(env));
  }
}

export class SigningKeys extends RealSigningKeys {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, wrapEnv(env));
  }
}

export class AlertCenter extends RealAlertCenter {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, wrapEnv(env));
  }
}

export class Verifier extends RealVerifier {
  constructor(ctx: ExecutionContext, env: Env) {
    super(ctx, wrapEnv(env));
  }
}
