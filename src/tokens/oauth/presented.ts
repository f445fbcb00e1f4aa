import { DEFAULT_EXCHANGE_LIMIT, DEFAULT_EXCHANGE_WINDOW_SECONDS } from "../../constants.ts";
import type { GatewayConfig } from "../../config.ts";
import { check, type CheckInput, type CheckOutcome } from "../../gateway/check.ts";
import { clientIpOf, requestFacts } from "../../gateway/facts.ts";
import type { Surroundings } from "../../gateway/handler.ts";
import { ANY_KEY } from "../../gateway/judge.ts";
import type { Refusal } from "../../gateway/outcome.ts";
import type { Limit } from "../../limits/limit.ts";
import type { OAuthError } from "./oauth-answer.ts";

/** Keys and tokens that are presented to the OAuth endpoints are checked by the same steps as those that call an API. */

/** An exchange is a use of the key: it costs a unit, and stands on the key's lease. */
export function useInput(presentedKey: string, request: Request, { isolate, ctx }: Surroundings): CheckInput {
  return {
    presentedKey,
    facts: requestFacts(request),
    budget: { address: clientIpOf(request) },
    // The target is looked at by itself.
    demand: ANY_KEY,
    // What is minted from it is bound to the same key, and asks for the proof of that.
    possession: "not asked",
    cost: 1,
    look: false,
    routeLimits: exchangeLimits(isolate.config),
    routePolicy: { strict: false, onMeterUnavailable: null, graceSeconds: null },
    waitUntil: (work) => ctx.waitUntil(work),
  };
}

export interface Look {
  readonly presentedKey: string;
  /** Whose it must be; `"*"`: anyone's. */
  readonly workspace: string;
  /** Whether what is no key or token counts as a failure of the address that the request came from. */
  readonly budgeted: boolean;
  /** Whether its bindings must allow this request: for those who present it for themselves. */
  readonly fromHere?: boolean;
}

/** What it is, by the meter's word: nothing is charged, and where it may be used from is not asked. */
export async function look(
  { presentedKey, workspace, budgeted, fromHere = false }: Look,
  request: Request,
  surroundings: Surroundings,
): Promise<CheckOutcome> {
  const { budget, facts, ...input } = useInput(presentedKey, request, surroundings);
  const demand = { ...ANY_KEY, workspace };
  return await check(
    {
      ...input,
      budget: budgeted ? budget : null,
      facts: fromHere ? facts : null,
      demand,
      ...(fromHere ? {} : { signable: "not asked" as const }),
      cost: 0,
      look: true,
      routeLimits: [],
    },
    surroundings.isolate.parts,
  );
}

function exchangeLimits({ tokens }: GatewayConfig): readonly Limit[] {
  if (tokens?.exchangeLimit === false) return [];
  const { limit, window } = tokens?.exchangeLimit ?? {
    limit: DEFAULT_EXCHANGE_LIMIT,
    window: { seconds: DEFAULT_EXCHANGE_WINDOW_SECONDS },
  };
  return [{ name: "token-exchange", limit, window, kind: "rate" }];
}

/**
 * What a refusal of the check is called here. A subject that is not good is the request's fault (RFC 8693 §2.2.2); `whose` says in
 * whose place it stood.
 */
export function fromRefusal({ code, detail, retryAfterSeconds }: Refusal, whose: "subject" | "actor"): OAuthError {
  const description = `The ${whose} token: ${detail}`;
  const after = retryAfterSeconds === undefined ? {} : { retryAfterSeconds };
  switch (code) {
    case "rate_limited":
    case "quota_exhausted":
    case "too_many_failures":
      return { error: "slow_down", description, ...after };
    case "verification_unavailable":
      return { error: "temporarily_unavailable", description, ...after };
    case "ip_not_allowed":
    case "origin_not_allowed":
    case "country_not_allowed":
    case "certificate_required":
      return { error: "unauthorized_client", description };
    default:
      return { error: "invalid_request", description };
  }
}
