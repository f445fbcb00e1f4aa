import type { RefusalCode } from "../limits/acquire.ts";
import { effectiveLimits, type Plans } from "../limits/effective.ts";
import type { Payment } from "../limits/lease.ts";
import type { Limit, LimitView } from "../limits/limit.ts";
import { digestKey } from "../keys/digest.ts";
import { classify, mayBeImported } from "../keys/format.ts";
import type { EdgeRecord, KeyHash, RecordRef } from "../keys/record.ts";
import { fnv1a } from "../platform/fnv.ts";
import { counters } from "../platform/counters.ts";
import { ok } from "../result.ts";
import { narrow, type Parent, refOf, type VerifiedToken } from "../tokens/verified-token.ts";
import { admit, type AdmitInput, type AdmitOutcome, confirm, refundPrepaid } from "./admit.ts";
import type { FailureShield } from "./failure-shield.ts";
import { type Ground, noteHeld, noteRecord } from "./ground.ts";
import { type Demand, INVALID_DETAIL, judge, type Judgement, statusDetail } from "./judge.ts";
import type { Admission, Refusal, RequestFacts } from "./outcome.ts";
import { admissionPolicy, type RoutePolicy } from "../limits/policy.ts";
import { judgePresented, TOKEN_DETAILS } from "./judge-token.ts";
import { meet } from "./meet.ts";
import { isProofDue, type Possession, provePossession } from "./prove-possession.ts";
import { judgeSignature, type Signable, type SignatureParties } from "./require-signature.ts";
import { ageOf } from "./record-cache.ts";
import { type ReplayParty, useUp } from "./single-use.ts";
import { findParent, findToken, type TokenParties } from "./token-subject.ts";

/**
 * Steps 2 to 5 in order: format, digest, resolve, admit. Everyone who asks about a key comes through here: the proxy,
 * `verify`, `authorize`, `whoami`, RPC and the control API.
 */

export interface CheckParts extends TokenParties, SignatureParties, ReplayParty {
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
  /** `null`: nothing is known of the request that the key is for, and its bindings are not asked about. */
  readonly facts: RequestFacts | null;
  /** Whose failures are budgeted: the address that the request came from. `null`: nobody's, for callers who are known. */
  readonly budget: FailureBudget | null;
  readonly demand: Demand;
  /** How the request shows that a token which is bound to its holder is its own; where nothing is let in, nobody asks. */
  readonly possession: Possession | "not asked";
  /** Where the request can be looked at whose signature a key may demand; without it such a key is of no use here. */
  readonly signable?: Signable | "not asked";
  readonly cost: number;
  /** A look: nothing is charged, and the meter is asked, so that the numbers are the meter's. */
  readonly look: boolean;
  /** Limits of the route, on top of the key's. */
  readonly routeLimits: readonly Limit[];
  readonly routePolicy: RoutePolicy;
  /** Where it is written down what the decision stands on. */
  readonly ground?: Ground;
  readonly waitUntil: (work: Promise<unknown>) => void;
}

export type CheckOutcome =
  | { readonly ok: true; readonly admission: Admission; readonly at: number }
  | { readonly ok: false; readonly refusal: Refusal };

/** Who asks: a key by its record, or a token in its parent's name. */
interface Subject {
  readonly record: EdgeRecord;
  /** Where the record stands in this isolate's memory. */
  readonly ref: RecordRef;
  readonly prepaid: Payment | null;
  readonly token: VerifiedToken | null;
}

/** A record may change while it is being used; a fourth newer generation within one request is somebody's loop. */
const MAX_RECORD_ROUNDS = 4;

export async function check(input: CheckInput, parts: CheckParts): Promise<CheckOutcome> {
  const now = Date.now();
  parts.book.observe(now);
  const form = classify(input.presentedKey, parts.prefixes, parts.importedKeys);
  if (input.ground !== undefined) input.ground.form = form;
  if (form === "garbage") return failed(input, parts, now);
  const hash = digestKey(input.presentedKey);
  if (form === "token") return await checkToken(hash, input, parts, now);
  return await checkKey(hash, form, input, parts);
}

