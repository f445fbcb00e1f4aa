/**
 * The shipped Worker with its bindings counted. The module that is deployed is generated (`counting.ts`), so that it exports every
 * class that wrangler.toml names; this is what it puts around them.
 */
import type { Counts } from "../counts.ts";

const calls = new Map<string, number>();
const rowsWritten = new Map<string, number>();
/** Cursors that may not be read to their end yet, with the class that opened them. */
let cursors: { readonly className: string; readonly cursor: { readonly rowsWritten: number } }[] = [];

type Call = (...args: unknown[]) => unknown;

/** `target`, telling of each call of a method. */
function watch<T extends object>(target: T, onCall: (method: string, answer: unknown) => unknown): T {
  return new Proxy(target, {
    get(real, property) {
      const value: unknown = Reflect.get(real, property, real);
      // A stub has any name as a method; only `then` would make it look like a promise.
      if (typeof property === "symbol" || property === "then" || typeof value !== "function") {
        return property === "then" ? undefined : value;
      }
      return (...args: unknown[]) => onCall(property, Reflect.apply(value as Call, real, args)); // looked at above
    },
  });
}

function countNamespace<T extends object>(namespace: T, binding: string): T {
  return watch(namespace, (method, made) =>
    (method === "getByName" || method === "get") && typeof made === "object" && made !== null
      ? watch(made, (name, answer) => {
          const call = `${binding}.${name}`;
          calls.set(call, (calls.get(call) ?? 0) + 1);
          return answer;
        })
      : made,
  );
}

const counted = new WeakMap<object, object>();

/** The same for the same `env`: the Worker keeps things by it. KV and queue are counted where they are served. */
function countEnv<T extends object>(env: T): T {
  const known = counted.get(env);
  if (known !== undefined) return known as T; // made from it below
  const entries = Object.entries(env).map(([name, value]: [string, unknown]): [string, unknown] => {
    const isNamespace = typeof value === "object" && value !== null && "idFromName" in value;
    return [name, isNamespace ? countNamespace(value, name) : value];
  });
  const made = Object.fromEntries(entries);
  counted.set(env, made);
  return made as T; // the same names, each with a value of the same shape
}

/** Rows as the platform's own cursors report them; an alarm that is set is a row too. */
function countRows(ctx: DurableObjectState, className: string): DurableObjectState {
  const { storage } = ctx;
  const exec = storage.sql.exec.bind(storage.sql);
  Object.defineProperty(storage.sql, "exec", {
    value: (query: string, ...bindings: unknown[]) => {
      const cursor = exec(query, ...bindings);
      cursors.push({ className, cursor });
      return cursor;
    },
  });
  const setAlarm = storage.setAlarm.bind(storage);
  Object.defineProperty(storage, "setAlarm", {
    value: (...args: Parameters<typeof setAlarm>) => {
      addRows(className, 1);
      return setAlarm(...args);
    },
  });
  return ctx;
}

function addRows(className: string, rows: number): void {
  rowsWritten.set(className, (rowsWritten.get(className) ?? 0) + rows);
}

type ObjectClass = new (ctx: DurableObjectState, env: Env) => object;

export function countClass<T extends ObjectClass>(real: T, className: string): T {
  // TypeScript knows mixins by `any[]` alone; workerd constructs the class with these two.
  const Base = real as unknown as ObjectClass;
  return class extends Base {
    constructor(ctx: DurableObjectState, env: Env) {
      super(countRows(ctx, className), countEnv(env));
    }
  } as unknown as T;
}

type Worker = Required<Pick<ExportedHandler<Env>, "fetch" | "queue">>;

/** Serves the Worker, and two paths more. */
export function countWorker(worker: Worker): Worker {
  return {
    async fetch(request, env, ctx) {
      const { pathname } = new URL(request.url);
      if (pathname === "/__counts") return Response.json(takeCounts());
      if (pathname === "/__deliver") {
        await worker.queue(batchOf(await request.json<unknown[]>()), countEnv(env), ctx);
        return Response.json({});
      }
      return await worker.fetch(request, countEnv(env), ctx);
    },
    queue: (batch, env, ctx) => worker.queue(batch, countEnv(env), ctx),
  };
}

/** Since the last time. */
function takeCounts(): Counts {
  for (const { className, cursor } of cursors) addRows(className, cursor.rowsWritten);
  cursors = [];
  const taken = { calls: Object.fromEntries(calls), rowsWritten: Object.fromEntries(rowsWritten) };
  calls.clear();
  rowsWritten.clear();
  return taken;
}

function batchOf(bodies: readonly unknown[]): MessageBatch {
  const nothing = (): void => undefined;
  const messages = bodies.map((body, index) => ({
    id: String(index),
    timestamp: new Date(),
    attempts: 1,
    body,
    ack: nothing,
    retry: nothing,
  }));
  const metrics = { backlogCount: 0, backlogBytes: 0 };
  return { queue: "latchkey-usage", messages, metadata: { metrics }, ackAll: nothing, retryAll: nothing };
}
