import { MAX_VERIFY_BATCH } from "../constants.ts";
import type { Problem } from "../http/problem.ts";
import type { Result } from "../result.ts";
import { err, ok } from "../result.ts";
import { factsOfCheck } from "./checked-event.ts";
import { incomingOf, networkOf } from "./facts.ts";
import type { Surroundings } from "./handler.ts";
import { type Facts, record } from "./record.ts";
import {
  parseVerifyInput,
  verify,
  type Verification,
  type VerifyAnswer,
  type VerifyContext,
  type VerifyInput,
} from "./verify.ts";
import { type Way, wayOfCheck } from "./way.ts";

/** `POST /_latchkey/v1/verify` and `/verify/batch`: the question as JSON, always 200 when it could be understood. */

/** A hundred keys of 512 characters with their scopes; more is somebody's mistake. */
const MAX_BODY_BYTES = 256 * 1_024;

export interface VerifyCall {
  readonly request: Request;
  readonly requestId: string;
  /** Whose keys the caller may ask about. */
  readonly workspace: string;
}

export async function verifyOne(call: VerifyCall, surroundings: Surroundings): Promise<Result<VerifyAnswer, Problem>> {
  const body = await readJson(call.request);
  if (!body.ok) return body;
  const input = parseVerifyInput(body.value);
  if (!input.ok) return invalid(input.error);
  return ok(await verifyAndRecord(input.value, 0, call, surroundings));
}

export async function verifyBatch(
  call: VerifyCall,
  surroundings: Surroundings,
): Promise<Result<{ readonly results: readonly VerifyAnswer[] }, Problem>> {
  const body = await readJson(call.request);
  if (!body.ok) return body;
  const inputs = parseBatch(body.value);
  if (!inputs.ok) return inputs;
  const results = await Promise.all(
    inputs.value.map((input, index) => verifyAndRecord(input, index, call, surroundings)),
  );
  return ok({ results });
}

/** Checks one key and records the event of it: what is checked here is used at the caller's own door. */
export async function verifyAndRecord(
  input: VerifyInput,
  index: number,
  call: VerifyCall,
  surroundings: Surroundings,
): Promise<VerifyAnswer> {
  const startedAt = Date.now();
  const { ctx, isolate } = surroundings;
  const context: VerifyContext = {
    workspace: call.workspace,
    waitUntil: (work) => ctx.waitUntil(work),
  };
  const verification = await verify(input, context, isolate);
  // A look is not a use.
  if (input.cost !== 0) {
    const facts = factsOf(verification, { input, index, call, startedAt });
    record(facts, surroundings, wayOf(verification, input));
  }
  return verification.answer;
}

/** Whoever asks brings its own credential; the one that is asked about stands in the body. */
function wayOf({ outcome, route, ground }: Verification, { scopes = [] }: VerifyInput): Way {
  const call = { ground, route, via: null, askedScopes: scopes, fields: null, url: "", incoming: undefined } as const;
  return wayOfCheck(outcome, call);
}

interface EventContext {
  readonly input: VerifyInput;
  readonly index: number;
  readonly call: VerifyCall;
  readonly startedAt: number;
}

function factsOf({ outcome, route }: Verification, context: EventContext): Facts {
  const { input, index, call, startedAt } = context;
  const now = Date.now();
  return {
    ...factsOfCheck(outcome, now),
    requestId: call.requestId,
    index,
    method: input.method ?? "GET",
    upstream: null,
    route: route?.template ?? "verify",
    // The question was answered, whatever the answer is.
    status: 200,
    latencyMs: now - startedAt,
    authMs: now - startedAt,
    upstreamMs: null,
    bytesIn: 0,
    bytesOut: 0,
    ...networkOf(incomingOf(call.request)),
    country: input.country?.toUpperCase() ?? null,
    clientIp: input.ip ?? null,
    userAgent: null,
  };
}

function parseBatch(body: unknown): Result<readonly VerifyInput[], Problem> {
  const keys = typeof body === "object" && body !== null && "keys" in body ? body.keys : undefined;
  if (!Array.isArray(keys) || keys.length === 0 || keys.length > MAX_VERIFY_BATCH) {
    return invalid([{ pointer: "/keys", detail: `Must be a list of 1 to ${MAX_VERIFY_BATCH} inputs.` }]);
  }
  const parsed = keys.map((value: unknown, index) => parseVerifyInput(value, `/keys/${index}`));
  const faults = parsed.flatMap((result) => (result.ok ? [] : result.error));
  return faults.length > 0 ? invalid(faults) : ok(parsed.flatMap((result) => (result.ok ? [result.value] : [])));
}

async function readJson(request: Request): Promise<Result<unknown, Problem>> {
  const tooLarge: Problem = { code: "body_too_large", detail: `The body may have at most ${MAX_BODY_BYTES} bytes.` };
  if (Number(request.headers.get("Content-Length") ?? 0) > MAX_BODY_BYTES) return err(tooLarge);
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body ?? []) {
    size += chunk.byteLength;
    if (size > MAX_BODY_BYTES) return err(tooLarge);
    chunks.push(chunk);
  }
  try {
    return ok(JSON.parse(await new Blob(chunks).text()) as unknown);
  } catch {
    // The parser's own message quotes the input, which may be a key.
    return invalid([{ pointer: "", detail: "Must be JSON." }]);
  }
}

function invalid(errors: readonly { readonly pointer: string; readonly detail: string }[]) {
  return err<Problem>({ code: "request_invalid", detail: "The request has faults; see errors.", errors });
}
