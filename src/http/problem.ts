import { PROOF_ALGORITHMS } from "../tokens/proof-algorithms.ts";
import type { LimitView } from "../limits/limit.ts";
import { PROBLEMS } from "./codes.ts";
import type { ProblemCode } from "./codes.ts";
import { RATE_LIMIT, RATE_LIMIT_POLICY, rateLimitHeaders } from "./rate-limit-headers.ts";

/** Where a refusal becomes an answer: the one place that picks status, headers and `type` for every code (RFC 9457). */

/** A `Refusal` of the gateway is one; so is an error of the control API. Nothing in it may contain a key. */
export interface Problem {
  readonly code: ProblemCode;
  /** About this occurrence, for the caller to put it right. */
  readonly detail: string;
  readonly retryAfterSeconds?: number;
  /** Names of the limits that refused. */
  readonly violated?: readonly string[];
  /** With `dpop_nonce_required`. */
  readonly dpopNonce?: string;
  /** With `signature_required` and `signature_invalid`. */
  readonly acceptSignature?: string;
  /** With `scope_insufficient`. */
  readonly requiredScopes?: readonly string[];
  /** Shown with a 429 alone: on 401 and 403 they would tell whether a key exists. */
  readonly limits?: readonly LimitView[];
  /** With `request_invalid`: JSON pointers into the body. */
  readonly errors?: readonly FieldError[];
  /** With `method_not_allowed`. */
  readonly allow?: readonly string[];
}

/** One fault of a request: an RFC 6901 pointer into the body, or into what `in` names. */
export interface FieldError {
  readonly pointer: string;
  readonly detail: string;
  readonly in?: "query" | "path" | "header";
}

export interface ProblemContext {
  readonly requestId: string;
  /** Of the `WWW-Authenticate` challenge. */
  readonly realm: string;
}

export const PROBLEMS_PATH = "/_latchkey/problems/";
export const PROBLEM_CONTENT_TYPE = "application/problem+json";

/** When nobody said: the failure shield counts in windows of ten seconds; a dependency is worth asking again after two. */
const DEFAULT_RETRY_AFTER_SECONDS = { 429: 10, 503: 2 } as const;

/** The whole answer. `HEAD` needs nothing special: the runtime drops the body. */
export function toProblem(problem: Problem, context: ProblemContext): Response {
  const { status, headers, body } = problemParts(problem, context);
  return new Response(JSON.stringify(body), { status, headers });
}

export interface ProblemParts {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Readonly<Record<string, unknown>>;
}

/** The same, in parts. */
export function problemParts(problem: Problem, context: ProblemContext): ProblemParts {
  return {
    status: PROBLEMS[problem.code].status,
    headers: problemHeaders(problem, context),
    body: problemBody(problem, context),
  };
}

function problemBody(problem: Problem, context: ProblemContext): ProblemParts["body"] {
  const { status, title } = PROBLEMS[problem.code];
  const violated = problem.violated ?? [];
  return {
    type: PROBLEMS_PATH + problem.code,
    title,
    status,
    detail: problem.detail,
    code: problem.code,
    requestId: context.requestId,
    ...(status === 429 && violated.length > 0 ? { violatedPolicies: violated } : {}),
    ...(problem.errors === undefined ? {} : { errors: problem.errors }),
  };
}

function problemHeaders(problem: Problem, context: ProblemContext): Headers {
  const headers = new Headers({
    "Content-Type": PROBLEM_CONTENT_TYPE,
    "Cache-Control": "no-store",
    "X-Request-Id": context.requestId,
  });
  const challenge = challengeFor(problem, context.realm);
  if (challenge !== null) headers.set("WWW-Authenticate", challenge);
  const retryAfter = retryAfterOf(problem);
  if (retryAfter !== null) headers.set("Retry-After", String(retryAfter));
  const limits = PROBLEMS[problem.code].status === 429 ? rateLimitHeaders(problem.limits ?? []) : null;
  if (limits !== null) {
    headers.set(RATE_LIMIT_POLICY, limits.policy);
    headers.set(RATE_LIMIT, limits.state);
  }
  if (problem.dpopNonce !== undefined) headers.set("DPoP-Nonce", problem.dpopNonce);
  if (problem.acceptSignature !== undefined) headers.set("Accept-Signature", problem.acceptSignature);
  if (problem.allow !== undefined) headers.set("Allow", problem.allow.join(", "));
  return headers;
}

/** RFC 6750 §3.1. A request without a credential gets a challenge without `error`; one with two used the scheme wrongly. */
function challengeFor(problem: Problem, realm: string): string | null {
  const base = `Bearer realm="${quoted(realm)}"`;
  switch (problem.code) {
    case "key_missing":
      return base;
    case "credential_conflict":
    case "credential_in_query":
      return `${base}, error="invalid_request"`;
    case "dpop_proof_invalid":
      return dpopChallenge(realm, "invalid_dpop_proof");
    case "dpop_nonce_required":
      return dpopChallenge(realm, "use_dpop_nonce");
    case "scope_insufficient":
      return `${base}, error="insufficient_scope", scope="${quoted((problem.requiredScopes ?? []).join(" "))}"`;
    default:
      return PROBLEMS[problem.code].status === 401 ? `${base}, error="invalid_token"` : null;
  }
}

/** RFC 9449 §7.1. */
function dpopChallenge(realm: string, error: string): string {
  return `DPoP realm="${quoted(realm)}", error="${error}", algs="${PROOF_ALGORITHMS.join(" ")}"`;
}

/** The inside of a quoted-string: RFC 9110 §5.6.4. What cannot stand in a header is left out. */
function quoted(text: string): string {
  return text.replace(/[^ -~]/g, "").replace(/["\\]/g, "\\$&");
}

/** Whole seconds, at least 1, and never before a limit that refused has something to give (`t`). */
function retryAfterOf(problem: Problem): number | null {
  const { status } = PROBLEMS[problem.code];
  if (status !== 429 && status !== 503) return null;
  let seconds = problem.retryAfterSeconds ?? DEFAULT_RETRY_AFTER_SECONDS[status];
  for (const limit of problem.limits ?? []) {
    if (problem.violated?.includes(limit.name) === true) seconds = Math.max(seconds, limit.resetSeconds);
  }
  return Number.isFinite(seconds) ? Math.max(1, Math.ceil(seconds)) : DEFAULT_RETRY_AFTER_SECONDS[status];
}
