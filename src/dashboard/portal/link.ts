import type { AdminScope } from "../../keys/admin-scopes.ts";
import { digestKey } from "../../keys/digest.ts";
import type { DeploymentSecrets } from "../../signatures/signing-secret.ts";
import { seal, unseal } from "../session/seal.ts";

/**
 * The link that lets an owner in, and the session that it opens: sealed, so that nobody can write one, and bound to one owner of one
 * workspace. The link is good once and for minutes; the session for half an hour, and only while whoever made the link still stands.
 */

/** Half of what the replay guard remembers at the least: a link is over before it could be forgotten that it was used. */
export const MAX_LINK_SECONDS = 300;
export const PORTAL_SESSION_SECONDS = 30 * 60;

/** What an owner's page may need. */
export const PORTAL_SCOPES = ["keys:read", "keys:write", "usage:read"] as const satisfies readonly AdminScope[];

/** Who made the link. Of root the mark of its token is kept, so that a new token ends what the old one opened. */
export type LinkMaker =
  | { readonly kind: "admin_key" | "person"; readonly id: string }
  | { readonly kind: "root"; readonly mark: string };

export interface PortalLink {
  readonly v: 1;
  readonly id: string;
  readonly workspace: string;
  readonly owner: string;
  readonly by: LinkMaker;
  /** What the maker holds of `PORTAL_SCOPES`: nobody lends more than they have. */
  readonly scopes: readonly AdminScope[];
  /** Seconds since the epoch. */
  readonly madeAt: number;
  readonly expiresAt: number;
}

export interface PortalSession extends Pick<PortalLink, "v" | "workspace" | "owner" | "by" | "scopes"> {
  readonly csrf: string;
  readonly expiresAt: number;
}

export async function sealLink(link: PortalLink, secrets: DeploymentSecrets): Promise<string | null> {
  return await seal(link, "portal-link", secrets);
}

/** `null`: it is none of ours, or it is over. `now`: seconds since the epoch. */
export async function openLink(text: string, secrets: DeploymentSecrets, now: number): Promise<PortalLink | null> {
  const value = await unseal(text, "portal-link", secrets);
  if (!isVersionOne(value)) return null;
  // Sealed by us for this purpose under this version.
  const link = value as PortalLink;
  return now < link.expiresAt ? link : null;
}

export async function sealSession(session: PortalSession, secrets: DeploymentSecrets): Promise<string | null> {
  return await seal(session, "portal-session", secrets);
}

export async function openSession(
  text: string,
  secrets: DeploymentSecrets,
  now: number,
): Promise<PortalSession | null> {
  const value = await unseal(text, "portal-session", secrets);
  if (!isVersionOne(value)) return null;
  // As above.
  const session = value as PortalSession;
  return now < session.expiresAt ? session : null;
}

function isVersionOne(value: unknown): value is { readonly v: 1 } {
  return typeof value === "object" && value !== null && "v" in value && value.v === 1;
}

/** The same for the same call sent again: a repeated call does not make a second way in. */
export function linkIdOf(
  idempotencyKey: string,
  { workspace, owner }: Pick<PortalLink, "workspace" | "owner">,
): string {
  return digestKey(JSON.stringify(["portal-link", workspace, owner, idempotencyKey]));
}
