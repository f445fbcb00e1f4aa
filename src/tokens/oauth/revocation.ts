import type {
  Actor,
  KeyRegistryApi,
  RegistryError,
  TokenRevocation,
} from "../../../durable-objects/key-registry/api.ts";
import { MAX_TOKEN_TTL_SECONDS } from "../../constants.ts";
import { connectRegistry } from "../../../durable-objects/key-registry/client.ts";
import type { CheckOutcome } from "../../gateway/check.ts";
import { clientIpOf } from "../../gateway/facts.ts";
import type { EdgeRecord } from "../../keys/record.ts";
import { logError } from "../../platform/log.ts";
import { err, ok, type Result } from "../../result.ts";
import type { VerifiedToken } from "../verified-token.ts";
import type { Call } from "./call.ts";
import { readForm } from "./form.ts";
import { type OAuthError, toAnswer, toErrorAnswer } from "./oauth-answer.ts";
import { look } from "./presented.ts";

/**
 * `POST /_latchkey/oauth/revoke` (RFC 7009): whoever holds a key or a token may end it by presenting it, and that alone: who finds
 * a key that has leaked can stop it without asking anyone. What is unknown or over already is answered the same (§2.2).
 */
export async function answerRevocation(call: Call): Promise<Response> {
  const outcome = await revoke(call);
  return outcome.ok ? toAnswer({}, call.requestId) : toErrorAnswer(outcome.error, call.requestId);
}

async function revoke(call: Call): Promise<Result<null, OAuthError>> {
  const { request, surroundings } = call;
  const form = await readForm(request);
  if (!form.ok) return form;
  const presented = form.value.get("token");
  if (presented === null) return err({ error: "invalid_request", description: "token is missing." });
  const checked = await look({ presentedKey: presented, workspace: "*", budgeted: true }, request, surroundings);
  const found = whatToEnd(checked);
  if (!found.ok) return found;
  if (found.value === null) return ok(null);
  // It stands in the source of public pages: any visitor could take it from everyone.
  if (found.value.token === null && found.value.record.kind === "publishable") {
    const description = "A publishable key is not ended by presenting it. Ask whoever issued it.";
    return err({ error: "unsupported_token_type", description });
  }
  return await end(found.value, call);
}

interface Ended {
  readonly record: EdgeRecord;
  readonly token: VerifiedToken | null;
}

/** A key that does not stand for now (disabled, not yet valid, beyond its limits) is ended all the same. */
function whatToEnd(checked: CheckOutcome): Result<Ended | null, OAuthError> {
  if (checked.ok) return ok({ record: checked.admission.record, token: checked.admission.token });
  const { code, record, token = null, retryAfterSeconds = 1 } = checked.refusal;
  if (code === "verification_unavailable")
    return err({ error: "temporarily_unavailable", description: "Nothing was revoked. Try again.", retryAfterSeconds });
  if (code === "too_many_failures")
    return err({ error: "slow_down", description: "Too many attempts from this address.", retryAfterSeconds });
  if (record === null || code === "key_revoked" || code === "token_revoked") return ok(null);
  return ok({ record, token });
}

async function end(
  { record, token }: Ended,
  { request, requestId, surroundings }: Call,
): Promise<Result<null, OAuthError>> {
  const actor: Actor = { kind: "holder", id: record.id, address: clientIpOf(request), requestId };
  const context = { actor, idempotency: null, ifGeneration: null };
  const write = async (registry: KeyRegistryApi): Promise<Result<unknown, RegistryError>> =>
    token === null
      ? await registry.revoke(record.id, "retired", "Revoked by its holder.", context)
      : await registry.revokeTokens(record.id, revocationOf(token), context);
  const written = await connectRegistry(surroundings.env.KEY_REGISTRY, record.workspace).write(write);
  if (written.ok && written.value.ok) return ok(null);
  logError(causeOf(written), { part: "revocation", requestId });
  return err({ error: "temporarily_unavailable", description: "The revocation could not be written. Try again." });
}

function revocationOf({ claims, expiresAt, issuedAt }: VerifiedToken): TokenRevocation {
  const first = claims.lk_ancestors?.[0];
  // Its own end is not known here; it is no later than that of the longest life.
  const root = first === undefined ? null : { jti: first, expiresAt: issuedAt + MAX_TOKEN_TTL_SECONDS * 1_000 };
  return { token: { jti: claims.jti, expiresAt }, root };
}

function causeOf(written: Result<Result<unknown, RegistryError>, { readonly cause: unknown }>): unknown {
  if (!written.ok) return written.error.cause;
  return written.value.ok ? null : new Error(written.value.error.detail);
}