/** Verifying costs more than a digest: whoever has failed too often may use what is known here, and no more. */
async function checkToken(digest: KeyHash, input: CheckInput, parts: CheckParts, now: number): Promise<CheckOutcome> {
  const { budget } = input;
  const known = parts.tokens.cache.get(digest);
  // What is verified already is not looked up, and takes nothing from the address's budget.
  const mayVerify = budget === null || known !== null || parts.shield.mayLookUp(budget.address, now);
  if (!mayVerify) return await checkForeign(digest, input, parts);
  const found = await findToken(input, digest, known, parts.tokens);
  if (found.ok) return await checkParent(found.value, input, parts);
  switch (found.error) {
    case "unavailable":
      return unavailable(null);
    case "token_expired":
      return { ok: false, refusal: { code: found.error, detail: TOKEN_DETAILS[found.error], record: null } };
    case "token_invalid":
      return failed(input, parts, now, found.error);
    case "foreign":
      return await checkForeign(digest, input, parts);
  }
}

/** Somebody else's JWT may have been imported as a key. */
async function checkForeign(hash: KeyHash, input: CheckInput, parts: CheckParts): Promise<CheckOutcome> {
  return parts.importedKeys && mayBeImported(input.presentedKey)
    ? await checkKey(hash, "foreign", input, parts)
    : failed(input, parts, Date.now(), "token_invalid");
}

async function checkParent(token: VerifiedToken, input: CheckInput, parts: CheckParts): Promise<CheckOutcome> {
  const outcome = await checkKnown(token.parent, token, input, parts);
  return outcome.ok ? outcome : { ...outcome, refusal: { ...outcome.refusal, token } };
}

/** For whoever has another proof than the key itself that it asks in that key's name: a token, or a workload's identity. */
export async function checkKnown(
  parent: Parent,
  token: VerifiedToken | null,
  input: CheckInput,
  parts: CheckParts,
): Promise<CheckOutcome> {
  const found = await findParent(parent, parts, input.ground);
  if (!found.ok)
    return found.error === "unknown" ? failed(input, parts, Date.now(), "token_invalid") : unavailable(null);
  return await decide({ record: found.value, ref: refOf(parent), prepaid: null, token }, input, parts);
}

/** For whoever showed the key before, and keeps its hash since: a session of the pages. */
export async function checkByHash(
  hash: KeyHash,
  input: Omit<CheckInput, "presentedKey">,
  parts: CheckParts,
): Promise<CheckOutcome> {
  parts.book.observe(Date.now());
  // Of a key in this form nothing but the hash is looked at from here on.
  return await checkKey(hash, "own", { ...input, presentedKey: "" }, parts);
}

async function checkKey(
  hash: KeyHash,
  form: "own" | "foreign",
  input: CheckInput,
  parts: CheckParts,
): Promise<CheckOutcome> {
  const now = Date.now();
  // Imported keys may be weak enough to be guessed; keys of Latchkey's own form are not, and theirs are always looked up.
  const mayLookUp = form === "own" || input.budget === null || parts.shield.mayLookUp(input.budget.address, now);
  const known = parts.cache.entryOf(hash, mayLookUp ? now : 0);
  let record: EdgeRecord;
  let prepaid: Payment | null = null;
  if (known === null) {
    if (!mayLookUp) return failed(input, parts, now);
    const met = await meet(hash, input, parts, now);
    if (met.found === null) return met.reason === "unknown" ? failed(input, parts, now) : unavailable(null);
    record = met.found;
    ({ prepaid } = met);
  } else {
    counters.recordHits++;
    ({ record } = known);
    noteRecord(input.ground, "isolate", ageOf(known, now));
  }
  return await decide({ record, ref: hash, prepaid, token: null }, input, parts);
}

/** Again with each newer record that comes to light. */
async function decide(subject: Subject, input: CheckInput, parts: CheckParts): Promise<CheckOutcome> {
  let now: Subject = subject;
  for (let round = 0; round < MAX_RECORD_ROUNDS; round++) {
    const outcome = await decideOn(now, input, parts);
    if (!("newer" in outcome)) return outcome;
    noteRecord(input.ground, "meter", 0);
    now = { ...now, prepaid: null, record: parts.cache.put(now.ref, outcome.newer, Date.now()) };
  }
  return unavailable(now.record);
}

/** Of most requests. */
const NONE_DUE = ok(null);

type Decision = CheckOutcome | { readonly newer: EdgeRecord };

