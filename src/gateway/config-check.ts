import type { GatewayConfig, RouteConfig } from "../config.ts";
import {
  MAX_BROKER_SHARDS,
  MAX_COST,
  MAX_GRACE_SECONDS,
  MAX_REQUEST_LOG_DAYS,
  MAX_REQUEST_LOG_MEGABYTES,
  MAX_SCOPES,
} from "../constants.ts";
import { isPrefix } from "../keys/format.ts";
import { isPublishablePattern, isScope } from "../keys/scopes.ts";
import { checkAlerts } from "./config-check-alerts.ts";
import { checkDashboard, checkSelfService } from "./config-check-dashboard.ts";
import { checkDetection } from "./config-check-detection.ts";
import { checkLimits } from "./config-check-limits.ts";
import { checkAudiences, checkTokens } from "./config-check-tokens.ts";
import { checkSinks } from "./config-check-sinks.ts";
import { checkPricing, checkUsage } from "./config-check-usage.ts";
import { checkUpstream } from "./config-check-upstream.ts";
import { Findings } from "./config-findings.ts";
import type { ConfigError, Fields } from "./config-findings.ts";
import { parsePattern } from "./route-pattern.ts";

/**
 * Whether a configuration makes sense in itself, with every fault named by its place. The compiler has checked its types
 * where it is TypeScript; here it may come from anywhere, so each value is `unknown` until looked at.
 */
export function checkConfig(config: GatewayConfig, env: Readonly<Record<string, unknown>>): readonly ConfigError[] {
  const findings = new Findings();
  const fields = findings.object("config", config, [
    "workspaces",
    "importedKeys",
    "upstreams",
    "routes",
    "plans",
    "publishableScopes",
    "realm",
    "clientIpInEvents",
    "logSampleRate",
    "leaseBrokers",
    "requestLog",
    "serverTiming",
    "tokens",
    "usage",
    "pricing",
    "alerts",
    "sinks",
    "detection",
    "dashboard",
    "selfService",
  ]);
  if (fields === null) return findings.errors;
  checkGeneral(findings, fields);
  const upstreams = findings.entries("upstreams", fields["upstreams"], 1);
  for (const [name, upstream] of upstreams) {
    findings.name(`upstreams.${name}`, name);
    checkUpstream(findings, `upstreams.${name}`, upstream, env);
  }
  checkAudiences(findings, upstreams);
  const planLimitNames = new Set<string>();
  const planNames = new Set<string>();
  for (const [name, limits] of findings.entries("plans", fields["plans"] ?? {})) {
    findings.name(`plans.${name}`, name);
    planNames.add(name);
    for (const limit of checkLimits(findings, `plans.${name}`, limits)) planLimitNames.add(limit);
  }
  const upstreamNames = new Set(upstreams.map(([name]) => name));
  for (const [index, route] of findings.list("routes", fields["routes"] ?? []).entries()) {
    checkRoute(findings, `routes[${index}]`, route, { upstreamNames, planLimitNames });
  }
  if (fields["tokens"] !== undefined) checkTokens(findings, fields["tokens"], { upstreamNames, planNames });
  checkDashboard(findings, fields["dashboard"]);
  checkSelfService(findings, fields["selfService"], planNames);
  if (fields["usage"] !== undefined) checkUsage(findings, fields["usage"]);
  if (fields["pricing"] !== undefined) checkPricing(findings, fields["pricing"], planNames);
  if (fields["alerts"] !== undefined) checkAlerts(findings, fields["alerts"]);
  if (fields["detection"] !== undefined) checkDetection(findings, fields["detection"], planNames);
  checkSinks(findings, fields["sinks"], env);
  return findings.errors;
}

function checkGeneral(findings: Findings, fields: Fields): void {
  for (const [name, workspace] of findings.entries("workspaces", fields["workspaces"] ?? {})) {
    const place = `workspaces.${name}`;
    findings.name(place, name);
    const prefix = findings.object(place, workspace, ["prefix"])?.["prefix"];
    if (prefix !== undefined && (typeof prefix !== "string" || !isPrefix(prefix))) {
      findings.add(`${place}.prefix`, "must be 2 to 12 lower-case letters and digits, a letter first");
    }
  }
  findings.optionalBoolean("importedKeys", fields["importedKeys"]);
  findings.optionalBoolean("serverTiming", fields["serverTiming"]);
  findings.optionalOneOf("clientIpInEvents", fields["clientIpInEvents"], ["whole", "truncated", "hashed"]);
  const { realm, logSampleRate: rate, publishableScopes } = fields;
  if (realm !== undefined && (typeof realm !== "string" || !/^[ -~]{1,128}$/.test(realm))) {
    findings.add("realm", "must be 1 to 128 visible ASCII characters");
  }
  if (rate !== undefined && !(typeof rate === "number" && rate >= 0 && rate <= 1)) {
    findings.add("logSampleRate", "must be a number from 0 to 1");
  }
  if (fields["leaseBrokers"] !== undefined && fields["leaseBrokers"] !== false) {
    const brokers = findings.object("leaseBrokers", fields["leaseBrokers"], ["shardsPerLocation"]);
    if (brokers !== null)
      findings.integer("leaseBrokers.shardsPerLocation", brokers["shardsPerLocation"], 1, MAX_BROKER_SHARDS);
  }
  checkRequestLog(findings, fields["requestLog"]);
  for (const [index, scope] of findings.list("publishableScopes", publishableScopes ?? []).entries()) {
    if (typeof scope !== "string" || !isPublishablePattern(scope)) {
      findings.add(`publishableScopes[${index}]`, "must be resource:action or *:action");
    }
  }
}

