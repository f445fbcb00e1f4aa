import type { TrustRule } from "../config.ts";
import { MAX_ISSUER_KEYS, MAX_SCOPES, MAX_WORKLOADS_PER_RULE } from "../constants.ts";
import { isScope } from "../keys/scopes.ts";
import { findUnpinnedTenant } from "../tokens/shared-issuers.ts";
import { claimPathOf, FOREIGN_ALGORITHMS, sourceIdOf } from "../tokens/trust.ts";
import { literalStartOf, parseTrustPattern } from "../tokens/trust-pattern.ts";
import { checkLimits } from "./config-check-limits.ts";
import type { Fields, Findings } from "./config-findings.ts";

const RULE_KEYS: readonly (keyof TrustRule)[] = [
  "name",
  "issuer",
  "jwksUri",
  "jwks",
  "audience",
  "subject",
  "claims",
  "algorithms",
  "workspace",
  "owner",
  "environment",
  "scopes",
  "plan",
  "limits",
  "strict",
  "ttlSeconds",
  "identity",
  "maxIdentities",
];

/** Claims that a rule names by a field of its own, or that say nothing of who the workload is. */
const OTHER_CLAIMS: ReadonlySet<string> = new Set(["iss", "sub", "aud", "exp", "nbf", "iat", "jti"]);
const MAX_RULES = 200;
const MAX_CLAIMS = 16;
const MAX_TTL_SECONDS = 3_600;
const MIN_TTL_SECONDS = 10;
const LOOPBACK_HOSTS: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** What the rest of the configuration says. */
export interface TrustContext {
  readonly planNames: ReadonlySet<string>;
  /** `TokensConfig.issuer`, as written. */
  readonly ownIssuer: unknown;
}

/** Looks through `tokens.trust`: each rule in itself, then what they say of each other. */
export function checkTrust(findings: Findings, place: string, value: unknown, context: TrustContext): void {
  if (value === undefined) return;
  const rules = findings.list(place, value);
  if (rules.length > MAX_RULES) findings.add(place, `has more than ${MAX_RULES} rules`);
  const sound: (readonly [string, TrustRule])[] = [];
  for (const [index, rule] of rules.entries()) {
    const at = `${place}[${index}]`;
    const before = findings.errors.length;
    const fields = findings.object(at, rule, RULE_KEYS);
    if (fields === null) continue;
    checkRule(findings, at, fields, context);
    // Every field of it was seen to be what the type says.
    if (findings.errors.length === before) sound.push([at, rule as TrustRule]);
  }
  checkTogether(findings, sound);
}

function checkRule(findings: Findings, at: string, rule: Fields, context: TrustContext): void {
  for (const field of ["name", "owner"] as const) {
    const text = rule[field];
    findings.name(`${at}.${field}`, typeof text === "string" ? text : "");
  }
  const { workspace } = rule;
  if (workspace !== undefined) findings.name(`${at}.workspace`, typeof workspace === "string" ? workspace : "");
  checkIssuer(findings, at, rule, context.ownIssuer);
  checkKeys(findings, at, rule);
  checkWho(findings, at, rule);
  findings.optionalOneOf(`${at}.environment`, rule["environment"] ?? null, ["live", "test"]);
  checkScopes(findings, `${at}.scopes`, rule["scopes"]);
  checkLimits(findings, `${at}.limits`, rule["limits"] ?? []);
  const { plan, audience, algorithms } = rule;
  if (plan !== undefined && !(typeof plan === "string" && context.planNames.has(plan))) {
    findings.add(`${at}.plan`, "must be one of the names under plans");
  }
  if (audience !== undefined && (typeof audience !== "string" || !/^[!-~]{1,512}$/.test(audience))) {
    findings.add(`${at}.audience`, "must be 1 to 512 visible ASCII characters");
  }
  for (const [index, algorithm] of findings.list(`${at}.algorithms`, algorithms ?? []).entries()) {
    findings.optionalOneOf(`${at}.algorithms[${index}]`, algorithm ?? null, FOREIGN_ALGORITHMS);
  }
  if (Array.isArray(algorithms) && algorithms.length === 0) findings.add(`${at}.algorithms`, "must name at least one");
  findings.optionalBoolean(`${at}.strict`, rule["strict"]);
  findings.optionalInteger(`${at}.ttlSeconds`, rule["ttlSeconds"], MIN_TTL_SECONDS, MAX_TTL_SECONDS);
  findings.optionalOneOf(`${at}.identity`, rule["identity"], ["subject", "rule"]);
  findings.optionalInteger(`${at}.maxIdentities`, rule["maxIdentities"], 1, MAX_WORKLOADS_PER_RULE);
}

