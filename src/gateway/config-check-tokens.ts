import type { TokensConfig } from "../config.ts";
import { MAX_ROTATION_DAYS, MAX_TOKEN_TTL_SECONDS } from "../constants.ts";
import { isIssuer } from "../tokens/issuer.ts";
import { checkLimits } from "./config-check-limits.ts";
import { checkTrust } from "./config-check-trust.ts";
import type { Findings } from "./config-findings.ts";

/** What `tokens` says, looked at on its own. */

const KEYS: readonly (keyof TokensConfig)[] = [
  "issuer",
  "algorithm",
  "rotationDays",
  "ttlSeconds",
  "exchangeLimit",
  "defaultUpstream",
  "trust",
];

export interface TokensContext {
  readonly upstreamNames: ReadonlySet<string>;
  readonly planNames: ReadonlySet<string>;
}

export function checkTokens(findings: Findings, value: unknown, { upstreamNames, planNames }: TokensContext): void {
  const fields = findings.object("tokens", value, KEYS);
  if (fields === null) return;
  const { issuer, defaultUpstream, exchangeLimit } = fields;
  if (issuer !== undefined && (typeof issuer !== "string" || !isIssuer(issuer)))
    findings.add(
      "tokens.issuer",
      "must be an origin such as https://api.example.com, without a path or a slash at its end",
    );
  findings.optionalOneOf("tokens.algorithm", fields["algorithm"], ["ES256", "Ed25519", "RS256"]);
  findings.optionalInteger("tokens.rotationDays", fields["rotationDays"], 1, MAX_ROTATION_DAYS);
  findings.optionalInteger("tokens.ttlSeconds", fields["ttlSeconds"], 1, MAX_TOKEN_TTL_SECONDS);
  if (defaultUpstream !== undefined && !(typeof defaultUpstream === "string" && upstreamNames.has(defaultUpstream)))
    findings.add("tokens.defaultUpstream", "names no upstream");
  checkTrust(findings, "tokens.trust", fields["trust"], { planNames, ownIssuer: issuer });
  if (exchangeLimit !== undefined && exchangeLimit !== false) {
    const limit = findings.object("tokens.exchangeLimit", exchangeLimit, ["limit", "window"]);
    if (limit !== null)
      checkLimits(findings, "tokens.exchangeLimit", [{ name: "token-exchange", kind: "rate", ...limit }]);
  }
}

/** Tokens for one upstream must not be good at another. */
export function checkAudiences(findings: Findings, upstreams: readonly (readonly [string, unknown])[]): void {
  const taken = new Map<string, string>();
  for (const [name, upstream] of upstreams) {
    const said =
      typeof upstream === "object" && upstream !== null && "audience" in upstream ? upstream.audience : undefined;
    const place = `upstreams.${name}.audience`;
    if (said !== undefined && (typeof said !== "string" || !/^[!-~]{1,256}$/.test(said))) {
      findings.add(place, "must be 1 to 256 visible ASCII characters without spaces");
      continue;
    }
    const audience = said ?? name;
    const other = taken.get(audience);
    if (other !== undefined) findings.add(place, `is the audience of upstreams.${other} too`);
    taken.set(audience, name);
  }
}
