import type { Admission } from "../../gateway/outcome.ts";
import type { Problem } from "../../http/problem.ts";
import { endOf } from "../../keys/status.ts";
import { err, ok, type Result } from "../../result.ts";
import type { Call } from "./call.ts";
import { invalidClient, readClientCredential } from "./client-credential.ts";
import { type Form, readForm } from "./form.ts";
import { type OAuthError, toAnswer, toErrorAnswer } from "./oauth-answer.ts";
import { look } from "./presented.ts";

/**
 * `POST /_latchkey/oauth/introspect` (RFC 7662), for keys and tokens: whether it stands at this moment, by the word of its key's meter.
 * For an origin that cannot wait for a token to end. Nothing is charged; where the key may be used from is not asked.
 */

/** The workspace that a caller may ask about, an admin key with `keys:verify` or root: as for `POST /_latchkey/v1/verify`. */
type Authorize = (request: Request) => Promise<Result<string, Problem>>;

const INACTIVE = { active: false } as const;

export async function answerIntrospection(call: Call, authorize: Authorize): Promise<Response> {
  const outcome = await introspect(call, authorize);
  return outcome.ok ? toAnswer(outcome.value, call.requestId) : toErrorAnswer(outcome.error, call.requestId);
}

async function introspect(
  call: Call,
  authorize: Authorize,
): Promise<Result<Readonly<Record<string, unknown>>, OAuthError>> {
  const form = await readForm(call.request);
  if (!form.ok) return form;
  const workspace = await identify(call.request, form.value, authorize);
  if (!workspace.ok) return workspace;
  const presented = form.value.get("token");
  if (presented === null) return err({ error: "invalid_request", description: "token is missing." });
  const checked = await look(
    // The caller is known, and asks on behalf of others.
    { presentedKey: presented, workspace: workspace.value, budgeted: false },
    call.request,
    call.surroundings,
  );
  if (checked.ok) return ok(describe(checked.admission));
  const { code, retryAfterSeconds = 1 } = checked.refusal;
  // Not the same as inactive: whoever asks must not take it for an answer.
  if (code === "verification_unavailable")
    return err({ error: "temporarily_unavailable", description: "It cannot be checked right now.", retryAfterSeconds });
  // Nothing else is told (§2.2), not even why.
  return ok(INACTIVE);
}

/** RFC 7662 §2.1: whoever asks is known, by HTTP Basic, `client_secret` or as a Bearer. */
async function identify(request: Request, form: Form, authorize: Authorize): Promise<Result<string, OAuthError>> {
  const client = readClientCredential(request, form);
  if (!client.ok) return client;
  if (client.value === null) {
    return err(invalidClient("An admin key with keys:verify is wanted, by HTTP Basic or as a Bearer.", "basic"));
  }
  const { presentedKey, via } = client.value;
  // What no header field could carry is no key.
  if (!/^[\x21-\x7e]+$/.test(presentedKey)) return err(invalidClient("The credential is not valid.", via));
  const headers = new Headers(request.headers);
  headers.set("Authorization", `Bearer ${presentedKey}`);
  const asBearer = new Request(request.url, { headers, ...(request.cf === undefined ? {} : { cf: request.cf }) });
  const workspace = await authorize(asBearer);
  if (workspace.ok) return workspace;
  const { code, detail, retryAfterSeconds = 1 } = workspace.error;
  switch (code) {
    case "scope_insufficient":
      return err({ error: "insufficient_scope", description: detail });
    case "rate_limited":
    case "quota_exhausted":
    case "too_many_failures":
      return err({ error: "slow_down", description: detail, retryAfterSeconds });
    case "verification_unavailable":
      return err({ error: "temporarily_unavailable", description: detail, retryAfterSeconds });
    default:
      return err(invalidClient(detail, via));
  }
}

/** RFC 7662 §2.2. `scope` is what the holder may do now: of a token, what its key still has. */
function describe({ record, token }: Admission): Readonly<Record<string, unknown>> {
  const scope = record.scopes.join(" ");
  const whose = { active: true, scope, client_id: record.id, username: record.owner, sub: record.owner };
  const place = { lk_workspace: record.workspace, lk_lineage: record.lineageId, lk_environment: record.environment };
  if (token !== null) {
    const { iss, aud, iat, exp, jti, act, cnf } = token.claims;
    const token_type = cnf?.jkt === undefined ? "Bearer" : "DPoP";
    const optional = { ...(act === undefined ? {} : { act }), ...(cnf === undefined ? {} : { cnf }) };
    return { ...whose, token_type, iss, aud, iat, exp, jti, ...place, ...optional };
  }
  const end = endOf(record);
  return {
    ...whose,
    ...(end === Infinity ? {} : { exp: Math.floor(end / 1_000) }),
    ...(record.notBefore === null ? {} : { nbf: Math.ceil(record.notBefore / 1_000) }),
    ...place,
  };
}
