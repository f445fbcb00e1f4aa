import type { SinkConfig } from "../sinks/config.ts";
import type { Fields, Findings } from "./config-findings.ts";

const HTTP_KEYS = ["urlFromEnv", "tokenFromEnv"];
/** Besides those of every sink. */
const SINK_KEYS: Readonly<Record<SinkConfig["type"], readonly string[]>> = {
  elasticsearch: [...HTTP_KEYS, "index"],
  "splunk-hec": [...HTTP_KEYS, "source"],
  ndjson: HTTP_KEYS,
  "cloudevents-batch": [...HTTP_KEYS, "source"],
  r2: ["bucket"],
  "analytics-engine": ["dataset", "pointsPerInvocation"],
};

/** Each is a queue to send to, for each usage message. */
const MAX_SINKS = 10;
const MAX_WORKSPACES = 200;
const MAX_POINTS = 1_000;
/** A part of its queue's name. */
const SINK_NAME = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/;
/** A dead-letter queue is told by it. */
const RESERVED_SUFFIX = "-dead";
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;
/** What both Elasticsearch and OpenSearch take as the name of an index or data stream. */
const INDEX = /^[a-z0-9][a-z0-9_.-]{0,99}$/;
/** A URI-reference, without what JSON or a log line would have to escape. */
const SOURCE = /^[!#-;=?-[\]_a-z~]{1,256}$/;

/**
 * Looks through `sinks`. Bindings are asked for, since without a queue events could go nowhere; a variable's secret is not, for one that was
 * taken away must not stop the gateway.
 */
export function checkSinks(findings: Findings, value: unknown, env: Readonly<Record<string, unknown>>): void {
  if (value === undefined) return;
  const sinks = findings.entries("sinks", value);
  if (sinks.length > MAX_SINKS) findings.add("sinks", `has more than ${MAX_SINKS} sinks`);
  const queues = new Map<string, string>();
  for (const [name, sink] of sinks) {
    const at = `sinks.${name}`;
    if (!SINK_NAME.test(name) || name.endsWith(RESERVED_SUFFIX)) {
      findings.add(
        at,
        `is not a name: 1 to 32 lower-case letters, digits and -, without ${RESERVED_SUFFIX} at the end`,
      );
    }
    const fields = checkSink(findings, at, sink);
    if (fields === null) continue;
    for (const field of ["queue", "deadQueue"]) {
      const binding = fields[field];
      checkBinding(findings, `${at}.${field}`, binding, { env, method: "sendBatch", what: "a queue" });
      if (typeof binding !== "string") continue;
      const rival = queues.get(binding);
      if (rival !== undefined) findings.add(`${at}.${field}`, `is ${rival} already: each sink has queues of its own`);
      queues.set(binding, `${at}.${field}`);
    }
    if (fields["type"] === "r2") {
      checkBinding(findings, `${at}.bucket`, fields["bucket"], { env, method: "put", what: "a bucket" });
    }
    if (fields["type"] === "analytics-engine") {
      const wanted = { env, method: "writeDataPoint", what: "a dataset" };
      checkBinding(findings, `${at}.dataset`, fields["dataset"], wanted);
      findings.optionalInteger(`${at}.pointsPerInvocation`, fields["pointsPerInvocation"], 1, MAX_POINTS);
    }
  }
}

function checkSink(findings: Findings, at: string, value: unknown): Fields | null {
  const type: unknown = typeof value === "object" && value !== null ? Reflect.get(value, "type") : undefined;
  if (!isSinkType(type)) {
    findings.add(`${at}.type`, `must be one of ${Object.keys(SINK_KEYS).join(", ")}`);
    return null;
  }
  const sink = findings.object(at, value, ["type", "workspaces", "queue", "deadQueue", ...SINK_KEYS[type]]);
  if (sink === null) return null;
  checkWorkspaces(findings, `${at}.workspaces`, sink["workspaces"]);
  if (type === "r2" || type === "analytics-engine") return sink;
  checkVariable(findings, `${at}.urlFromEnv`, sink["urlFromEnv"]);
  if (type === "splunk-hec" || sink["tokenFromEnv"] !== undefined) {
    checkVariable(findings, `${at}.tokenFromEnv`, sink["tokenFromEnv"]);
  }
  const { index, source } = sink;
  if (index !== undefined && !(typeof index === "string" && INDEX.test(index))) {
    findings.add(`${at}.index`, "must be the name of an index or data stream: lower-case letters, digits, . _ -");
  }
  if (source !== undefined && !(typeof source === "string" && SOURCE.test(source))) {
    findings.add(`${at}.source`, "must be a URI or a part of one, at most 256 characters");
  }
  return sink;
}

function isSinkType(type: unknown): type is SinkConfig["type"] {
  return typeof type === "string" && Object.hasOwn(SINK_KEYS, type);
}

/** Said, and not left away: whose events leave is no default. */
function checkWorkspaces(findings: Findings, at: string, value: unknown): void {
  if (value === "*") return;
  const names = Array.isArray(value) ? value : [];
  if (names.length === 0 || names.length > MAX_WORKSPACES) {
    findings.add(at, `must be "*" for every workspace, or a list of 1 to ${MAX_WORKSPACES} names`);
  }
  for (const [index, name] of names.entries()) findings.name(`${at}[${index}]`, typeof name === "string" ? name : "");
}

/** A secret that was pasted in place of a variable's name would be in the repository: its place says so, and nothing repeats it. */
function checkVariable(findings: Findings, at: string, value: unknown): void {
  if (typeof value !== "string" || !VARIABLE.test(value)) {
    findings.add(at, "must be the name of a variable, which holds the secret itself");
  }
}

interface Wanted {
  readonly env: Readonly<Record<string, unknown>>;
  readonly method: string;
  readonly what: string;
}

function checkBinding(findings: Findings, at: string, value: unknown, { env, method, what }: Wanted): void {
  if (typeof value !== "string" || !VARIABLE.test(value)) {
    findings.add(at, `must be the name of the binding of ${what}`);
    return;
  }
  const bound = env[value];
  if (typeof bound !== "object" || bound === null || typeof Reflect.get(bound, method) !== "function") {
    findings.add(at, `wrangler.toml has no binding ${value} of ${what}`);
  }
}
