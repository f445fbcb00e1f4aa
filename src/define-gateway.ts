import { WorkerEntrypoint } from "cloudflare:workers";
import { tellWatch } from "../durable-objects/watch/client.ts";
import { answer, type App } from "./app.ts";
import type { GatewayConfig } from "./config.ts";
import { createIsolate } from "./gateway/isolate.ts";
import { locationOf } from "./gateway/place.ts";
import { type VerifyAnswer, parseVerifyInput } from "./gateway/verify.ts";
import { verifyAndRecord } from "./gateway/verify-endpoints.ts";
import { newRequestId } from "./http/request-id.ts";
import { missingBindings } from "./platform/bindings.ts";
import { logError } from "./platform/log.ts";
import { deliverTo } from "./request-log/deliver.ts";
import { requestLogOf } from "./request-log/policy.ts";
import { RootToken } from "./platform/root-token.ts";
import { ok, err, type Result } from "./result.ts";
import { consumeSinks, isSinkQueue } from "./sinks/consumer.ts";
import { forwardTo } from "./sinks/forward.ts";
import { consumeUsage } from "./usage/consumer.ts";
import { ipSaltFrom } from "./usage/privacy.ts";
import { DEFAULT_RETENTION } from "./usage/retention.ts";
import { runScheduled } from "./usage/scheduled.ts";
import { watchPolicyOf } from "./usage/watch-policy.ts";

/** The gateway as a library: this repository's own `index.ts` uses nothing else. */

/** What is made once per isolate, and lent to each request with its context. */
type Installed = Omit<App, "ctx">;

/** `config` → its isolate, or what is wrong with it. Shared by every entrypoint of the Worker. */
const installations = new WeakMap<GatewayConfig, Result<Installed, string>>();

/** The default export of a gateway Worker. */
export function defineGateway(config: GatewayConfig) {
  return {
    fetch(request, env, ctx): Response | Promise<Response> {
      const installed = install(config, env);
      if (!installed.ok) return misconfigured(installed.error);
      // A call from within the account may say nothing of where it is; the next one may.
      const { isolate } = installed.value;
      if (isolate.location === null || isolate.location === "") isolate.location = locationOf(request);
      const answering = answer(request, { ...installed.value, ctx });
      // A client that goes away must not take the event of its request with it.
      ctx.waitUntil(answering);
      return answering;
    },
    async queue(batch, env): Promise<void> {
      if (isSinkQueue(batch.queue)) return await consumeSinks(batch, config.sinks, env);
      const policy = requestLogOf(config);
      await consumeUsage(batch, env, {
        retention: { ...DEFAULT_RETENTION, ...config.usage?.retention },
        deliverRequests: policy === null ? null : deliverTo(env.REQUEST_LOG, policy),
        forwardEvents: forwardTo(config.sinks, env),
        onCounted: (workspace, events) => tellWatch(env.WATCH, workspace, events, watchPolicyOf(config)),
      });
    },
    async scheduled(_controller, env): Promise<void> {
      await runScheduled(env, config);
    },
  } satisfies ExportedHandler<Env>;
}

/** The named entrypoint for other Workers: `env.LATCHKEY.verify({ key, scopes })`, without HTTP. */
export function defineVerifier(config: GatewayConfig) {
  return class Verifier extends WorkerEntrypoint<Env> {
    /** Checks a key of the caller's workspace, which a binding names in its `props`; `default` without. Never throws for a key. */
    async verify(input: unknown): Promise<VerifyAnswer> {
      const installed = install(config, this.env);
      if (!installed.ok) throw new Error(installed.error);
      const parsed = parseVerifyInput(input);
      if (!parsed.ok) {
        const detail = parsed.error.map((fault) => `${fault.pointer}: ${fault.detail}`).join(" ");
        return { valid: false, code: "request_invalid", detail, limits: [] };
      }
      const request = new Request("https://latchkey.internal/_latchkey/v1/verify");
      const workspace = workspaceOf(this.ctx.props);
      const call = { request, requestId: newRequestId(Date.now()), workspace };
      return await verifyAndRecord(parsed.value, 0, call, { ...installed.value, ctx: this.ctx });
    }
  };
}

/** A service binding's `props` are written by whoever deploys the calling Worker. */
function workspaceOf(props: unknown): string {
  const named = typeof props === "object" && props !== null && "workspace" in props ? props.workspace : undefined;
  return typeof named === "string" ? named : "default";
}

function install(config: GatewayConfig, env: Env): Result<Installed, string> {
  const known = installations.get(config);
  if (known !== undefined) return known;
  const installed = build(config, env);
  if (!installed.ok) logError(new Error(installed.error), { part: "install" });
  installations.set(config, installed);
  return installed;
}

function build(config: GatewayConfig, env: Env): Result<Installed, string> {
  const missing = missingBindings(env);
  if (missing.length > 0) return err(`wrangler.toml lacks the bindings ${missing.join(", ")}`);
  const isolate = createIsolate(config, env);
  if (!isolate.ok) {
    return err(`gateway.config.ts: ${isolate.error.map(({ place, detail }) => `${place}: ${detail}`).join("; ")}`);
  }
  return ok({
    env,
    isolate: isolate.value,
    ipSalt: ipSaltFrom({ eventSalt: env.LATCHKEY_EVENT_SALT, rootToken: env.LATCHKEY_ROOT_TOKEN }),
    root: new RootToken(env.LATCHKEY_ROOT_TOKEN),
  });
}

/** Names of bindings and places in a file are no secrets, and whoever sees this is setting Latchkey up. */
function misconfigured(detail: string): Response {
  const body = {
    type: "/_latchkey/problems/internal_error",
    title: "Latchkey is not set up",
    status: 500,
    detail,
    code: "internal_error",
  };
  return Response.json(body, {
    status: 500,
    headers: { "Content-Type": "application/problem+json", "Cache-Control": "no-store" },
  });
}
