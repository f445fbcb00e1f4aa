import { MAX_COST, MAX_PROOF_CHARACTERS, MAX_SCOPE_CHARACTERS, MAX_SCOPES, MAX_URI_BYTES } from "../constants.ts";
import type { FieldError } from "../http/problem.ts";
import type { EdgeRecord } from "../keys/record.ts";
import { isScope } from "../keys/scopes.ts";
import { endOf } from "../keys/status.ts";
import type { LimitView } from "../limits/limit.ts";
import { err, ok, type Result } from "../result.ts";
import { check, type CheckOutcome } from "./check.ts";
import type { CompiledRoute } from "./compiled-route.ts";
import { type Ground, newGround } from "./ground.ts";
import { INVALID_DETAIL } from "./judge.ts";
import type { Refusal } from "./outcome.ts";
import type { Isolate } from "./isolate.ts";
import type { VerifiedToken } from "../tokens/verified-token.ts";
import type { Possession } from "./prove-possession.ts";

/** Checking a key without the proxy: the question, the same check as everyone's, the answer in words that a program reads. */

export interface VerifyInput {
  readonly key: string;
  readonly scopes?: readonly string[];
  /** Units to charge; 0 looks without charging. Default 1, or the route's cost where `path` is given. */
  readonly cost?: number;
  readonly ip?: string;
  readonly origin?: string;
  readonly country?: string;
  /** With `path`: the key is checked as if it called that route. */
  readonly method?: string;
  readonly path?: string;
  readonly host?: string;
  /** The field `DPoP` of a request that came with `Authorization: DPoP`, for the method `method` and the whole URL `url`. */
  readonly dpop?: string;
  readonly url?: string;
}

export interface VerifyAnswer {
  readonly valid: boolean;
  /** `valid`, or a problem code. */
  readonly code: string;
  readonly keyId?: string;
  readonly lineageId?: string;
  readonly owner?: string;
  readonly workspace?: string;
  readonly environment?: string;
  readonly scopes?: readonly string[];
  /** Of a token: its `jti`, and whom it is for. */
  readonly tokenId?: string;
  readonly audience?: string;
  /** With `dpop_nonce_required`: for the answer's `DPoP-Nonce`. */
  readonly dpopNonce?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
  /** When the key stops by itself: RFC 3339, or `null` for never. */
  readonly expiresAt?: string | null;
  readonly limits: readonly Pick<LimitView, "name" | "limit" | "remaining" | "resetSeconds">[];
  /** Why not, in words. */
  readonly detail?: string;
  /** With `rate_limited` and `quota_exhausted`. */
  readonly retryAfterSeconds?: number;
}

export interface VerifyContext {
  /** Whose keys the caller may ask about. */
  readonly workspace: string;
  readonly waitUntil: (work: Promise<unknown>) => void;
}

/** What was decided, for the event as well as for the answer. */
export interface Verification {
  readonly outcome: CheckOutcome;
  readonly route: CompiledRoute | null;
  readonly answer: VerifyAnswer;
  readonly ground: Ground;
}

const TEXT_LIMITS = {
  ip: 64,
  origin: 512,
  country: 2,
  method: 16,
  path: MAX_URI_BYTES,
  host: 256,
  dpop: MAX_PROOF_CHARACTERS,
  url: MAX_URI_BYTES,
} as const;
const KNOWN = new Set(["key", "scopes", "cost", ...Object.keys(TEXT_LIMITS)]);

/** From outside, so everything is looked at. Unknown members are refused: a misspelt `scopes` must not mean "no scopes". */
export function parseVerifyInput(value: unknown, pointer = ""): Result<VerifyInput, readonly FieldError[]> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return err([{ pointer, detail: "Must be an object with a key." }]);
  }
  const input: Record<string, unknown> = { ...value };
  const faults: FieldError[] = [];
  const fault = (member: string, detail: string): void => {
    faults.push({ pointer: `${pointer}/${member}`, detail });
  };
  for (const member of Object.keys(input)) {
    if (KNOWN.has(member)) continue;
    // A name that is no plain word is not repeated: someone may have put the key in its place.
    if (/^[A-Za-z]{1,32}$/.test(member)) fault(member, "Is not a member of this request.");
    else faults.push({ pointer, detail: "Has a member that does not belong here." });
  }
  const { key, scopes, cost } = input;
  // Whatever text a client sent as its key is a question with an answer, be it empty or endless.
  if (typeof key !== "string") fault("key", "Must be the key to check, as a string.");
  if (scopes !== undefined && !isScopeList(scopes))
    fault("scopes", `Must be a list of at most ${MAX_SCOPES} scopes such as charges:read.`);
  if (cost !== undefined && !isCost(cost)) fault("cost", `Must be a whole number from 0 to ${MAX_COST}.`);
  for (const [member, limit] of Object.entries(TEXT_LIMITS)) {
    const text = input[member];
    if (text !== undefined && (typeof text !== "string" || text.length > limit))
      fault(member, `Must be a string of at most ${limit} characters.`);
  }
  if (typeof input["path"] === "string" && !input["path"].startsWith("/")) fault("path", "Must start with a slash.");
  // Every member was looked at above.
  return faults.length > 0 ? err(faults) : ok(input as unknown as VerifyInput);
}

