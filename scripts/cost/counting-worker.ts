/**
 * The lab's Worker, counting what a bill would count. Entry module of every Worker in a cost run; never deployed. Its isolates
 * also make their own traffic, so that neither sockets nor a load generator stand in the way of many requests.
 */
import { setSpeed } from "./fast-clock.ts";
import { DurableObject } from "cloudflare:workers";
import lab, * as classes from "../lab/faulty-worker.ts";
import { drive, takeLateness } from "./drive.ts";
import { gather } from "./gather.ts";
import {
  countMethods,
  countTimers,
  noteOutboundCall,
  readObjectUnits,
  resetObjectUnits,
  watchState,
} from "./object-counter.ts";
import { DRIVE_PATH, LATE_PATH, noWorkerUnits, queueOperationsOf, ROWS_PATH, SPEED_PATH, UNITS_PATH } from "./units.ts";
import type { DriveOrder, WorkerUnits } from "./units.ts";

let counted = noWorkerUnits();

countTimers();

for (const level of ["log", "info", "warn", "error", "debug"] as const) {
  console[level] = () => void (counted.logLines += 1);
}

/** The origin: answers at once. What it costs is not the gateway's. */
globalThis.fetch = async () =>
  new Response("{}", { headers: { "content-length": "2", "content-type": "application/json" } });

const encoder = new TextEncoder();
const known = new WeakMap<Env, Env>();

type Call = (...args: unknown[]) => unknown;

function watch<T extends object>(target: T, onCall: (method: string, args: readonly unknown[]) => void): T {
  return new Proxy(target, {
    get(real, property) {
      const value: unknown = Reflect.get(real, property, real);
      if (typeof property === "symbol" || typeof value !== "function" || property === "then") return value;
      return (...args: unknown[]) => {
        onCall(property, args);
        return Reflect.apply(value as Call, real, args); // a function, as looked at above
      };
    },
  });
}

function countKv(method: string): void {
  if (method.startsWith("get")) counted.kvReads += 1;
  else if (method !== "list") counted.kvWrites += 1;
}

function countQueue(method: string, args: readonly unknown[]): void {
  const bodies = method === "sendBatch" ? (args[0] as Iterable<{ readonly body: unknown }>) : [{ body: args[0] }]; // the queue's own types
  for (const { body } of bodies) {
    counted.queueMessages += 1;
    counted.queueOperations += queueOperationsOf(encoder.encode(JSON.stringify(body)).length);
  }
}

/** A namespace whose stubs tell of every call, so that an object that waits for another one is seen. */
function watchNamespace(namespace: object): object {
  return new Proxy(namespace, {
    get(real, property) {
      const value: unknown = Reflect.get(real, property, real);
      if (typeof value !== "function") return value;
      return (...args: unknown[]): unknown => {
        const made: unknown = Reflect.apply(value as Call, real, args); // a function, as looked at above
        const isStub = property === "getByName" || property === "get";
        return isStub && typeof made === "object" && made !== null ? watch(made, noteOutboundCall) : made;
      };
    },
  });
}

/** The same for the same `env`: the Worker keeps things by it. */
function watchEnv(env: Env): Env {
  const made = known.get(env);
  if (made !== undefined) return made;
  const entries = Object.entries(env).map(([name, value]: [string, unknown]): [string, unknown] => {
    if (typeof value !== "object" || value === null) return [name, value];
    if ("getByName" in value) return [name, watchNamespace(value)];
    if (name === "KEYS") return [name, watch(value, countKv)];
    return [name, name === "USAGE" ? watch(value, countQueue) : value];
  });
  const watched = Object.fromEntries(entries) as unknown as Env; // the same names, each with a value of the same shape
  known.set(env, watched);
  return watched;
}

function ledgerOf(env: Env): { countRows(): Promise<number> } {
  // The class below, which the generated Env does not know.
  return env.USAGE_LEDGER.getByName("default/0") as unknown as { countRows(): Promise<number> };
}

function readUnits(): WorkerUnits {
  return { ...counted, ...readObjectUnits() };
}

