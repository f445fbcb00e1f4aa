import { MAX_TOKEN_CHARACTERS, TOKEN_ID_PREFIX } from "../../constants.ts";
import { check, checkKnown, type CheckOutcome } from "../../gateway/check.ts";
import type { Admission } from "../../gateway/outcome.ts";
import { newId } from "../../platform/ids.ts";
import { err, ok, type Result } from "../../result.ts";
import type { ActorClaim, Confirmation, TokenClaims } from "../claims.ts";
import { TOKEN_TYPE } from "../claims.ts";
import { grant, type GrantFault } from "../grant.ts";
import { issuerOf } from "../issuer.ts";
import type { Call } from "./call.ts";
import { invalidClient } from "./client-credential.ts";
import { confirm } from "./confirmation.ts";
import { recordExchange } from "./exchange-event.ts";
import { readForm } from "./form.ts";
import { type OAuthError, toAnswer, toErrorAnswer } from "./oauth-answer.ts";
import { fromRefusal, look, type Look, useInput } from "./presented.ts";
import { identifyWorkload } from "./workload.ts";
import { findTarget } from "./target.ts";
import { ACCESS_TOKEN_TYPE, type PresentedToken, readTokenRequest, type TokenRequest } from "./token-request.ts";

/**
 * `POST /_latchkey/oauth/token`: a key, a token or a workload's identity for a short-lived token (RFC 8693, RFC 6749 §4.4). The way of
 * one exchange: what is asked, who asks, for which upstream, what must be proved, what is granted, signed.
 */
export async function answerToken(call: Call): Promise<Response> {
  const startedAt = Date.now();
  const { requestId } = call;
  const exchanged = await exchange(call);
  const { outcome } = exchanged;
  if (exchanged.checked !== null) recordExchange(exchanged.checked, outcome, { ...call, startedAt });
  return outcome.ok ? toAnswer(outcome.value.answer, requestId) : toErrorAnswer(outcome.error, requestId);
}

interface Minted {
  readonly answer: Readonly<Record<string, unknown>>;
  /** For the event: the token itself is in the answer alone. */
  readonly jti: string;
}

interface Exchanged {
  /** Who asked; `null` where the request was no exchange at all. */
  readonly checked: CheckOutcome | null;
  readonly outcome: Result<Minted, OAuthError>;
}

async function exchange(call: Call): Promise<Exchanged> {
  const form = await readForm(call.request);
  if (!form.ok) return { checked: null, outcome: form };
  const asked = readTokenRequest(call.request, form.value);
  if (!asked.ok) return { checked: null, outcome: asked };
  const subject = await checkSubject(asked.value, call);
  if (!subject.ok) return { checked: null, outcome: subject };
  const { checked, ttlSeconds } = subject.value;
  if (!checked.ok) {
    const refused = fromRefusal(checked.refusal, "subject");
    return { checked, outcome: err(asClientError(refused, asked.value)) };
  }
  const outcome = await mint(asked.value, checked.admission, ttlSeconds, call);
  // What came to nothing costs nothing.
  if (!outcome.ok) checked.admission.refund();
  return { checked, outcome };
}

interface Subject {
  readonly checked: CheckOutcome;
  /** Of the rule that trusts it; `null`: as the key's policy or the configuration says. */
  readonly ttlSeconds: number | null;
}

async function checkSubject({ subject }: TokenRequest, call: Call): Promise<Result<Subject, OAuthError>> {
  const { request, surroundings } = call;
  const { parts } = surroundings.isolate;
  const input = useInput(subject.token, request, surroundings);
  if (subject.kind === "credential") return ok({ checked: await check(input, parts), ttlSeconds: null });
  const workload = await identifyWorkload(subject.token, call);
  if (!workload.ok) return workload;
  // From here on it goes the way of a key.
  return ok({ checked: await checkKnown(workload.value, null, input, parts), ttlSeconds: workload.value.ttlSeconds });
}

/** With `client_credentials` what was presented is the client's own secret (RFC 6749 §5.2). */
function asClientError(error: OAuthError, { grant: grantType, client }: TokenRequest): OAuthError {
  if (grantType !== "client_credentials" || error.error !== "invalid_request") return error;
  return invalidClient(error.description.replace("subject token", "client secret"), client?.via ?? null);
}

