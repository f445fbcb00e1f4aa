import type { z } from "@hono/zod-openapi";
import type { KeyRegistryApi, RegistryError, WriteContext } from "../../durable-objects/key-registry/api.ts";
import { connectRegistry } from "../../durable-objects/key-registry/client.ts";
import type { RegistryUnavailable } from "../../durable-objects/key-registry/client.ts";
import type { ProblemCode } from "../http/codes.ts";
import type { AdminScope } from "../keys/admin-scopes.ts";
import { logError } from "../platform/log.ts";
import { err, ok } from "../result.ts";
import type { Result } from "../result.ts";
import type { Caller } from "./caller.ts";
import type { ControlDependencies } from "./dependencies.ts";
import { readWriteContext } from "./idempotency.ts";
import { fromRegistry, fromUnavailable, invalid, NOT_FOUND, requireScope } from "./problem.ts";
import type { Outcome } from "./problem.ts";
import { holdsKey, readBody } from "./request-body.ts";
import { toFieldErrors } from "./validation.ts";

/**
 * One call of the control API: what guards it, what it takes, what it answers, what it does. The router, the validation,
 * the scope table and the OpenAPI document all come from these. `scope` is not optional: an operation without one does not compile.
 */
export interface OperationSpec<Q extends z.ZodType, B extends z.ZodType> {
  readonly method: "get" | "post" | "put" | "patch" | "delete";
  /** Below `/_latchkey/v1`; `{id}` is the one parameter there is. */
  readonly path: `/${string}`;
  readonly scope: AdminScope;
  readonly operationId: string;
  readonly tag: string;
  readonly summary: string;
  readonly description: string;
  /** What an id in the path looks like; one that does not fit is answered with 404, without asking the registry. */
  readonly idPattern?: RegExp;
  readonly idExample?: string;
  readonly query?: Q;
  readonly body?: B;
  /** Default `true`. `false`: no body stands for `{}`. */
  readonly bodyRequired?: boolean;
  /** Takes `application/merge-patch+json` too. */
  readonly mergePatch?: boolean;
  /** Takes `Idempotency-Key`; with `ifMatch`, `If-Match` too. */
  readonly write: boolean;
  readonly ifMatch?: boolean;
  readonly success: {
    readonly status: 200 | 201;
    readonly description: string;
    readonly schema: z.ZodType;
    /** Headers that this answer carries besides those that all carry. */
    readonly headers?: readonly ("ETag" | "Location")[];
    /** `?format=csv` is answered with a table. */
    readonly csv?: true;
  };
  /** Besides those that every call can end in. */
  readonly problems: readonly ProblemCode[];
  readonly handle: (call: Call<z.output<Q>, z.output<B>>) => Promise<Outcome<Answer>>;
}

/** One call on its way through its handler. */
export interface Call<Q, B> {
  readonly caller: Caller;
  readonly registry: RegistryCalls;
  readonly id: string;
  readonly query: Q;
  readonly body: B;
  readonly context: WriteContext;
  readonly deps: ControlDependencies;
  /** Epoch ms. */
  readonly now: number;
  /** Scheme and host that the call came to. */
  readonly origin: string;
}