async function decideOn(subject: Subject, input: CheckInput, parts: CheckParts): Promise<Decision> {
  const now = Date.now();
  const { prepaid, token } = subject;
  const record = token === null ? subject.record : narrow(token, subject.record);
  const { cost, ground, waitUntil } = input;
  const limits = effectiveLimits(record, parts.plans, input.routeLimits);
  const policy = admissionPolicy(record.policy, input.routePolicy);
  const asked: AdmitInput = { record, hash: subject.ref, limits, cost, policy, prepaid, ground, waitUntil };
  const judgement = judge(record, input.demand, input.facts, now) ?? judgePresented(token, record, input);
  if (judgement !== null) {
    refundPrepaid(asked, parts);
    return await uphold(judgement, asked, input, parts);
  }
  const proof = isProofDue(token, input) ? await provePossession(token, input) : NONE_DUE;
  if (!proof.ok) {
    refundPrepaid(asked, parts);
    return { ok: false, refusal: { ...proof.error, record } };
  }
  const { signature: demanded } = record.policy;
  const signature = demanded === undefined ? NONE_DUE : await judgeSignature(record, demanded, input, parts);
  if (!signature.ok) {
    refundPrepaid(asked, parts);
    return await uphold(signature.error, asked, input, parts);
  }
  const outcome = input.look ? await confirm(asked, parts) : await admit(asked, parts);
  switch (outcome.outcome) {
    case "admitted": {
      const isPlain = proof.value === null && signature.value === null;
      const used = isPlain ? null : await useUp({ proof: proof.value, signature: signature.value }, record, parts);
      if (used === null) return admitted({ record, token, cost }, outcome);
      outcome.refund();
      return { ok: false, refusal: { ...used, record } };
    }
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
  const now = Date.now();
  noteHeld(input.ground, lease, now);
  const confirmed = lease.validUntil > now && lease.generation === record.generation;
  const refusal: Refusal = {
    code: judgement.code,
    detail: judgement.detail,
    record,
    ...(judgement.requiredScopes === undefined ? {} : { requiredScopes: judgement.requiredScopes }),
    ...(judgement.acceptSignature === undefined ? {} : { acceptSignature: judgement.acceptSignature }),
  };
  // What follows from the clock (expired, not yet valid) and a closed state is the meter's to say: it may know a newer record.
  const ofTheRecord = judgement.code.startsWith("key_");
  if (judgement.final || (confirmed && !ofTheRecord)) {
    if (input.ground !== undefined && !judgement.final) input.ground.leaseFrom = "isolate";
    return { ok: false, refusal };
  }
  const outcome = await confirm(asked, parts);
  if (outcome.outcome === "stale") return { newer: outcome.record };
  if (outcome.outcome === "refused" && isKeyCode(outcome.code)) return refused(outcome, record, input, parts);
  return { ok: false, refusal };
}

function admitted(
  { record, token, cost }: Pick<Admission, "record" | "token" | "cost">,
  { limits, degraded, refund, at }: AdmitOutcome & { outcome: "admitted" },
): CheckOutcome {
  return { ok: true, at, admission: { record, token, cost, limits, degraded, refund } };
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

/** One answer for everything that is not a key, and one for what looks like a token and is none of ours. */
function failed(
  input: CheckInput,
  parts: CheckParts,
  now: number,
  code: "key_invalid" | "token_invalid" = "key_invalid",
): CheckOutcome {
  const blocked = input.budget === null ? null : countFailure(input.budget, input, parts, now);
  const invalid = code === "key_invalid" ? INVALID_DETAIL : TOKEN_DETAILS[code];
  const credentialTag = fnv1a(input.presentedKey);
  if (blocked === null) return { ok: false, refusal: { code, detail: invalid, record: null, credentialTag } };
  const detail = "Too many failed attempts from this address. Keys that are valid still work.";
  return {
    ok: false,
    refusal: { code: "too_many_failures", detail, record: null, credentialTag, retryAfterSeconds: blocked },
  };
}

function unavailable(record: EdgeRecord | null): CheckOutcome {
  const detail = "API keys cannot be checked right now. Nothing was charged; try again shortly.";
  return { ok: false, refusal: { code: "verification_unavailable", detail, record, retryAfterSeconds: 1 } };
}
