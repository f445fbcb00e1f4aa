import type { ProblemCode } from "../http/codes.ts";
import { checkBindings } from "../keys/bindings.ts";
import type { EdgeRecord, Environment } from "../keys/record.ts";
import { missingScopes } from "../keys/scopes.ts";
import { statusAt } from "../keys/status.ts";
import type { RequestFacts } from "./outcome.ts";

/** Step 5, the part that is a function of the record: status, workspace, environment, bindings, scopes. No I/O. */

/** What the place that is called asks of a key. */
export interface Demand {
  /** Whose keys may come; `"*"` for every workspace's. */
  readonly workspace: string;
  /** `null`: both. */
  readonly environments: readonly Environment[] | null;
  readonly scopes: readonly string[];
  /** Whether keys for Latchkey's own API are asked for; they are good for nothing else. */
  readonly adminKeys: "refused" | "required" | "accepted";
  /** Whom a token must be for; `null`: for anyone. */
  readonly audience: string | null;
  /** Keys that open nothing themselves may be exchanged for a token here, and looked at. */
  readonly takesExchangeOnly: boolean;
}

/** Any key, wherever it may be used, and those that are for exchange alone: for who looks at what it is by itself. */
export const ANY_KEY: Demand = {
  workspace: "*",
  environments: null,
  scopes: [],
  adminKeys: "accepted",
  audience: null,
  takesExchangeOnly: true,
};

export interface Judgement {
  readonly code: ProblemCode;
  readonly detail: string;
  readonly requiredScopes?: readonly string[];
  /** With `signature_required` and `signature_invalid`: what must be signed, as RFC 9421 §5.1 says it. */
  readonly acceptSignature?: string;
  /** No newer record could say otherwise. */
  readonly final: boolean;
}

/** One answer for whatever is wrong with a credential (RFC 6750 §3.1), so that nothing is told to who guesses. */
export const INVALID_DETAIL = "The API key is not valid. Check that it was copied whole.";

const BINDING_DETAILS = {
  ip_not_allowed: "This key may not be used from this address.",
  origin_not_allowed: "This key may not be used from this origin.",
  country_not_allowed: "This key may not be used from this country.",
  certificate_required: "This key must be used with its client certificate.",
} as const;

/** Why the key may not do this, or `null`. */
export function judge(record: EdgeRecord, demand: Demand, facts: RequestFacts | null, now: number): Judgement | null {
  if (demand.workspace !== "*" && record.workspace !== demand.workspace) {
    return { code: "key_invalid", detail: INVALID_DETAIL, final: true };
  }
  const status = judgeStatus(record, now);
  if (status !== null) return status;
  if (demand.environments !== null && !demand.environments.includes(record.environment)) {
    const detail = `This is a ${record.environment} key; this path takes ${demand.environments.join(" or ")} keys.`;
    return { code: "environment_mismatch", detail, final: false };
  }
  const binding = facts === null ? null : checkBindings(record.bindings, facts);
  if (binding !== null) return { code: binding, detail: BINDING_DETAILS[binding], final: false };
  return judgeKind(record, demand) ?? judgeScopes(record, demand);
}

function judgeStatus(record: EdgeRecord, now: number): Judgement | null {
  const status = statusAt(record, now);
  switch (status) {
    case "revoked":
      return { code: "key_revoked", detail: statusDetail("key_revoked"), final: true };
    case "expired": {
      // An expiry can be moved by a patch; the end of an overlap cannot, and clients that missed a rotation come back for long.
      const final = record.notAfter !== null && record.notAfter <= now;
      return { code: "key_expired", detail: statusDetail("key_expired"), final };
    }
    case "disabled":
      return { code: "key_disabled", detail: statusDetail("key_disabled"), final: false };
    case "active":
    case "rotating":
      if (record.notBefore === null || record.notBefore <= now) return null;
      return { code: "key_not_yet_valid", detail: statusDetail("key_not_yet_valid"), final: false };
  }
}

/** What the holder of a key that does not stand is told. */
export function statusDetail(
  code: "key_invalid" | "key_revoked" | "key_expired" | "key_disabled" | "key_not_yet_valid",
): string {
  switch (code) {
    case "key_invalid":
      return INVALID_DETAIL;
    case "key_revoked":
      return "This API key was revoked. Use the one that replaces it.";
    case "key_expired":
      return "This API key has expired, or its replacement's overlap has ended.";
    case "key_disabled":
      return "This API key is disabled for now.";
    case "key_not_yet_valid":
      return "This API key is not valid yet.";
  }
}

function judgeKind(record: EdgeRecord, demand: Demand): Judgement | null {
  const admin = record.kind === "admin";
  if (admin && demand.adminKeys === "refused") {
    const detail = "An admin key is for Latchkey's own API. Use a key of kind secret or publishable here.";
    return { code: "scope_insufficient", detail, requiredScopes: demand.scopes, final: true };
  }
  if (!admin && demand.adminKeys === "required") {
    const detail = "This call takes an admin key.";
    return { code: "scope_insufficient", detail, requiredScopes: demand.scopes, final: true };
  }
  return null;
}

function judgeScopes(record: EdgeRecord, demand: Demand): Judgement | null {
  if (demand.scopes.length === 0) return null;
  const missing = missingScopes(record.scopes, demand.scopes);
  if (missing.length === 0) return null;
  const detail = `The key lacks ${missing.length === 1 ? "the scope" : "the scopes"} ${missing.join(", ")}.`;
  return { code: "scope_insufficient", detail, requiredScopes: demand.scopes, final: false };
}
