import type { KeyRegistryApi } from "../../durable-objects/key-registry/api.ts";
import type { GatewayConfig } from "../config.ts";
import { REGISTRY_TIMEOUT_MS } from "../constants.ts";
import { now as systemNow, within } from "../platform/clock.ts";
import { logError } from "../platform/log.ts";
import { reportWorkspace } from "./alert-reports.ts";
import { reportLimits } from "./limit-reports.ts";
import { reportOutage } from "./outage-report.ts";
import type { ReconcileEnv } from "./reconcile-run.ts";
import { listedWorkspaces, reconcileUsage } from "./reconcile-run.ts";
import { reportSinks } from "./sink-report.ts";

/** What the cron does each minute. Every part may run twice, and fails alone. */
export async function runScheduled(env: Env, config: Pick<GatewayConfig, "alerts" | "plans" | "sinks">): Promise<void> {
  // First: what follows takes its time when something is down.
  await attempt("outage", () => reportOutage(env, config.alerts));
  await attempt("reconcile", () => reconcileUsage(env));
  await attempt("drain", () => drainRegistries(env));
  await attempt("sinks", () => reportSinks(env, config.sinks, config.alerts));
  await attempt("alerts", () => reportAlerts(env, config));
}

/** The registries' alarms deliver by themselves; this is for one whose alarm was lost. */
async function drainRegistries(env: ReconcileEnv): Promise<void> {
  for (const workspace of await listedWorkspaces(env)) {
    // The generated Env knows the class, whose type would pull it in here; its RPC surface is this interface.
    const registry = env.KEY_REGISTRY.getByName(workspace) as KeyRegistryApi;
    await attempt("drain", () => within(registry.drain(), REGISTRY_TIMEOUT_MS, "the registry"));
  }
}

async function reportAlerts(env: Env, config: Pick<GatewayConfig, "alerts" | "plans">): Promise<void> {
  for (const workspace of await listedWorkspaces(env)) {
    await attempt("alerts", () => reportWorkspace(env, workspace, config.alerts));
    await attempt("near limits", () => reportLimits(env, workspace, config.plans ?? {}, systemNow()));
  }
}

async function attempt(part: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    logError(error, { message: "a scheduled part failed; it runs again in a minute", part });
  }
}
