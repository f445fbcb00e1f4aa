import type { RefusalCode } from "../limits/acquire.ts";
import { effectiveLimits, type Plans } from "../limits/effective.ts";
import type { Payment } from "../limits/lease.ts";
import type { Limit, LimitView } from "../limits/limit.ts";
import { digestKey } from "../keys/digest.ts";
import { classify } from "../keys/format.ts";
import type { EdgeRecord } from "../keys/record.ts";
import { counters } from "../platform/counters.ts";
import { admit, type AdmissionParts, type AdmitInput, type AdmitOutcome, confirm, refundPrepaid } from "./admit.ts";
import type { FailureShield } from "./failure-shield.ts";
import { type Demand, INVALID_DETAIL, judge, type Judgement, statusDetail } from "./judge.ts";
import type { Admission, Refusal, RequestFacts } from "./outcome.ts";
import { admissionPolicy, type RoutePolicy } from "../limits/policy.ts";
import { meet } from "./meet.ts";

/**
 * Steps 2 to 5 in order: format, digest, resolve, admit. Everyone who asks about a key comes through here: the proxy,
 * `verify`, `authorize`, `whoami`, RPC and the control API.
 */

export interface CheckParts extends AdmissionParts {
  readonly store: KVNamespace;
  readonly shield: FailureShield;
  readonly prefixes: ReadonlySet<string>;
  readonly importedKeys: boolean;
  readonly plans: Plans;
}

/** An address, or `null` where it is not known: all such requests share one budget. */
export interface FailureBudget {
  readonly address: string | null;
}

export interface CheckInput {
  readonly presentedKey: string;
  readonly facts: RequestFacts;
  /** Whose failures are budgeted: the address that the request came from. `null`: nobody's, for callers who are known. */
  readonly budget: FailureBudget | null;
  readonly demand: Demand;
  readonly cost: number;
  /** A look: nothing is charged, and the meter is asked, so that the numbers are the meter's. */
  readonly look: boolean;
  /** Limits of the route, on top of the key's. */
  readonly routeLimits: readonly Limit[];
  readonly routePolicy: RoutePolicy;
  readonly waitUntil: (work: Promise<unknown>) => void;
}

export type CheckOutcome =
  | { readonly ok: true; readonly admission: Admission; readonly at: number }
  | { readonly ok: false; readonly refusal: Refusal };

/** A record may change while it is being used; a fourth newer generation within one request is somebody's loop. */
const MAX_RECORD_ROUNDS = 4;

export async function check(input: CheckInput, parts: CheckParts): Promise<CheckOutcome> {
  const now = Date.now();
  parts.book.observe(now);
  const form = classify(input.presentedKey, parts.prefixes, parts.importedKeys);
  if (form === "garbage") return failed(input, parts, now);
  const hash = digestKey(input.presentedKey);
  // Imported keys may be weak enough to be guessed; keys of Latchkey's own form are not, and theirs are always looked up.
  const mayLookUp = form === "own" || input.budget === null || parts.shield.mayLookUp(input.budget.address, now);
  let record = mayLookUp ? parts.cache.get(hash, now) : parts.cache.getStale(hash);
  let prepaid: Payment | null = null;
  if (record === null) {
    if (!mayLookUp) return failed(input, parts, now);
    const met = await meet(hash, input, parts, now);
    if (met.found === null) return met.reason === "unknown" ? failed(input, parts, now) : unavailable(null);
    record = met.found;
    ({ prepaid } = met);
  } else {
    counters.recordHits++;
  }
  for (let round = 0; round < MAX_RECORD_ROUNDS; round++) {
    const outcome = await decideOn({ record, hash, prepaid }, input, parts);
    if (!("newer" in outcome)) return outcome;
    prepaid = null;
    record = parts.cache.put(hash, outcome.newer, Date.now());
  }
  return unavailable(record);
}

type Decision = CheckOutcome | { readonly newer: EdgeRecord };

async function decideOn(
  { record, hash, prepaid }: Pick<AdmitInput, "record" | "hash" | "prepaid">,
  input: CheckInput,
  parts: CheckParts,
): Promise<Decision> {
  const now = Date.now();
  const { cost, waitUntil } = input;
  const limits = effectiveLimits(record, parts.plans, input.routeLimits);
  const policy = admissionPolicy(record.policy, input.routePolicy);
  const asked: AdmitInput = { record, hash, limits, cost, policy, prepaid, waitUntil };
  const judgement = judge(record, input.demand, input.facts, now);
  if (judgement !== null) {
    refundPrepaid(asked, parts);
    return await uphold(judgement, asked, input, parts);
  }
  const outcome = input.look ? await confirm(asked, parts) : await admit(asked, parts);
  switch (outcome.outcome) {
    case "admitted":
      return admitted(record, cost, outcome);
    case "stale":
      return { newer: outcome.record };
    case "unavailable":
      return unavailable(record);
    case "refused":
      return refused(outcome, record, input, parts);
  }
}

