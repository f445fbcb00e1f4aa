import { clientIpOf } from "../../gateway/facts.ts";
import { err, ok, type Result } from "../../result.ts";
import { issuerOf } from "../issuer.ts";
import { resolveWorkload, type WorkloadRefusal, type WorkloadSubject } from "../workload-subject.ts";
import type { Call } from "./call.ts";
import type { OAuthError } from "./oauth-answer.ts";

/**
 * Whose identity a trusted issuer's JWT is, for the exchange. A token that is not good is a failure of its address, as a key that is
 * none: verifying costs more than a look-up, so an address that failed too often gets no more of it than a few.
 */
export async function identifyWorkload(
  jwt: string,
  { request, requestId, surroundings }: Call,
): Promise<Result<WorkloadSubject, OAuthError>> {
  const { isolate, env, ctx } = surroundings;
  const { shield } = isolate.parts;
  const now = Date.now();
  const address = clientIpOf(request);
  const waitUntil = (work: Promise<unknown>): void => ctx.waitUntil(work);
  if (!shield.mayLookUp(address, now)) return err(tooMany(shield.blockedSeconds(address, now) ?? 1));
  const found = await resolveWorkload(jwt, {
    trust: isolate.trust,
    registry: env.KEY_REGISTRY,
    fetch: (input, init) => fetch(input, init),
    now,
    waitUntil,
    audience: issuerOf(isolate.config, request.url),
    request: { id: requestId, address },
  });
  if (!found.ok && found.error.kind === "invalid") shield.note(address, now, waitUntil);
  return found.ok ? ok(found.value) : err(fromRefusal(found.error));
}

function tooMany(retryAfterSeconds: number): OAuthError {
  return { error: "slow_down", description: "Too many failed attempts from this address.", retryAfterSeconds };
}

const ERRORS = {
  // A subject token that is not good: RFC 8693 §2.2.2.
  invalid: "invalid_request",
  revoked: "invalid_request",
  // Trying again changes nothing until an operator does.
  full: "unauthorized_client",
  unavailable: "temporarily_unavailable",
} as const satisfies Record<WorkloadRefusal["kind"], OAuthError["error"]>;

function fromRefusal({ kind, detail, retryAfterSeconds }: WorkloadRefusal): OAuthError {
  const error = ERRORS[kind];
  return { error, description: detail, ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }) };
}