async function mint(
  asked: TokenRequest,
  admission: Admission,
  ttlSeconds: number | null,
  call: Call,
): Promise<Result<Minted, OAuthError>> {
  const { config, table, parts } = call.surroundings.isolate;
  const { record, token } = admission;
  if (record.kind === "admin" || record.kind === "publishable")
    return refuse("unauthorized_client", `A key of kind ${record.kind} is not exchanged.`);
  const client = await checkClient(asked, admission, call);
  if (!client.ok) return client;
  const { audiences, resources } = asked;
  const bound = token?.claims.aud ?? null;
  const defaultUpstream = config.tokens?.defaultUpstream ?? null;
  const audience = findTarget({ audiences, resources, bound, defaultUpstream }, record, table);
  if (!audience.ok) return audience;
  const actor = await findActor(asked.actor, admission, call);
  if (!actor.ok) return actor;
  const now = Date.now();
  const granted = grant({
    record,
    token,
    issuer: issuerOf(config, call.request.url),
    audience: audience.value,
    scope: asked.scope,
    defaultTtlSeconds: config.tokens?.ttlSeconds ?? null,
    ttlSeconds,
    actor: actor.value,
    jti: newId(TOKEN_ID_PREFIX, now),
    now,
  });
  if (!granted.ok) return GRANT_FAULTS[granted.error];
  // A proof is used up by being checked: what cannot be granted at all does not come so far.
  const confirmation = await confirm(admission, call);
  if (!confirmation.ok) return confirmation;
  const claims: TokenClaims =
    confirmation.value === null ? granted.value : { ...granted.value, cnf: confirmation.value };
  const waitUntil = (work: Promise<unknown>): void => call.surroundings.ctx.waitUntil(work);
  const signed = await parts.tokens.keys.sign(TOKEN_TYPE, { ...claims }, waitUntil);
  if (!signed.ok) return refuse("temporarily_unavailable", "Tokens cannot be signed right now. Nothing was charged.");
  if (signed.value.length > MAX_TOKEN_CHARACTERS)
    return refuse("invalid_scope", "The token would be too long to be sent. Ask for fewer scopes.");
  return ok({ answer: answerOf(signed.value, claims, asked), jti: claims.jti });
}

const GRANT_FAULTS: Readonly<Record<GrantFault, Result<never, OAuthError>>> = {
  invalid_scope: refuse("invalid_scope", "The scope is malformed, or wider than the subject's."),
  too_late: refuse("invalid_request", "The subject token ends before another could begin."),
  too_many_hops: refuse("invalid_request", "The subject token was exchanged too often already."),
};

/** A client that authenticates itself beside its subject token must be one of the same workspace (RFC 8693 §2.1). */
async function checkClient(
  { grant: grantType, client }: TokenRequest,
  { record }: Admission,
  { request, surroundings }: Call,
): Promise<Result<null, OAuthError>> {
  if (client === null) return ok(null);
  const isSubject = grantType === "client_credentials";
  if (!isSubject) {
    const checked = await look(budgetedLook(client.presentedKey, record), request, surroundings);
    if (!checked.ok) return err(invalidClient("The client's credential is not valid here.", client.via));
    return isNamed(client.clientId, checked.admission.record) ? ok(null) : err(misnamed(client.via));
  }
  return isNamed(client.clientId, record) ? ok(null) : err(misnamed(client.via));
}

/** `client_id` is the key's id, as in the tokens, or its owner's. */
function isNamed(clientId: string | null, { id, owner }: Admission["record"]): boolean {
  return clientId === null || clientId === id || clientId === owner;
}

function misnamed(via: "basic" | "post" | "bearer"): OAuthError {
  return invalidClient("client_id is neither the id of this key nor its owner.", via);
}

/** Who is to act: another key or token of the same workspace (RFC 8693 §1.1). */
async function findActor(
  actor: PresentedToken | null,
  { record }: Admission,
  { request, surroundings }: Call,
): Promise<Result<ActorClaim | null, OAuthError>> {
  if (actor === null) return ok(null);
  if (actor.kind === "identity")
    return refuse("invalid_request", "The actor token must be a key or a token of Latchkey.");
  const checked = await look(budgetedLook(actor.token, record), request, surroundings);
  if (!checked.ok) return err(fromRefusal(checked.refusal, "actor"));
  const { owner, id, kind } = checked.admission.record;
  if (kind === "admin" || kind === "publishable")
    return refuse("unauthorized_client", `A key of kind ${kind} does not act for others.`);
  // The request has one proof at most: the subject's.
  if (checked.admission.token?.claims.cnf !== undefined)
    return refuse("invalid_request", "A token that is bound to its holder cannot be the actor token.");
  return ok({ sub: owner, client_id: id });
}

function budgetedLook(presentedKey: string, { workspace }: Admission["record"]): Look {
  return { presentedKey, workspace, budgeted: true, fromHere: true };
}

function answerOf(signed: string, claims: TokenClaims, { grant: grantType }: TokenRequest): Minted["answer"] {
  return {
    access_token: signed,
    ...(grantType === "token_exchange" ? { issued_token_type: ACCESS_TOKEN_TYPE } : {}),
    token_type: isDpopBound(claims.cnf) ? "DPoP" : "Bearer",
    expires_in: claims.exp - claims.iat,
    scope: claims.scope,
  };
}

function isDpopBound(confirmation: Confirmation | undefined): boolean {
  return confirmation?.jkt !== undefined;
}

function refuse(error: OAuthError["error"], description: string): Result<never, OAuthError> {
  return err({ error, description });
}