/**
 * A refusal stands on the same ground as an admission: the record that it was read from must be the newest. A lease on
 * it says so; without one the meter is asked, which charges nothing.
 */
async function uphold(
  judgement: Judgement,
  asked: AdmitInput,
  input: CheckInput,
  parts: CheckParts,
): Promise<Decision> {
  const { record } = asked;
  const lease = parts.book.of(record.id);
  const confirmed = lease.validUntil > Date.now() && lease.generation === record.generation;
  const refusal: Refusal = {
    code: judgement.code,
    detail: judgement.detail,
    record,
    ...(judgement.requiredScopes === undefined ? {} : { requiredScopes: judgement.requiredScopes }),
  };
  // What follows from the clock (expired, not yet valid) and a closed state is the meter's to say: it may know a newer record.
  const ofTheRecord = judgement.code.startsWith("key_");
  if (judgement.final || (confirmed && !ofTheRecord)) return { ok: false, refusal };
  const outcome = await confirm(asked, parts);
  if (outcome.outcome === "stale") return { newer: outcome.record };
  if (outcome.outcome === "refused" && isKeyCode(outcome.code)) return refused(outcome, record, input, parts);
  return { ok: false, refusal };
}

function admitted(record: EdgeRecord, cost: number, outcome: AdmitOutcome & { outcome: "admitted" }): CheckOutcome {
  const { limits, degraded, refund, at } = outcome;
  return { ok: true, at, admission: { record, cost, limits, degraded, refund } };
}

type KeyCode = Exclude<RefusalCode, "rate_limited" | "quota_exhausted">;

function isKeyCode(code: RefusalCode): code is KeyCode {
  return code !== "rate_limited" && code !== "quota_exhausted";
}

function refused(
  outcome: AdmitOutcome & { outcome: "refused" },
  record: EdgeRecord,
  input: CheckInput,
  parts: CheckParts,
): CheckOutcome {
  const { code, violated, limits } = outcome;
  if (isKeyCode(code)) {
    return code === "key_invalid"
      ? failed(input, parts, Date.now())
      : { ok: false, refusal: { code, detail: statusDetail(code), record } };
  }
  const retryAfterSeconds = Math.max(1, Math.ceil(outcome.retryAfterMs / 1_000));
  const detail = limitDetail(code, violated, limits);
  return { ok: false, refusal: { code, detail, record, violated, retryAfterSeconds, limits } };
}

function limitDetail(
  code: "rate_limited" | "quota_exhausted",
  violated: readonly string[],
  limits: readonly LimitView[],
): string {
  const names = violated.map((name) => {
    const limit = limits.find((view) => view.name === name);
    return limit === undefined ? name : `${name} (${limit.limit} in ${limit.windowSeconds} s)`;
  });
  const what = code === "rate_limited" ? "rate limit" : "quota";
  return `The ${what} ${names.join(", ")} is used up until its window ends.`;
}

/** Seconds until the address may fail again; `null` when it may now. */
function countFailure(
  { address }: FailureBudget,
  { waitUntil }: CheckInput,
  { shield }: CheckParts,
  now: number,
): number | null {
  const blocked = shield.blockedSeconds(address, now);
  shield.note(address, now, waitUntil);
  return blocked;
}

/** One answer for everything that is not a key. */
function failed(input: CheckInput, parts: CheckParts, now: number): CheckOutcome {
  const blocked = input.budget === null ? null : countFailure(input.budget, input, parts, now);
  if (blocked === null) return { ok: false, refusal: { code: "key_invalid", detail: INVALID_DETAIL, record: null } };
  const detail = "Too many failed attempts from this address. Keys that are valid still work.";
  return { ok: false, refusal: { code: "too_many_failures", detail, record: null, retryAfterSeconds: blocked } };
}

function unavailable(record: EdgeRecord | null): CheckOutcome {
  const detail = "API keys cannot be checked right now. Nothing was charged; try again shortly.";
  return { ok: false, refusal: { code: "verification_unavailable", detail, record, retryAfterSeconds: 1 } };
}