export interface Answer {
  readonly status: 200 | 201;
  readonly body: unknown;
  /** In the body's place. */
  readonly csv?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The registry, with every way of failing turned into a problem. */
export interface RegistryCalls {
  read<T>(call: (registry: KeyRegistryApi) => Promise<Result<T, RegistryError>>): Promise<Outcome<T>>;
  write<T>(
    call: (registry: KeyRegistryApi) => Promise<Result<T, RegistryError>>,
    timeOutMs?: number,
  ): Promise<Outcome<T>>;
}

/** An operation as the router sees it: its types are settled inside. */
export interface Operation extends Omit<OperationSpec<z.ZodType, z.ZodType>, "handle"> {
  readonly run: (request: Request, caller: Caller, id: string, deps: ControlDependencies) => Promise<Outcome<Answer>>;
}

export function defineOperation<Q extends z.ZodType, B extends z.ZodType>(spec: OperationSpec<Q, B>): Operation {
  return { ...spec, run: (request, caller, id, deps) => runOperation(spec, request, caller, { id, deps }) };
}

async function runOperation<Q extends z.ZodType, B extends z.ZodType>(
  spec: OperationSpec<Q, B>,
  request: Request,
  caller: Caller,
  rest: { readonly id: string; readonly deps: ControlDependencies },
): Promise<Outcome<Answer>> {
  const allowed = requireScope(caller.scopes, spec.scope);
  if (!allowed.ok) return allowed;
  // Not before the scope: what a path names is for those who may see it.
  if (spec.idPattern !== undefined && !spec.idPattern.test(rest.id)) return err(NOT_FOUND);
  const query = parseQuery(request, spec.query);
  if (!query.ok) return query;
  const received: Outcome<unknown> =
    spec.body === undefined
      ? ok(null)
      : await readBody(request, {
          required: spec.bodyRequired ?? true,
          mergePatch: spec.mergePatch ?? false,
        });
  if (!received.ok) return received;
  const context = readWriteContext(request, caller, received.value);
  if (!context.ok) return context;
  const body = parseBody(spec.body, received.value);
  if (!body.ok) return body;
  const registry = registryCalls(rest.deps, caller);
  const { publishableScopes } = rest.deps.config;
  return await spec.handle({
    caller,
    registry,
    query: query.value,
    body: body.value,
    context: { ...context.value, publishableScopes },
    now: rest.deps.now(),
    origin: new URL(request.url).origin,
    ...rest,
  });
}

function parseBody<B extends z.ZodType>(schema: B | undefined, value: unknown): Outcome<z.output<B>> {
  // Without a schema `B` is never looked at by the handler.
  if (schema === undefined) return ok(undefined as z.output<B>);
  const parsed = schema.safeParse(value);
  return parsed.success ? ok(parsed.data) : invalid(toFieldErrors(parsed.error.issues, value));
}

/** A parameter given twice is a list; where the schema wants one value, that is refused and not half heard. */
function parseQuery<Q extends z.ZodType>(request: Request, schema: Q | undefined): Outcome<z.output<Q>> {
  const parameters: Record<string, unknown> = {};
  for (const [name, value] of new URL(request.url).searchParams) {
    if (holdsKey(value) || holdsKey(name)) {
      return invalid([
        { pointer: "", detail: "Holds what looks like a whole key. Keys never stand in a URL.", in: "query" },
      ]);
    }
    parameters[name] = Object.hasOwn(parameters, name) ? [parameters[name], value].flat() : value;
  }
  // An operation without a schema takes no parameters, and its handler reads none.
  if (schema === undefined) {
    const unknown = Object.keys(parameters).length > 0;
    return unknown
      ? invalid([{ pointer: "", detail: "Takes no query parameters.", in: "query" }])
      : ok(undefined as z.output<Q>);
  }
  const parsed = schema.safeParse(parameters);
  return parsed.success ? ok(parsed.data) : invalid(toFieldErrors(parsed.error.issues, parameters, { in: "query" }));
}

function registryCalls(deps: ControlDependencies, caller: Caller): RegistryCalls {
  const client = connectRegistry(deps.env.KEY_REGISTRY, caller.workspace);
  const settle = <T>(asked: Result<Result<T, RegistryError>, RegistryUnavailable>, isWrite: boolean): Outcome<T> => {
    if (!asked.ok) {
      const { cause, reason, maybeDone } = asked.error;
      logError(cause, {
        part: "control",
        reason,
        maybeDone,
        workspace: caller.workspace,
        requestId: caller.actor.requestId,
      });
      return err(fromUnavailable(asked.error, isWrite));
    }
    return asked.value.ok ? asked.value : err(fromRegistry(asked.value.error, isWrite));
  };
  return {
    read: async (call) => settle(await client.read(call), false),
    write: async (call, timeOutMs) => settle(await client.write(call, timeOutMs), true),
  };
}
