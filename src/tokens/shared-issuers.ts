import type { TrustRule } from "../config.ts";
import { literalStartOf } from "./trust-pattern.ts";

/**
 * Issuers that sign for anybody: a rule for one of them has to say whose workloads it means, or it would let in everyone's.
 * What each calls its tenants is from its own documentation.
 */

interface SharedIssuer {
  readonly issuer: string;
  /** Issuers below this one (`<issuer>/<tenant>`) are for one tenant each, and yet take the same care. */
  readonly below: boolean;
  /** What the subject's text before its first wildcard has to hold. */
  readonly subject: RegExp;
  /** Claims that name a tenant: one of them without a wildcard up to the end, or up to the first `/`. */
  readonly claims: readonly string[];
  readonly means: string;
}

const SHARED_ISSUERS: readonly SharedIssuer[] = [
  {
    issuer: "https://token.actions.githubusercontent.com",
    below: true,
    subject: /^repo:[^:/*]+\//,
    claims: ["repository", "repository_id", "repository_owner", "repository_owner_id"],
    means:
      "subject from `repo:<owner>/` on, or the claim repository, repository_id, repository_owner or repository_owner_id",
  },
  {
    issuer: "https://gitlab.com",
    below: false,
    subject: /^project_path:[^:/*]+\//,
    claims: ["project_path", "project_id", "namespace_path", "namespace_id"],
    means:
      "subject from `project_path:<group>/` on, or the claim project_path, project_id, namespace_path or namespace_id",
  },
  {
    issuer: "https://agent.buildkite.com",
    below: false,
    subject: /^organization:[^:/*]+:/,
    claims: ["organization_slug", "organization_id"],
    means: "subject from `organization:<slug>:` on, or the claim organization_slug or organization_id",
  },
  {
    issuer: "https://app.terraform.io",
    below: false,
    subject: /^organization:[^:/*]+:/,
    claims: ["terraform_organization_id", "terraform_organization_name"],
    means:
      "subject from `organization:<name>:` on, or the claim terraform_organization_id or terraform_organization_name",
  },
  {
    issuer: "https://accounts.google.com",
    below: false,
    subject: /^[^*]+$/,
    claims: ["email"],
    means: "subject whole, or the claim email",
  },
];

/** What a rule for a shared issuer leaves open; `null` when it says whose workloads it means, or the issuer signs for one party. */
export function findUnpinnedTenant({ issuer = "", subject = "", claims = {} }: TrustRule): string | null {
  const shared = SHARED_ISSUERS.find((each) => isOf(each, issuer));
  if (shared === undefined || shared.subject.test(subjectStart(subject))) return null;
  if (shared.claims.some((name) => namesTenant(claims[name]))) return null;
  return `must fix ${shared.means}: ${shared.issuer} signs for everybody`;
}

function isOf({ issuer, below }: SharedIssuer, named: string): boolean {
  const bare = named.toLowerCase().replace(/\/$/, "");
  return bare === issuer || (below && bare.startsWith(`${issuer}/`));
}

/** With a mark where something else may follow, so that a whole subject can be told from a beginning. */
function subjectStart(subject: string): string {
  const start = literalStartOf(subject);
  return start === subject ? subject : `${start}*`;
}

function namesTenant(pattern: string | undefined): boolean {
  if (pattern === undefined) return false;
  return !pattern.includes("*") || /^[^*/]+\//.test(pattern);
}
