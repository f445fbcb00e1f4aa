import type { Problem } from "../http/problem.ts";
import { err, ok, type Result } from "../result.ts";
import { signAssertion } from "../tokens/assertion.ts";
import { issuerOf } from "../tokens/issuer.ts";
import type { CompiledRoute } from "./compiled-route.ts";
import type { Surroundings } from "./handler.ts";
import type { Admission } from "./outcome.ts";

/** A request that was let in, as the origin is to hear of it. */
export interface Admitted {
  readonly route: CompiledRoute;
  readonly admission: Admission;
  readonly requestId: string;
  /** The original's. */
  readonly method: string;
  readonly url: string;
  /** The URL at which Latchkey itself was asked: the public keys are served there. */
  readonly askedAt: string;
}

export const ASSERTION_UNAVAILABLE = {
  code: "verification_unavailable",
  detail: "The request cannot be signed for the API behind it right now.",
} as const satisfies Problem;

/**
 * The assertion that a route's origin is shown; `null` where it asks for none. One that cannot be signed refuses the request, and
 * gives its cost back: an origin that was promised proof must not be asked without.
 */
export async function assertRequest(
  { route, admission, requestId, method, url, askedAt }: Admitted,
  { isolate, ctx }: Pick<Surroundings, "isolate" | "ctx">,
): Promise<Result<string | null, typeof ASSERTION_UNAVAILABLE>> {
  const { assertionSeconds: ttlSeconds, upstream } = route;
  if (ttlSeconds === null) return ok(null);
  const issuer = issuerOf(isolate.config, askedAt);
  const { record, token } = admission;
  const about = { issuer, audience: upstream.audience, ttlSeconds, requestId, record, act: token?.claims.act };
  const signed = await signAssertion({ ...about, method, url, now: Date.now() }, isolate.parts.tokens.keys, (work) =>
    ctx.waitUntil(work),
  );
  if (signed.ok) return signed;
  admission.refund();
  return err(ASSERTION_UNAVAILABLE);
}