function checkIssuer(findings: Findings, at: string, { issuer, subject }: Fields, ownIssuer: unknown): void {
  if (issuer === undefined) {
    // With its slash: `spiffe://example*` would leave the domain open.
    if (typeof subject === "string" && /^spiffe:\/\/[a-z0-9._-]{1,255}\//.test(literalStartOf(subject))) return;
    findings.add(`${at}.issuer`, "may be absent only where subject begins with spiffe://<trust domain>/");
    return;
  }
  const fault = findUrlFault(issuer);
  if (fault !== null) findings.add(`${at}.issuer`, fault);
  else if (issuer === ownIssuer)
    findings.add(`${at}.issuer`, "is Latchkey's own: its tokens are exchanged without a rule");
}

/** `https`, or `http` to this machine; nothing that discovery could not append to. */
function findUrlFault(text: unknown): string | null {
  const url = typeof text === "string" && URL.canParse(text) ? new URL(text) : null;
  if (url === null || typeof text !== "string" || /[^!-~]/.test(text)) return "must be a URL";
  if (url.protocol !== "https:" && !(url.protocol === "http:" && LOOPBACK_HOSTS.has(url.hostname))) {
    return "must be an https URL (http is for this machine alone)";
  }
  if (url.username !== "" || url.password !== "") return "must not contain a user name or password";
  if (/[?#]/.test(text)) return "must not have a query or fragment";
  return null;
}

function checkKeys(findings: Findings, at: string, { issuer, jwksUri, jwks }: Fields): void {
  if (jwksUri !== undefined && jwks !== undefined)
    findings.add(`${at}.jwks`, "stands beside jwksUri: one of them decides");
  if (issuer === undefined && jwksUri === undefined && jwks === undefined) {
    findings.add(`${at}.jwksUri`, "or jwks is needed where there is no issuer to ask");
  }
  if (jwksUri !== undefined) {
    const fault = findUrlFault(typeof jwksUri === "string" ? jwksUri.replace(/\?[^#]*$/, "") : jwksUri);
    if (fault !== null) findings.add(`${at}.jwksUri`, fault);
  }
  if (jwks === undefined) return;
  const keys = findings.list(`${at}.jwks.keys`, findings.object(`${at}.jwks`, jwks, ["keys"])?.["keys"]);
  if (keys.length === 0 || keys.length > MAX_ISSUER_KEYS) {
    findings.add(`${at}.jwks.keys`, `must have 1 to ${MAX_ISSUER_KEYS} keys`);
  }
  for (const [index, key] of keys.entries()) checkKey(findings, `${at}.jwks.keys[${index}]`, key);
}

function checkKey(findings: Findings, at: string, key: unknown): void {
  if (typeof key !== "object" || key === null || !("kty" in key)) {
    findings.add(at, "must be a JSON Web Key");
  } else if (!["RSA", "EC", "OKP"].includes(String(key.kty))) {
    findings.add(at, "must be of kty RSA, EC or OKP: a secret that verifies could also sign");
  } else if ("d" in key) {
    findings.add(at, "is a private key: take it out, and replace it wherever it was used");
  }
}

function checkWho(findings: Findings, at: string, rule: Fields): void {
  const { subject } = rule;
  if (subject !== undefined) checkPattern(findings, `${at}.subject`, subject);
  // Otherwise whoever the issuer lets choose the end of a name could choose the whole of it.
  if (typeof subject === "string" && subject.startsWith("*")) {
    findings.add(`${at}.subject`, "must begin with literal text");
  }
  const claims = findings.entries(`${at}.claims`, rule["claims"] ?? {});
  if (claims.length > MAX_CLAIMS) findings.add(`${at}.claims`, `has more than ${MAX_CLAIMS} claims`);
  for (const [name, pattern] of claims) {
    const place = `${at}.claims.${name}`;
    if (OTHER_CLAIMS.has(name) || claimPathOf(name).includes("")) {
      findings.add(place, "is no claim that can be asked for here: see subject, audience, issuer");
    }
    checkPattern(findings, place, pattern);
  }
  if (subject === undefined && claims.length === 0) {
    findings.add(at, "must have a subject or claims: as it is, everyone with a token of the issuer would match");
  }
}

function checkPattern(findings: Findings, place: string, pattern: unknown): void {
  if (typeof pattern !== "string") {
    findings.add(place, "must be a text");
    return;
  }
  const parsed = parseTrustPattern(pattern);
  if (!parsed.ok) findings.add(place, parsed.error);
}

function checkScopes(findings: Findings, place: string, value: unknown): void {
  const scopes = findings.list(place, value);
  if (Array.isArray(value) && scopes.length === 0) findings.add(place, "must name at least one scope");
  if (scopes.length > MAX_SCOPES) findings.add(place, `has more than ${MAX_SCOPES} scopes`);
  for (const [index, scope] of scopes.entries()) {
    if (typeof scope !== "string" || !isScope(scope)) findings.add(`${place}[${index}]`, "must be resource:action");
  }
}

/** Rules that are sound by themselves: names are told apart, one source has one set of keys, and none stands behind its twin. */
function checkTogether(findings: Findings, rules: readonly (readonly [string, TrustRule])[]): void {
  const names = new Map<string, string>();
  const keys = new Map<string, readonly [string, string]>();
  const demands = new Map<string, string>();
  for (const [at, rule] of rules) {
    const open = findUnpinnedTenant(rule);
    if (open !== null) findings.add(at, open);
    const namesake = names.get(rule.name);
    if (namesake === undefined) names.set(rule.name, at);
    else findings.add(`${at}.name`, `is the name of ${namesake}, too`);
    const source = sourceIdOf(rule);
    const from = JSON.stringify([rule.jwksUri, rule.jwks]);
    const known = keys.get(source);
    if (known === undefined) keys.set(source, [at, from]);
    else if (known[1] !== from)
      findings.add(at, `has other keys for ${source} than ${known[0]}: one issuer has one set`);
    const claims = Object.entries(rule.claims ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
    const demand = JSON.stringify([source, rule.audience, rule.subject, claims, rule.algorithms]);
    const rival = demands.get(demand);
    if (rival === undefined) demands.set(demand, at);
    else findings.add(at, `never matches: ${rival} asks for the same, and stands before it`);
  }
}
