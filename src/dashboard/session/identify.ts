import type { Actor } from "../../../durable-objects/key-registry/api.ts";
import { MAX_PRESENTED_KEY_CHARACTERS } from "../../constants.ts";
import type { Caller } from "../../control/caller.ts";
import type { Outcome } from "../../control/problem.ts";
import { digestKey } from "../../keys/digest.ts";
import { ADMIN_ALL } from "../../keys/admin-scopes.ts";
import { err, ok } from "../../result.ts";
import type { DashboardDependencies } from "../dependencies.ts";
import { identifyByAccess } from "./access.ts";
import { readCookie, writeCookie } from "./cookies.ts";
import { sameToken } from "./same-origin.ts";
import { seal, unseal } from "./seal.ts";
import { cookieSeconds, isSessionOver, newToken, parseSession, SESSION_TOUCH_SECONDS } from "./session.ts";
import type { Session, SessionSubject } from "./session.ts";

/** Who looks at a page: found out anew for each request, however it came to be signed in. */

export interface Visitor {
  readonly caller: Caller;
  readonly csrf: string;
  /** As it is shown: `root`, the id of an admin key, an e-mail address. */
  readonly name: string;
  readonly via: "root" | "admin_key" | "access";
  /** The session behind it; `null` where Access vouches for each request. */
  readonly session: Session | null;
}

/** Why nobody is signed in. `none`: nobody tried. */
export type NotSignedIn =
  | { readonly reason: "none" }
  | { readonly reason: "over" | "refused"; readonly detail: string };

export async function identifyVisitor(
  request: Request,
  deps: DashboardDependencies,
): Promise<{ readonly ok: true; readonly value: Visitor } | { readonly ok: false; readonly error: NotSignedIn }> {
  const cookie = readCookie(request, "latchkey-session");
  if (cookie !== null && cookie !== "") {
    const session = parseSession(await unseal(cookie, "session", deps.secrets));
    if (session !== null && !isSessionOver(session, nowSeconds(deps))) return await resume(session, request, deps);
  }
  const vouched = await identifyByAccess(request, deps);
  if (vouched !== null) return vouched.ok ? vouched : err({ reason: "refused", detail: vouched.error });
  return cookie === null || cookie === ""
    ? err({ reason: "none" })
    : err({ reason: "over", detail: "Your session has ended. Sign in again." });
}

async function resume(
  session: Session,
  request: Request,
  deps: DashboardDependencies,
): Promise<{ readonly ok: true; readonly value: Visitor } | { readonly ok: false; readonly error: NotSignedIn }> {
  const { subject, csrf } = session;
  if (subject.kind === "root") {
    const { mark } = deps.root;
    if (mark === null || !sameToken(subject.mark, mark)) {
      return err({ reason: "over", detail: "The root token was replaced or taken away: your session has ended." });
    }
    const actor = { kind: "root", id: "root", ...about(request, deps) } as const;
    const caller = { actor, workspace: subject.workspace, scopes: [ADMIN_ALL] };
    return ok({ caller, csrf, name: "root", via: "root", session });
  }
  const checked = await deps.checkSessionKey(request, subject.hash);
  if (!checked.ok) return err({ reason: "refused", detail: checked.error.detail });
  const { id, kind, workspace, scopes, hint } = checked.value;
  if (kind !== "admin") return err({ reason: "refused", detail: "Only admin keys may sign in here." });
  const actor = { kind: "admin_key", id, ...about(request, deps) } as const;
  return ok({ caller: { actor, workspace, scopes }, csrf, name: hint, via: "admin_key", session });
}

function about(request: Request, { control }: DashboardDependencies): Pick<Actor, "address" | "requestId"> {
  return { address: control.clientIp(request), requestId: control.requestId(request) };
}

/** Signs in with what was typed into the form: the same check as of a call of the control API, failures budgeted alike. */
export async function beginSession(
  presentedKey: string,
  request: Request,
  deps: DashboardDependencies,
): Promise<Outcome<Session>> {
  const subject = await subjectOf(presentedKey, request, deps);
  if (!subject.ok) return subject;
  const now = nowSeconds(deps);
  return ok({ v: 1, subject: subject.value, csrf: newToken(), signedInAt: now, seenAt: now });
}

async function subjectOf(
  presentedKey: string,
  request: Request,
  deps: DashboardDependencies,
): Promise<Outcome<SessionSubject>> {
  if (presentedKey.length > MAX_PRESENTED_KEY_CHARACTERS) return err(NOT_VALID);
  const { root, control } = deps;
  if (root.matches(presentedKey)) return ok({ kind: "root", mark: root.mark ?? "", workspace: "default" });
  const checked = await control.authenticate(request, presentedKey);
  if (!checked.ok) return checked;
  if (checked.value.kind !== "admin")
    return err({ code: "scope_insufficient", detail: "This is no admin key: only those may sign in here." });
  return ok({ kind: "admin_key", hash: digestKey(presentedKey) });
}

const NOT_VALID = { code: "key_invalid", detail: "The key is not valid. Check that it was copied whole." } as const;

/** The `Set-Cookie` that keeps a session; `null`: the deployment has nothing to seal it with. */
export async function sessionCookie(
  session: Session,
  request: Request,
  deps: DashboardDependencies,
): Promise<string | null> {
  const now = nowSeconds(deps);
  const sealed = await seal({ ...session, seenAt: now }, "session", deps.secrets);
  return sealed === null ? null : writeCookie(request, "latchkey-session", sealed, cookieSeconds(session, now));
}

/** Whether this use is to be written down. What a page asks by itself is not: a forgotten tab must not keep a session. */
export function isDueForTouch({ seenAt }: Session, deps: DashboardDependencies): boolean {
  return nowSeconds(deps) >= seenAt + SESSION_TOUCH_SECONDS;
}

function nowSeconds({ control }: DashboardDependencies): number {
  return Math.floor(control.now() / 1_000);
}