export default {
  async fetch(request, env, ctx) {
    const { pathname } = new URL(request.url);
    switch (pathname) {
      case UNITS_PATH: {
        const units = readUnits();
        if (request.method === "DELETE") {
          counted = noWorkerUnits();
          resetObjectUnits();
        }
        return Response.json(units);
      }
      case SPEED_PATH:
        setSpeed(await request.json());
        return Response.json({});
      case DRIVE_PATH: {
        const order = await request.json<DriveOrder>();
        const serve = async (made: Request): Promise<void> => {
          // The lab's own type for a request that comes in; this one is made here.
          const incoming = made as Parameters<typeof lab.fetch>[0];
          const response = await lab.fetch(incoming, watchEnv(env), ctx);
          await response.arrayBuffer();
          counted.requests += 1;
          if (response.status !== 200) counted.refused += 1;
        };
        return Response.json(await drive(order, serve));
      }
      case LATE_PATH:
        return Response.json(takeLateness());
      case ROWS_PATH:
        return Response.json(await ledgerOf(env).countRows());
      default:
        return await lab.fetch(request, watchEnv(env), ctx);
    }
  },
  queue(batch, env, ctx) {
    gather(batch.messages, ctx, async (gathered) => {
      counted.invocations += 1;
      await lab.queue({ ...gathered, queue: batch.queue }, watchEnv(env));
    });
  },
  async scheduled(controller, env) {
    counted.invocations += 1;
    await lab.scheduled(controller, watchEnv(env));
  },
} satisfies ExportedHandler<Env>;

export class KeyRegistry extends classes.KeyRegistry {
  constructor(ctx: DurableObjectState, env: Env) {
    super(watchState(ctx, "KeyRegistry"), watchEnv(env));
  }
}

export class KeyMeter extends classes.KeyMeter {
  constructor(ctx: DurableObjectState, env: Env) {
    super(watchState(ctx, "KeyMeter"), watchEnv(env));
  }
}

export class LeaseBroker extends classes.LeaseBroker {
  constructor(ctx: DurableObjectState, env: Env) {
    super(watchState(ctx, "LeaseBroker"), watchEnv(env));
  }
}

export class UsageLedger extends classes.UsageLedger {
  constructor(ctx: DurableObjectState, env: Env) {
    super(watchState(ctx, "UsageLedger"), watchEnv(env));
  }

  /** Rows in all tables. */
  countRows(): number {
    const { sql } = this.ctx.storage;
    const tables = sql.exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table'").toArray();
    return tables
      .filter(({ name }) => !name.startsWith("_cf_") && !name.startsWith("sqlite_"))
      .reduce(
        (sum, { name }) => sum + sql.exec<{ rows: number }>(`SELECT COUNT(*) AS rows FROM ${name}`).one().rows,
        0,
      );
  }
}

export class HashClaims extends classes.HashClaims {
  constructor(ctx: DurableObjectState, env: Env) {
    super(watchState(ctx, "HashClaims"), watchEnv(env));
  }
}

export class ReplayGuard extends classes.ReplayGuard {
  constructor(ctx: DurableObjectState, env: Env) {
    super(watchState(ctx, "ReplayGuard"), watchEnv(env));
  }
}

export class RequestLog extends classes.RequestLog {
  constructor(ctx: DurableObjectState, env: Env) {
    super(watchState(ctx, "RequestLog"), watchEnv(env));
  }
}

export class Watch extends classes.Watch {
  constructor(ctx: DurableObjectState, env: Env) {
    super(watchState(ctx, "Watch"), watchEnv(env));
  }
}

export class SigningKeys extends classes.SigningKeys {
  constructor(ctx: DurableObjectState, env: Env) {
    super(watchState(ctx, "SigningKeys"), watchEnv(env));
  }
}

export class AlertCenter extends classes.AlertCenter {
  constructor(ctx: DurableObjectState, env: Env) {
    super(watchState(ctx, "AlertCenter"), watchEnv(env));
  }
}

export { Verifier } from "../lab/faulty-worker.ts";

const COUNTED = {
  KeyRegistry,
  KeyMeter,
  LeaseBroker,
  UsageLedger,
  HashClaims,
  ReplayGuard,
  RequestLog,
  SigningKeys,
  AlertCenter,
  Watch,
};
for (const [name, counting] of Object.entries(COUNTED)) {
  countMethods(counting, name, DurableObject);
}
