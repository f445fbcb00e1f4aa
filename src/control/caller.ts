import { CONTROL_RATE_PERIOD_SECONDS, MAX_PRESENTED_KEY_CHARACTERS } from "../constants.ts";
import { ADMIN_ALL } from "../keys/admin-scopes.ts";
import type { RootToken } from "../platform/root-token.ts";
import { err, ok } from "../result.ts";
import type { Actor } from "../../durable-objects/key-registry/api.ts";
import type { ControlDependencies } from "./dependencies.ts";
import { invalid } from "./problem.ts";
import type { Outcome } from "./problem.ts";
import { NAME_PATTERN } from "./schemas/names.ts";

/** Who calls the control API, and in which workspace. */
export interface Caller {
  readonly actor: Actor;
  readonly workspace: string;
  /** Root holds `admin:*`. */
  readonly scopes: readonly string[];
}

const DEFAULT_WORKSPACE = "default";
const WORKSPACE_HEADER = "X-Latchkey-Workspace";
const CREDENTIAL = new RegExp(`^Bearer +([\\x21-\\x7e]{1,${MAX_PRESENTED_KEY_CHARACTERS}}) *$`, "i");

/** Names the caller, or says why not. Scopes are not looked at here: see `operation.ts`. */
export async function identifyCaller(
  request: Request,
  root: RootToken,
  deps: Pick<ControlDependencies, "authenticate" | "clientIp" | "requestId">,
): Promise<Outcome<Caller>> {
  const credential = readCredential(request);
  if (!credential.ok) return credential;
  const presentedKey = credential.value;
  const about = { address: deps.clientIp(request), requestId: deps.requestId(request) };
  if (root.matches(presentedKey)) {
    const workspace = rootWorkspace(request);
    if (!workspace.ok) return workspace;
    return ok({ actor: { kind: "root", id: "root", ...about }, workspace: workspace.value, scopes: [ADMIN_ALL] });
  }
  const checked = await deps.authenticate(request, presentedKey);
  if (!checked.ok) return checked;
  const record = checked.value;
  if (record.kind !== "admin") {
    return err({ code: "scope_insufficient", detail: "Only admin keys may call the control API." });
  }
  const named = request.headers.get(WORKSPACE_HEADER);
  if (named !== null && named !== record.workspace) {
    return err({ code: "scope_insufficient", detail: "An admin key acts in its own workspace only." });
  }
  return ok({
    actor: { kind: "admin_key", id: record.id, ...about },
    workspace: record.workspace,
    scopes: record.scopes,
  });
}

/** Holds each caller to the rate of the `CONTROL_RATE` binding. A binding that fails lets the call pass: the caller is already known. */
export async function holdToRate(caller: Caller, limiter: RateLimit): Promise<Outcome<null>> {
  try {
    const { success } = await limiter.limit({ key: `${caller.workspace}/${caller.actor.id}` });
    if (success) return ok(null);
  } catch {
    return ok(null);
  }
  const detail = "Too many calls to the control API.";
  return err({ code: "rate_limited", detail, retryAfterSeconds: CONTROL_RATE_PERIOD_SECONDS, violated: ["control"] });
}

function readCredential(request: Request): Outcome<string> {
  const header = request.headers.get("Authorization");
  if (header === null || !/^Bearer +\S/i.test(header)) {
    return err({ code: "key_missing", detail: "Send the root token or an admin key as Authorization: Bearer." });
  }
  const presentedKey = CREDENTIAL.exec(header)?.[1];
  if (presentedKey === undefined) return err({ code: "key_invalid", detail: "The credential is not valid." });
  const other = request.headers.get("X-API-Key");
  if (other !== null && other !== presentedKey) {
    return err({ code: "credential_conflict", detail: "Authorization and X-API-Key hold different credentials." });
  }
  return ok(presentedKey);
}

function rootWorkspace(request: Request): Outcome<string> {
  const named = request.headers.get(WORKSPACE_HEADER);
  if (named === null) return ok(DEFAULT_WORKSPACE);
  if (NAME_PATTERN.test(named)) return ok(named);
  return invalid([{ pointer: `/${WORKSPACE_HEADER}`, detail: "Not the name of a workspace.", in: "header" }]);
}
