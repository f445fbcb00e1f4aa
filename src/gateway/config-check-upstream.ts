import type { UpstreamConfig } from "../config.ts";
import { isOriginPattern } from "../keys/bindings.ts";
import type { Fields, Findings } from "./config-findings.ts";
import { parsePattern } from "./route-pattern.ts";

type Env = Readonly<Record<string, unknown>>;

const TARGET_KEYS = ["url", "urlFromEnv", "service"];
const SHARED_KEYS: readonly (keyof UpstreamConfig)[] = [
  "hosts",
  "pathPrefix",
  "stripPrefix",
  "open",
  "audience",
  "workspace",
  "environments",
  "timeoutSeconds",
  "maxBodyBytes",
  "refundOn",
  "preflight",
  "assertion",
];
const UPSTREAM_KEYS: readonly string[] = [...TARGET_KEYS, ...SHARED_KEYS];

/** A DNS name in lower case, or `*.` and one of at least two labels. */
const HOST = /^(?:\*\.[a-z0-9_-]+(?:\.[a-z0-9_-]+)+|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)$/;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Browsers cap a preflight's life at a day. */
const MAX_PREFLIGHT_AGE_SECONDS = 86_400;

export function checkUpstream(findings: Findings, place: string, value: unknown, env: Env): void {
  const upstream = findings.object(place, value, UPSTREAM_KEYS);
  if (upstream === null) return;
  checkTarget(findings, place, upstream, env);
  checkHosts(findings, `${place}.hosts`, upstream["hosts"]);
  checkPrefix(findings, place, upstream);
  findings.optionalBoolean(`${place}.stripPrefix`, upstream["stripPrefix"]);
  findings.optionalBoolean(`${place}.open`, upstream["open"]);
  const { workspace } = upstream;
  if (workspace !== undefined && workspace !== "*") {
    findings.name(`${place}.workspace`, typeof workspace === "string" ? workspace : "");
  }
  findings.environments(`${place}.environments`, upstream["environments"]);
  findings.forwarding(place, upstream);
  checkPreflight(findings, `${place}.preflight`, upstream["preflight"]);
}

function checkTarget(findings: Findings, place: string, upstream: Fields, env: Env): void {
  const targets = TARGET_KEYS.filter((key) => upstream[key] !== undefined);
  const [key] = targets;
  if (key === undefined || targets.length > 1) {
    findings.add(place, "must have exactly one of url, urlFromEnv, service");
    return;
  }
  const named = upstream[key];
  const at = `${place}.${key}`;
  if (typeof named !== "string" || named === "") {
    findings.add(at, "must be a text");
  } else if (key === "url") {
    checkUrl(findings, at, named);
  } else if (key === "service") {
    if (!isFetcher(env[named]))
      findings.add(at, `there is no service binding ${named}; see [[services]] in wrangler.toml`);
  } else {
    checkUrlVariable(findings, at, named, env);
  }
}

/** A variable that nobody declared is a slip; one that is declared and empty is an upstream that is not set yet. */
function checkUrlVariable(findings: Findings, at: string, variable: string, env: Env): void {
  const value = env[variable];
  if (typeof value !== "string") findings.add(at, `there is no variable ${variable}; see [vars] in wrangler.toml`);
  else if (value !== "") checkUrl(findings, `${at} (${variable})`, value);
}

function checkUrl(findings: Findings, at: string, text: string): void {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:")) {
    findings.add(at, "must be an https or http URL");
  } else if (url.username !== "" || url.password !== "") {
    findings.add(at, "must not contain a user name or password");
  } else if (url.search !== "" || url.hash !== "") {
    findings.add(at, "must not contain a query or fragment");
  }
}

function isFetcher(binding: unknown): boolean {
  return typeof binding === "object" && binding !== null && "fetch" in binding && typeof binding.fetch === "function";
}

function checkHosts(findings: Findings, place: string, value: unknown): void {
  if (value === undefined) return;
  const hosts = findings.list(place, value);
  if (hosts.length === 0) findings.add(place, "must name at least one host; leave it out for every host");
  for (const [index, host] of hosts.entries()) {
    if (typeof host !== "string" || !HOST.test(host)) {
      findings.add(`${place}[${index}]`, "must be a host name in lower case, without port, or *.example.com");
    }
  }
}

function checkPrefix(findings: Findings, place: string, upstream: Fields): void {
  const { pathPrefix } = upstream;
  const at = `${place}.pathPrefix`;
  if (upstream["stripPrefix"] === true && (pathPrefix === undefined || pathPrefix === "/")) {
    findings.add(`${place}.stripPrefix`, "needs a pathPrefix other than /");
  }
  if (pathPrefix === undefined) return;
  const pattern = typeof pathPrefix === "string" ? parsePattern(pathPrefix) : null;
  if (pattern === null) findings.add(at, "must be a path such as /billing");
  else if (!pattern.ok) findings.add(at, pattern.error);
  else if (pattern.value.some(({ kind }) => kind !== "literal")) findings.add(at, "must not have parameters or *");
}

function checkPreflight(findings: Findings, place: string, value: unknown): void {
  if (value === undefined || value === "pass" || value === "key") return;
  if (typeof value === "string") {
    findings.add(place, "must be pass, key, or an object with origins");
    return;
  }
  const cors = findings.object(place, value, [
    "origins",
    "methods",
    "headers",
    "exposeHeaders",
    "maxAgeSeconds",
    "credentials",
  ]);
  if (cors === null) return;
  const origins = findings.list(`${place}.origins`, cors["origins"]);
  for (const [index, origin] of origins.entries()) {
    if (typeof origin !== "string" || !(origin === "*" || isOriginPattern(origin))) {
      findings.add(`${place}.origins[${index}]`, "must be https://app.example.com, *.example.com or *");
    }
  }
  if (cors["credentials"] === true && origins.includes("*")) {
    findings.add(`${place}.credentials`, "must not be true where every origin is allowed");
  }
  for (const field of ["methods", "headers", "exposeHeaders"]) {
    for (const name of findings.list(`${place}.${field}`, cors[field] ?? [])) {
      if (typeof name !== "string" || !TOKEN.test(name))
        findings.add(`${place}.${field}`, "must be names of methods or header fields");
    }
  }
  findings.optionalBoolean(`${place}.credentials`, cors["credentials"]);
  findings.optionalInteger(`${place}.maxAgeSeconds`, cors["maxAgeSeconds"], 0, MAX_PREFLIGHT_AGE_SECONDS);
}
