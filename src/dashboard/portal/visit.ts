import { useSignatureAt } from "../../../durable-objects/replay-guard/client.ts";
import { digestKey } from "../../keys/digest.ts";
import { seeOther } from "../answer.ts";
import type { DashboardDependencies } from "../dependencies.ts";
import { pageUrl } from "../paths.ts";
import { mayHoldSession, readCookie, writeCookie } from "../session/cookies.ts";
import { sameToken } from "../session/same-origin.ts";
import { newToken } from "../session/session.ts";
import {
  openLink,
  openSession,
  PORTAL_SESSION_SECONDS,
  type PortalLink,
  type PortalSession,
  sealSession,
} from "./link.ts";
import { OwnerCalls } from "./owner-calls.ts";

/** How an owner comes in: by a link that is good once, and then by a session of half an hour. */

const COOKIE = "latchkey-portal";

export interface OwnerVisit {
  readonly session: PortalSession;
  readonly calls: OwnerCalls;
}

/** `null`: nobody is in, or not any more. */
export async function findVisit(request: Request, deps: DashboardDependencies): Promise<OwnerVisit | null> {
  const cookie = readCookie(request, COOKIE);
  if (cookie === null || cookie === "") return null;
  const session = await openSession(cookie, deps.secrets, nowSeconds(deps));
  if (session === null) return null;
  const calls = new OwnerCalls(session, request, deps);
  return (await isMakerStanding(session, calls, deps)) ? { session, calls } : null;
}

/** A link is a right that its maker lent: who has it no more cannot lend it. */
async function isMakerStanding(
  { by }: Pick<PortalSession, "by">,
  calls: OwnerCalls,
  deps: DashboardDependencies,
): Promise<boolean> {
  switch (by.kind) {
    case "root":
      return deps.root.mark !== null && sameToken(by.mark, deps.root.mark);
    case "admin_key":
      return await calls.isMakerStanding(by.id);
    case "person":
      // Who they are was said by the identity provider, which cannot be asked again: the session is short.
      return true;
  }
}

export type Entered = { readonly ok: true; readonly response: Response } | { readonly ok: false; readonly why: string };

const OVER = "This link was used already, or is over. Go back to where you found it, and ask for another one.";

/** Uses a link up. */
export async function enter(text: string, request: Request, deps: DashboardDependencies): Promise<Entered> {
  if (!mayHoldSession(request)) return { ok: false, why: "Open this page over https." };
  const now = nowSeconds(deps);
  const link = await openLink(text, deps.secrets, now);
  if (link === null) return { ok: false, why: OVER };
  const used = await useLink(link, deps);
  if (used === "no") return { ok: false, why: OVER };
  if (used === "unknown")
    return { ok: false, why: "It cannot be told right now whether this link was used. Try again shortly." };
  const { v, workspace, owner, by, scopes } = link;
  const session = { v, workspace, owner, by, scopes, csrf: newToken(), expiresAt: now + PORTAL_SESSION_SECONDS };
  const sealed = await sealSession(session, deps.secrets);
  if (sealed === null) return { ok: false, why: OVER };
  const cookie = writeCookie(request, COOKIE, sealed, PORTAL_SESSION_SECONDS);
  return { ok: true, response: seeOther(pageUrl("portal"), [cookie]) };
}

/** The guard that remembers signatures remembers links: longer than any of them is good. */
async function useLink(
  { workspace, owner, id, madeAt }: PortalLink,
  { replayGuard }: DashboardDependencies,
): Promise<"yes" | "no" | "unknown"> {
  const whose = { workspace, keyId: `portal/${owner}` };
  const used = await useSignatureAt(replayGuard, whose, { id: digestKey(`portal ${id}`), created: madeAt });
  if (used.outcome === "fresh") return "yes";
  return used.outcome === "unavailable" || used.outcome === "overloaded" ? "unknown" : "no";
}

export function leave(request: Request): Response {
  return seeOther(pageUrl("portal"), [writeCookie(request, COOKIE, "", 0)]);
}

function nowSeconds({ control }: DashboardDependencies): number {
  return Math.floor(control.now() / 1_000);
}
