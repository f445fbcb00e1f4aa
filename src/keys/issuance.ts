import { MAX_DEADLINE_DAYS } from "../constants.ts";
import { isAdminScope } from "./admin-scopes.ts";
import type { Bindings, EpochMs, KeyKind, Policy } from "./record.ts";
import { isPublishableScope } from "./scopes.ts";

/** The rules between fields of a key: what its kind demands of its scopes, bindings and policy, and how deadlines stand. */

/** What a publishable key may hold when the configuration does not say: reading, of anything but Latchkey itself. */
export const DEFAULT_PUBLISHABLE_SCOPES: readonly string[] = ["*:read"];

const DAY_MS = 86_400_000;

/** RFC 3339, or epoch ms. */
type Time = string | EpochMs;

export interface Deadlines {
  readonly notBefore: Time | null;
  readonly expiresAt: Time | null;
}

export interface Issuance extends Deadlines {
  readonly kind: KeyKind;
  readonly scopes: readonly string[];
  readonly bindings: Bindings;
  readonly policy: Policy;
}

export interface IssuanceFault {
  /** JSON pointer into the request body. */
  readonly pointer: string;
  readonly detail: string;
}

/**
 * What is wrong with a key as it would be after issuance or a patch; empty when nothing is.
 *
 * @param publishableScopes `GatewayConfig.publishableScopes`. Absent: `*:read`.
 */
export function checkIssuance(
  input: Issuance,
  publishableScopes: readonly string[] = DEFAULT_PUBLISHABLE_SCOPES,
): readonly IssuanceFault[] {
  return [
    ...checkScopes(input, publishableScopes),
    ...checkOrigins(input),
    ...checkStrictness(input),
    ...checkSignature(input),
    ...checkOrder(input),
  ];
}

/** Deadlines that are set now: an expiry lies ahead, and neither is further away than anyone plans. */
export function checkDeadlines({ notBefore, expiresAt }: Deadlines, now: EpochMs): readonly IssuanceFault[] {
  const faults: IssuanceFault[] = [];
  const latest = now + MAX_DEADLINE_DAYS * DAY_MS;
  if (expiresAt !== null && toEpochMs(expiresAt) <= now) {
    faults.push({ pointer: "/expiresAt", detail: "Must be in the future." });
  }
  for (const [pointer, time] of [
    ["/notBefore", notBefore],
    ["/expiresAt", expiresAt],
  ] as const) {
    if (time !== null && toEpochMs(time) > latest) {
      faults.push({ pointer, detail: `Must be within ${MAX_DEADLINE_DAYS} days.` });
    }
  }
  return faults;
}

function checkOrder({ notBefore, expiresAt }: Deadlines): readonly IssuanceFault[] {
  if (notBefore === null || expiresAt === null || toEpochMs(notBefore) < toEpochMs(expiresAt)) return [];
  return [{ pointer: "/expiresAt", detail: "Must be later than notBefore." }];
}

function toEpochMs(time: Time): EpochMs {
  return typeof time === "number" ? time : Date.parse(time);
}

function checkScopes(input: Issuance, publishableScopes: readonly string[]): readonly IssuanceFault[] {
  if (input.scopes.length === 0 && input.kind !== "publishable") {
    return [{ pointer: "/scopes", detail: `A key of kind ${input.kind} needs at least one scope.` }];
  }
  return input.scopes.flatMap((scope, index) => {
    const detail = findScopeFault(scope, input.kind, publishableScopes);
    return detail === null ? [] : [{ pointer: `/scopes/${index}`, detail }];
  });
}

function findScopeFault(scope: string, kind: KeyKind, publishableScopes: readonly string[]): string | null {
  switch (kind) {
    case "secret":
    case "workload":
      return null;
    case "admin":
      return isAdminScope(scope) ? null : "An admin key takes scopes of the control API only.";
    case "publishable":
      return !isAdminScope(scope) && isPublishableScope(scope, publishableScopes)
        ? null
        : "A publishable key cannot hold this scope.";
  }
}

function checkOrigins(input: Issuance): readonly IssuanceFault[] {
  if (input.kind !== "publishable" || (input.bindings.origins?.length ?? 0) > 0) return [];
  return [{ pointer: "/bindings/origins", detail: "A publishable key needs at least one origin." }];
}

function checkStrictness(input: Issuance): readonly IssuanceFault[] {
  if (input.kind !== "admin" || input.policy.strict !== false) return [];
  return [{ pointer: "/policy/strict", detail: "An admin key is always strict." }];
}

/** A demand for signatures that could not be met, or would guard nothing, is a slip. */
function checkSignature({ kind, policy: { signature } }: Issuance): readonly IssuanceFault[] {
  if (signature === undefined) return [];
  const { algorithm, publicKey } = signature;
  // Nobody presents a workload's key, and the control API does not look at signatures.
  if (kind === "admin" || kind === "workload") {
    return [{ pointer: "/policy/signature", detail: `A key of kind ${kind} cannot demand signatures.` }];
  }
  if (algorithm === "hmac-sha256" && kind === "publishable") {
    const detail = "A publishable key is in everybody's hands, and so would be its signing secret. Use ed25519.";
    return [{ pointer: "/policy/signature/algorithm", detail }];
  }
  if (algorithm === "ed25519" && publicKey === undefined) {
    return [{ pointer: "/policy/signature/publicKey", detail: "ed25519 needs the holder's public key." }];
  }
  if (algorithm === "hmac-sha256" && publicKey !== undefined) {
    return [{ pointer: "/policy/signature/publicKey", detail: "hmac-sha256 has no public key." }];
  }
  return [];
}
