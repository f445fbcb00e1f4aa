import { errors, jwtVerify } from "jose";
import type { JWTPayload } from "jose";
import type { AccessConfig, AccessRole } from "../../config.ts";
import { logWarning } from "../../platform/log.ts";
import { err, ok, type Result } from "../../result.ts";
import { RemoteJwks } from "../../tokens/remote-jwks.ts";
import type { DashboardDependencies } from "../dependencies.ts";
import type { Visitor } from "./identify.ts";
import { sealingKeys } from "./seal.ts";

/**
 * Sign-in by an identity provider through Cloudflare Access, which puts a JWT on each request that it lets through. Anybody can send
 * the header to a host that Access does not guard: it counts for nothing until its signature, issuer, audience and time are found
 * good. Who fits no role is refused.
 */

const HEADER = "Cf-Access-Jwt-Assertion";
/** A JWT of Access with a few hundred groups. */
const MAX_ASSERTION_CHARACTERS = 16_384;
const CLOCK_TOLERANCE_SECONDS = 30;
const MAX_EMAIL_CHARACTERS = 128;
const DEFAULT_WORKSPACE = "default";

/** The team's certificates, kept and renewed as those of other issuers. */
const certificates = new WeakMap<AccessConfig, RemoteJwks>();

/** `null`: no sign-in by Access is configured, or none was tried. The error is for the person who tried. */
export async function identifyByAccess(
  request: Request,
  deps: DashboardDependencies,
): Promise<Result<Visitor, string> | null> {
  const { dashboard } = deps.control.config;
  const config = dashboard === false ? undefined : dashboard?.access;
  const assertion = request.headers.get(HEADER);
  if (config === undefined || assertion === null) return null;
  if (assertion.length > MAX_ASSERTION_CHARACTERS) return err("Cloudflare Access sent more than is read here.");
  const claims = await verifyAssertion(assertion, config, deps);
  if (!claims.ok) return claims;
  const { email } = claims.value;
  if (typeof email !== "string" || email === "" || email.length > MAX_EMAIL_CHARACTERS)
    return err("Cloudflare Access names no e-mail address: services use admin keys.");
  const role = roleFor(config.roles, email, groupsOf(claims.value));
  if (role === null) return err(`${email} has no role here. Whoever runs Latchkey can give it one.`);
  const csrf = await csrfFor(email, claims.value, deps);
  if (csrf === null) return err("This deployment has no LATCHKEY_TOKEN_SECRET, without which nobody signs in.");
  const { control } = deps;
  const actor = {
    kind: "person",
    id: email,
    address: control.clientIp(request),
    requestId: control.requestId(request),
  } as const;
  const caller = { actor, workspace: role.workspace ?? DEFAULT_WORKSPACE, scopes: role.scopes };
  return ok({ caller, csrf, name: email, via: "access", session: null });
}

async function verifyAssertion(
  assertion: string,
  config: AccessConfig,
  { fetch, waitUntil, control }: DashboardDependencies,
): Promise<Result<JWTPayload, string>> {
  const issuer = issuerOf(config);
  let keys = certificates.get(config);
  if (keys === undefined) {
    const uri = `${issuer}/cdn-cgi/access/certs`;
    keys = new RemoteJwks({ id: issuer, issuer, keys: { kind: "uri", uri }, algorithms: ["RS256"], rules: [] });
    certificates.set(config, keys);
  }
  const known = keys;
  const now = control.now();
  let unavailable = false;
  try {
    const { payload } = await jwtVerify(
      assertion,
      async (header) => {
        const found = await known.find(header, { fetch, now, waitUntil });
        if (found.ok) return found.value;
        unavailable = found.error === "unavailable";
        throw new errors.JWKSNoMatchingKey();
      },
      {
        issuer,
        audience: config.audience,
        algorithms: ["RS256"],
        clockTolerance: CLOCK_TOLERANCE_SECONDS,
        currentDate: new Date(now),
        requiredClaims: ["exp", "iat", "sub"],
      },
    );
    return ok(payload);
  } catch (error) {
    if (!(error instanceof errors.JOSEError)) throw error;
    logWarning("a JWT of Cloudflare Access is not good", { reason: error.code, unavailable });
    return err(
      unavailable
        ? "The certificates of Cloudflare Access cannot be read right now. Try again shortly."
        : "What Cloudflare Access says of you is not good here. Sign in there again.",
    );
  }
}

/** A name with a port is a stand-in on this machine: the configuration allows no other. */
function issuerOf({ teamDomain }: AccessConfig): string {
  return `${teamDomain.includes(":") ? "http" : "https"}://${teamDomain}`;
}

/** As the identity provider said them, under `groups` or among what Access was told to pass on (`custom`). */
function groupsOf(claims: JWTPayload): readonly string[] {
  const custom: unknown = claims["custom"];
  const inCustom: unknown = typeof custom === "object" && custom !== null ? Reflect.get(custom, "groups") : undefined;
  return [claims["groups"], inCustom].flat().filter((group) => typeof group === "string");
}

/** The first that fits. */
export function roleFor(roles: readonly AccessRole[], email: string, groups: readonly string[]): AccessRole | null {
  const address = email.toLowerCase();
  const at = address.lastIndexOf("@");
  const domain = at > 0 ? address.slice(at + 1) : null;
  const fits = (role: AccessRole): boolean =>
    role.emails?.some((listed) => listed.toLowerCase() === address) === true ||
    role.emailDomain?.toLowerCase() === domain ||
    role.groups?.some((group) => groups.includes(group)) === true;
  return roles.find(fits) ?? null;
}

/** Access has no session of ours to hold a token: it follows from what Access says, under a key that nobody else has. */
async function csrfFor(email: string, claims: JWTPayload, { secrets }: DashboardDependencies): Promise<string | null> {
  const [secret] = await sealingKeys("access-csrf", secrets);
  if (secret === undefined) return null;
  const key = await crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const said = new TextEncoder().encode(JSON.stringify([email, claims.sub, claims.iat]));
  return Buffer.from(await crypto.subtle.sign("HMAC", key, said)).toString("base64url");
}
