import type { AccessConfig, AccessRole, SelfIssueConfig } from "../config.ts";
import { MAX_SCOPES } from "../constants.ts";
import { isAdminScope } from "../keys/admin-scopes.ts";
import { isScope } from "../keys/scopes.ts";
import type { Findings } from "./config-findings.ts";

/** What `dashboard` and `selfService` say, looked at on their own. */

const ROLE_KEYS: readonly (keyof AccessRole)[] = ["emails", "emailDomain", "groups", "workspace", "scopes"];
const ACCESS_KEYS: readonly (keyof AccessConfig)[] = ["teamDomain", "audience", "roles"];
const ISSUE_KEYS: readonly (keyof SelfIssueConfig)[] = ["scopes", "environments", "plan", "maxKeys", "maxTtlDays"];

/** A team's own name at Cloudflare; on this machine alone, a stand-in for it. */
const TEAM_DOMAIN =
  /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+|(?:localhost|127\.0\.0\.1):\d{1,5})$/;
const DOMAIN = /^[a-z0-9-]+(?:\.[a-z0-9-]+)+$/i;
const EMAIL = /^[^\s@]{1,64}@[^\s@]{1,255}$/;
const MAX_ROLES = 100;
const MAX_ROLE_ENTRIES = 1_000;
const MAX_KEYS_PER_OWNER = 200;
const MAX_TTL_DAYS = 3_650;

export function checkDashboard(findings: Findings, value: unknown): void {
  if (value === undefined || value === false) return;
  const access = findings.object("dashboard", value, ["access"])?.["access"];
  if (access === undefined) return;
  const place = "dashboard.access";
  const fields = findings.object(place, access, ACCESS_KEYS);
  if (fields === null) return;
  const { teamDomain, audience } = fields;
  if (typeof teamDomain !== "string" || !TEAM_DOMAIN.test(teamDomain))
    findings.add(`${place}.teamDomain`, "must be a host name such as acme.cloudflareaccess.com");
  if (typeof audience !== "string" || !/^[!-~]{1,256}$/.test(audience))
    findings.add(`${place}.audience`, "must be the application's audience tag");
  const roles = findings.list(`${place}.roles`, fields["roles"]);
  if (roles.length === 0 || roles.length > MAX_ROLES)
    findings.add(`${place}.roles`, `must name 1 to ${MAX_ROLES} roles: who fits none is refused`);
  for (const [index, role] of roles.entries()) checkRole(findings, `${place}.roles[${index}]`, role);
}

function checkRole(findings: Findings, place: string, value: unknown): void {
  const role = findings.object(place, value, ROLE_KEYS);
  if (role === null) return;
  const { emails, emailDomain, groups, workspace, scopes } = role;
  if (emails === undefined && emailDomain === undefined && groups === undefined)
    findings.add(place, "must say for whom: emails, emailDomain or groups");
  texts(findings, `${place}.emails`, emails, (email) => EMAIL.test(email));
  texts(findings, `${place}.groups`, groups, (group) => group !== "" && group.length <= 256);
  if (emailDomain !== undefined && !(typeof emailDomain === "string" && DOMAIN.test(emailDomain)))
    findings.add(`${place}.emailDomain`, "must be a domain such as example.com");
  if (workspace !== undefined) findings.name(`${place}.workspace`, typeof workspace === "string" ? workspace : "");
  const listed = findings.list(`${place}.scopes`, scopes);
  if (listed.length === 0) findings.add(`${place}.scopes`, "must name at least one scope of the control API");
  for (const [index, scope] of listed.entries()) {
    if (typeof scope !== "string" || !isAdminScope(scope))
      findings.add(`${place}.scopes[${index}]`, "is no scope of the control API");
  }
}

function texts(findings: Findings, place: string, value: unknown, isSound: (text: string) => boolean): void {
  if (value === undefined) return;
  const listed = findings.list(place, value);
  if (listed.length === 0 || listed.length > MAX_ROLE_ENTRIES)
    findings.add(place, `must have 1 to ${MAX_ROLE_ENTRIES} entries`);
  if (!listed.every((entry) => typeof entry === "string" && isSound(entry)))
    findings.add(place, "has an entry that is none");
}

export function checkSelfService(findings: Findings, value: unknown, planNames: ReadonlySet<string>): void {
  if (value === undefined) return;
  const fields = findings.object("selfService", value, ["rotate", "issue"]);
  if (fields === null) return;
  findings.optionalBoolean("selfService.rotate", fields["rotate"]);
  if (fields["issue"] === undefined || fields["issue"] === false) return;
  const place = "selfService.issue";
  const issue = findings.object(place, fields["issue"], ISSUE_KEYS);
  if (issue === null) return;
  const scopes = findings.list(`${place}.scopes`, issue["scopes"]);
  if (scopes.length === 0 || scopes.length > MAX_SCOPES)
    findings.add(`${place}.scopes`, `must name 1 to ${MAX_SCOPES} scopes`);
  if (!scopes.every((scope) => typeof scope === "string" && isScope(scope)))
    findings.add(`${place}.scopes`, "must be resource:action");
  findings.environments(`${place}.environments`, issue["environments"]);
  const { plan } = issue;
  if (plan !== undefined && !(typeof plan === "string" && planNames.has(plan)))
    findings.add(`${place}.plan`, "must be one of the names under plans");
  findings.optionalInteger(`${place}.maxKeys`, issue["maxKeys"], 1, MAX_KEYS_PER_OWNER);
  findings.optionalInteger(`${place}.maxTtlDays`, issue["maxTtlDays"], 1, MAX_TTL_DAYS);
}
