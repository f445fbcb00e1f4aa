import { clientIpOf } from "../../gateway/facts.ts";
import { err, ok, type Result } from "../../result.ts";
import { issuerOf } from "../issuer.ts";
import { resolveWorkload, type WorkloadRefusal, type WorkloadSubject } from "../workload-subject.ts";
import type { Call } from "./call.ts";
import type { OAuthError } from "./oauth-answer.ts";

/** Whose identity a trusted issuer's JWT is, for the exchange. */
export async function identifyWorkload(
  jwt: string,
  { request, requestId, surroundings }: Call,
): Promise<Result<WorkloadSubject, OAuthError>> {
  const { isolate, env, ctx } = surroundings;
  const found = await resolveWorkload(jwt, {
    trust: isolate.trust,
    registry: env.KEY_REGISTRY,
    fetch: (input, init) => fetch(input, init),
    now: Date.now(),
    waitUntil: (work) => ctx.waitUntil(work),
    audience: issuerOf(isolate.config, request.url),
    request: { id: requestId, address: clientIpOf(request) },
  });
  return found.ok ? ok(found.value) : err(fromRefusal(found.error));
}

/** A subject token that is not good is `invalid_request` (RFC 8693 §2.2.2). */
function fromRefusal({ kind, detail, retryAfterSeconds }: WorkloadRefusal): OAuthError {
  const error = kind === "unavailable" || kind === "full" ? "temporarily_unavailable" : "invalid_request";
  return { error, description: detail, ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }) };
}