function checkRequestLog(findings: Findings, value: unknown): void {
  if (value === undefined || value === false) return;
  const fields = findings.object("requestLog", value, ["sampleRate", "retentionDays", "maxMegabytes"]);
  if (fields === null) return;
  const { sampleRate: rate } = fields;
  if (rate !== undefined && !(typeof rate === "number" && rate >= 0 && rate <= 1)) {
    findings.add("requestLog.sampleRate", "must be a number from 0 to 1");
  }
  findings.optionalInteger("requestLog.retentionDays", fields["retentionDays"], 1, MAX_REQUEST_LOG_DAYS);
  findings.optionalInteger("requestLog.maxMegabytes", fields["maxMegabytes"], 1, MAX_REQUEST_LOG_MEGABYTES);
}

const ROUTE_KEYS: readonly (keyof RouteConfig)[] = [
  "upstream",
  "method",
  "path",
  "scopes",
  "cost",
  "limits",
  "environments",
  "strict",
  "onMeterUnavailable",
  "graceSeconds",
  "audit",
  "keyInQuery",
  "assertion",
  "timeoutSeconds",
  "maxBodyBytes",
  "refundOn",
];

interface KnownNames {
  readonly upstreamNames: ReadonlySet<string>;
  readonly planLimitNames: ReadonlySet<string>;
}

function checkRoute(findings: Findings, place: string, value: unknown, known: KnownNames): void {
  const route = findings.object(place, value, ROUTE_KEYS);
  if (route === null) return;
  if (typeof route["upstream"] !== "string" || !known.upstreamNames.has(route["upstream"])) {
    findings.add(`${place}.upstream`, "must be one of the names under upstreams");
  }
  checkMethods(findings, `${place}.method`, route["method"]);
  checkPath(findings, `${place}.path`, route["path"]);
  checkScopes(findings, `${place}.scopes`, route["scopes"]);
  findings.optionalInteger(`${place}.cost`, route["cost"], 0, MAX_COST);
  for (const name of checkLimits(findings, `${place}.limits`, route["limits"] ?? [])) {
    if (known.planLimitNames.has(name)) {
      findings.add(`${place}.limits`, `has a limit named ${name}, and so has a plan: both would count in one place`);
    }
  }
  findings.environments(`${place}.environments`, route["environments"]);
  findings.optionalBoolean(`${place}.strict`, route["strict"]);
  findings.optionalOneOf(`${place}.onMeterUnavailable`, route["onMeterUnavailable"], ["open", "closed"]);
  findings.optionalInteger(`${place}.graceSeconds`, route["graceSeconds"], 0, MAX_GRACE_SECONDS);
  if (route["graceSeconds"] !== undefined && route["onMeterUnavailable"] === "closed") {
    findings.add(`${place}.graceSeconds`, "means nothing where onMeterUnavailable is closed");
  }
  findings.optionalOneOf(`${place}.audit`, route["audit"], ["async", "sync"]);
  const { keyInQuery } = route;
  if (keyInQuery !== undefined && (typeof keyInQuery !== "string" || !/^[A-Za-z0-9_.-]{1,64}$/.test(keyInQuery))) {
    findings.add(`${place}.keyInQuery`, "must be the name of a query parameter: letters, digits, . _ -");
  }
  findings.forwarding(place, route);
}

function checkMethods(findings: Findings, place: string, value: unknown): void {
  const methods = typeof value === "string" ? [value] : findings.list(place, value);
  if (Array.isArray(value) && value.length === 0) findings.add(place, "must name at least one method");
  for (const method of methods) {
    if (typeof method !== "string" || !/^(?:\*|[A-Z]{1,32})$/.test(method)) {
      findings.add(place, "must be methods in upper case, or *");
    }
  }
  if (methods.length > 1 && methods.includes("*")) findings.add(place, "has * beside other methods, which it covers");
  if (new Set(methods).size < methods.length) findings.add(place, "names a method twice");
}

function checkPath(findings: Findings, place: string, path: unknown): void {
  if (typeof path !== "string") {
    findings.add(place, "must be a path such as /reports/*");
    return;
  }
  const pattern = parsePattern(path);
  if (!pattern.ok) {
    findings.add(place, pattern.error);
    return;
  }
  const [first] = pattern.value;
  if (first?.kind === "literal" && first.text.toLowerCase() === "_latchkey") {
    findings.add(place, "is Latchkey's own and never reaches an upstream");
  }
}

function checkScopes(findings: Findings, place: string, value: unknown): void {
  const scopes = findings.list(place, value ?? []);
  if (scopes.length > MAX_SCOPES) findings.add(place, `has more than ${MAX_SCOPES} scopes`);
  for (const [index, scope] of scopes.entries()) {
    if (typeof scope !== "string" || !isScope(scope)) findings.add(`${place}[${index}]`, "must be resource:action");
  }
}