/** Checks one key by the same steps as a proxied request. */
export async function verify(input: VerifyInput, context: VerifyContext, isolate: Isolate): Promise<Verification> {
  const place = findPlace(input, context.workspace, isolate);
  if ("code" in place) {
    const outcome = { ok: false, refusal: { ...place, record: null } } as const;
    return { outcome, route: null, answer: answerOf(outcome), ground: newGround() };
  }
  const { route: matched } = place;
  const ground = newGround();
  const outcome = await check(
    {
      presentedKey: input.key,
      facts: {
        ip: input.ip ?? null,
        origin: input.origin ?? null,
        country: input.country?.toUpperCase() ?? null,
        certificateSha256: null,
      },
      // The caller is known and asks on behalf of others: what they present is not its failure.
      budget: null,
      demand: {
        workspace: context.workspace,
        environments: matched?.environments ?? null,
        scopes: [...(matched?.scopes ?? []), ...(input.scopes ?? [])],
        // A path is asked about as the proxy would be asked.
        adminKeys: matched === null ? "accepted" : "refused",
        audience: matched?.upstream.audience ?? null,
        takesExchangeOnly: false,
      },
      possession: possessionOf(input),
      cost: input.cost ?? matched?.cost ?? 1,
      look: input.cost === 0,
      routeLimits: matched?.limits ?? [],
      routePolicy: matched ?? { strict: false, onMeterUnavailable: null, graceSeconds: null },
      ground,
      waitUntil: context.waitUntil,
    },
    isolate.parts,
  );
  return { outcome, route: matched, answer: answerOf(outcome), ground };
}

function possessionOf({ dpop, method = "GET", url = "" }: VerifyInput): Possession {
  return { via: dpop === undefined ? "bearer" : "dpop", proof: dpop ?? null, method, url };
}

/** It ends with itself or with its key, whichever is first. */
function tokenFacts({ claims, expiresAt }: VerifiedToken, keyEnd: number) {
  const end = new Date(Math.min(expiresAt, keyEnd)).toISOString();
  return { tokenId: claims.jti, audience: claims.aud, expiresAt: end };
}

/** Where the key is to be good: at a route, at none in particular, or why not at all. */
function findPlace(
  input: VerifyInput,
  workspace: string,
  { table }: Isolate,
): { readonly route: CompiledRoute | null } | Pick<Refusal, "code" | "detail"> {
  if (input.path === undefined) return { route: null };
  const pathname = input.path.split("?", 1)[0] ?? input.path;
  const match = table.match(input.method ?? "GET", input.host ?? "", pathname);
  if (match.kind === "not_found")
    return { code: "route_not_found", detail: "No route answers for this method and path." };
  if (match.kind === "ambiguous") return { code: "request_invalid", detail: match.detail };
  const { upstream } = match.route;
  const open = upstream.workspace === "*" || upstream.workspace === workspace;
  return open ? { route: match.route } : { code: "key_invalid", detail: INVALID_DETAIL };
}

function answerOf(outcome: CheckOutcome): VerifyAnswer {
  if (outcome.ok) {
    const { record, token, limits } = outcome.admission;
    const presented = token === null ? {} : tokenFacts(token, endOf(record));
    return { valid: true, code: "valid", ...identityOf(record), ...presented, limits: limits.map(showLimit) };
  }
  const { code, detail, record, limits, retryAfterSeconds, dpopNonce } = outcome.refusal;
  return {
    valid: false,
    code,
    detail,
    // Of a key that belongs to another workspace nothing is told.
    ...(record === null || code === "key_invalid" ? {} : identityOf(record)),
    limits: (limits ?? []).map(showLimit),
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    ...(dpopNonce === undefined ? {} : { dpopNonce }),
  };
}

export function showLimit({ name, limit, remaining, resetSeconds }: LimitView): VerifyAnswer["limits"][number] {
  return { name, limit, remaining, resetSeconds };
}

function identityOf(record: EdgeRecord) {
  const end = endOf(record);
  return {
    keyId: record.id,
    lineageId: record.lineageId,
    owner: record.owner,
    workspace: record.workspace,
    environment: record.environment,
    scopes: record.scopes,
    metadata: record.metadata,
    expiresAt: end === Infinity ? null : new Date(end).toISOString(),
  };
}

function isScopeList(value: unknown): value is readonly string[] {
  if (!Array.isArray(value) || value.length > MAX_SCOPES) return false;
  return value.every((scope) => typeof scope === "string" && scope.length <= MAX_SCOPE_CHARACTERS && isScope(scope));
}

function isCost(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= MAX_COST;
}
