import type { ForeignAlgorithm, TokensConfig, TrustRule } from "../config.ts";
import { DEFAULT_WORKLOADS_PER_RULE } from "../constants.ts";
import { err, ok } from "../result.ts";
import type { Result } from "../result.ts";
import { parseTrustPattern } from "./trust-pattern.ts";
import type { Pattern } from "./trust-pattern.ts";

/** Who is trusted for what: rules as they are used, and the one that verified claims meet. Pure. */

export const FOREIGN_ALGORITHMS: readonly ForeignAlgorithm[] = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519",
];

const DEFAULT_WORKSPACE = "default";
const SPIFFE_ID = /^spiffe:\/\/([a-z0-9._-]{1,255})(?:\/|$)/;

export interface CompiledRule {
  readonly rule: TrustRule;
  readonly workspace: string;
  readonly maxIdentities: number;
  readonly algorithms: ReadonlySet<string>;
  readonly subject: Pattern | null;
  readonly claims: readonly ClaimPattern[];
}

interface ClaimPattern {
  readonly path: readonly string[];
  readonly pattern: Pattern;
}

/** Where keys come from. All rules of one issuer, or of one trust domain, agree on it. */
export interface Source {
  /** The issuer, or `spiffe://<trust domain>` for rules without one. */
  readonly id: string;
  readonly issuer: string | null;
  readonly keys:
    | { readonly kind: "inline"; readonly jwks: NonNullable<TrustRule["jwks"]> }
    | { readonly kind: "uri"; readonly uri: string }
    | { readonly kind: "discovery"; readonly issuer: string };
  readonly algorithms: readonly string[];
  /** In the order of the configuration. */
  readonly rules: readonly CompiledRule[];
}

/** Claims of a token whose signature holds, and the algorithm of that signature. */
export interface VerifiedClaims {
  readonly algorithm: string;
  readonly payload: Readonly<Record<string, unknown>>;
}

/** What no rule liked: the audience, or else the subject and claims. */
export type NoRule = "audience" | "workload";

/** For a configuration without faults: see `gateway/config-check-trust.ts`. */
export function compileTrust(tokens: Pick<TokensConfig, "trust"> | undefined): ReadonlyMap<string, Source> {
  const sources = new Map<string, Source>();
  for (const rule of tokens?.trust ?? []) {
    const id = sourceIdOf(rule);
    const compiled = compileRule(rule);
    const known = sources.get(id);
    const rules = [...(known?.rules ?? []), compiled];
    const algorithms = [...new Set(rules.flatMap((each) => [...each.algorithms]))];
    sources.set(id, { id, issuer: rule.issuer ?? null, keys: keysOf(rule), algorithms, rules });
  }
  return sources;
}

/** The issuer; without one the trust domain that the subject's pattern fixes, as `spiffe://<domain>`. */
export function sourceIdOf({ issuer, subject = "" }: TrustRule): string {
  return issuer ?? trustDomainOf(subject) ?? "";
}

/** `spiffe://example.org` of a SPIFFE id, or of a pattern for some. */
export function trustDomainOf(subject: string): string | null {
  const domain = SPIFFE_ID.exec(subject)?.[1];
  return domain === undefined ? null : `spiffe://${domain}`;
}

/**
 * Which keys a token claims to be signed by; `null` where nobody trusts them. A rule that names the issuer comes first; `iss` of
 * a JWT-SVID means nothing, so a trust domain's rules are found by the subject alone.
 */
export function findSource(
  sources: ReadonlyMap<string, Source>,
  { iss, sub }: { readonly iss?: unknown; readonly sub?: unknown },
): Source | null {
  const issuer = typeof iss === "string" ? sources.get(iss) : undefined;
  if (issuer !== undefined && issuer.issuer === iss) return issuer;
  const domain = typeof sub === "string" ? trustDomainOf(sub) : null;
  const byDomain = domain === null ? undefined : sources.get(domain);
  return byDomain?.issuer === null ? byDomain : null;
}

/**
 * The first rule, in the order of the configuration, whose every demand holds. Later rules are not looked at: who wants one
 * workload to have more than its siblings puts the narrower rule first.
 *
 * @param defaultAudience for rules that name none.
 */
export function matchRule(
  rules: readonly CompiledRule[],
  claims: VerifiedClaims,
  defaultAudience: string,
): Result<CompiledRule, NoRule> {
  let heard = false;
  for (const rule of rules) {
    if (!isFor(claims.payload["aud"], rule.rule.audience ?? defaultAudience)) continue;
    heard = true;
    if (meets(rule, claims)) return ok(rule);
  }
  return err(heard ? "workload" : "audience");
}

/** Exactly one audience: a token that is also for others could be replayed here by each of them. */
function isFor(audience: unknown, expected: string): boolean {
  if (Array.isArray(audience)) return audience.length === 1 && audience[0] === expected;
  return audience === expected;
}

function meets({ algorithms, subject, claims }: CompiledRule, { algorithm, payload }: VerifiedClaims): boolean {
  const { sub } = payload;
  if (!algorithms.has(algorithm) || typeof sub !== "string") return false;
  if (subject !== null && !subject.matches(sub)) return false;
  return claims.every(({ path, pattern }) => matchesClaim(readClaim(payload, path), pattern));
}

/** A text, number or truth value by its text; of a list one text is enough. Anything else is no match. */
function matchesClaim(value: unknown, pattern: Pattern): boolean {
  if (typeof value === "string") return pattern.matches(value);
  if (typeof value === "boolean" || Number.isSafeInteger(value)) return pattern.matches(String(value));
  return Array.isArray(value) && value.some((item) => typeof item === "string" && pattern.matches(item));
}

function readClaim(payload: unknown, path: readonly string[]): unknown {
  let at: unknown = payload;
  for (const name of path) {
    if (typeof at !== "object" || at === null || Array.isArray(at) || !Object.hasOwn(at, name)) return undefined;
    at = Reflect.get(at, name);
  }
  return at;
}

/** `repository` → one name; `/kubernetes.io/namespace` → the names of a JSON pointer (RFC 6901). */
export function claimPathOf(name: string): readonly string[] {
  if (!name.startsWith("/")) return [name];
  const names = name.slice(1).split("/");
  return names.map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function compileRule(rule: TrustRule): CompiledRule {
  return {
    rule,
    workspace: rule.workspace ?? DEFAULT_WORKSPACE,
    maxIdentities: rule.maxIdentities ?? DEFAULT_WORKLOADS_PER_RULE,
    algorithms: new Set(rule.algorithms ?? FOREIGN_ALGORITHMS),
    subject: rule.subject === undefined ? null : compilePattern(rule.subject),
    claims: Object.entries(rule.claims ?? {}).map(([name, text]) => ({
      path: claimPathOf(name),
      pattern: compilePattern(text),
    })),
  };
}

function compilePattern(text: string): Pattern {
  const pattern = parseTrustPattern(text);
  if (!pattern.ok) throw new Error(`the pattern ${pattern.error}`);
  return pattern.value;
}

function keysOf({ issuer, jwksUri, jwks }: TrustRule): Source["keys"] {
  if (jwks !== undefined) return { kind: "inline", jwks };
  return jwksUri === undefined ? { kind: "discovery", issuer: issuer ?? "" } : { kind: "uri", uri: jwksUri };
}
