import type { Problem } from "../http/problem.ts";
import type { Trace } from "../http/traceparent.ts";
import type { LimitView } from "../limits/limit.ts";
import type { CheckOutcome } from "./check.ts";
import type { CompiledRoute } from "./compiled-route.ts";
import type { Credential, CredentialSource } from "./credential.ts";
import type { Incoming } from "./facts.ts";
import type { Ground } from "./ground.ts";

/** What is known of one request's way beside its event: references alone, from which a kept request's detail is made. */
export interface Way extends Ground {
  readonly route: CompiledRoute | null;
  readonly via: Credential["via"] | null;
  /** Scopes that were asked for beside the route's. */
  readonly askedScopes?: readonly string[];
  /** `null`: it was let in. */
  readonly refusal: Problem | null;
  readonly limits: readonly LimitView[];
  /** What the origin was sent; `null`: nothing went there. */
  readonly trace: Trace | null;
  /** Where the credential stands, and `Origin` and `traceparent` with it. `null`: somebody else asks about a key. */
  readonly fields: CredentialSource["headers"] | null;
  readonly url: string;
  readonly incoming: Incoming;
}

/** Of a check that is no proxied request. */
export interface CheckedCall {
  readonly ground: Ground;
  readonly route: CompiledRoute | null;
  readonly via: Credential["via"] | null;
  readonly askedScopes?: readonly string[];
  readonly fields: CredentialSource["headers"] | null;
  readonly url: string;
  readonly incoming: Incoming;
}

export function wayOfCheck(outcome: CheckOutcome, call: CheckedCall): Way {
  const { ground, ...rest } = call;
  return {
    ...ground,
    ...rest,
    refusal: outcome.ok ? null : outcome.refusal,
    limits: outcome.ok ? outcome.admission.limits : (outcome.refusal.limits ?? []),
    trace: null,
  };
}
