import type { KeyHash } from "../../keys/record.ts";

/** What a session is, and when it is over. Pure. */

/** Without a request for this long. */
export const SESSION_IDLE_SECONDS = 30 * 60;
/** From signing in, however busy. */
export const SESSION_MAX_SECONDS = 8 * 3_600;
/** The cookie is sealed anew once its last use is older than this: not with each request. */
export const SESSION_TOUCH_SECONDS = 60;

/** Who signed in. Neither the key nor the token is kept: the hash, and a mark, by which both are looked up and compared again. */
export type SessionSubject =
  | { readonly kind: "admin_key"; readonly hash: KeyHash }
  | { readonly kind: "root"; readonly mark: string; readonly workspace: string };

export interface Session {
  readonly v: 1;
  readonly subject: SessionSubject;
  /** In every form. */
  readonly csrf: string;
  /** Seconds since the epoch. */
  readonly signedInAt: number;
  readonly seenAt: number;
}

/** Seconds since the epoch. */
export function isSessionOver({ signedInAt, seenAt }: Pick<Session, "signedInAt" | "seenAt">, now: number): boolean {
  return now >= seenAt + SESSION_IDLE_SECONDS || now >= signedInAt + SESSION_MAX_SECONDS;
}

/** How long the browser is to keep the cookie: it goes when the session does. */
export function cookieSeconds({ signedInAt }: Pick<Session, "signedInAt">, now: number): number {
  return Math.max(0, Math.min(SESSION_IDLE_SECONDS, signedInAt + SESSION_MAX_SECONDS - now));
}

/** From a cookie, which only we can write; an older version of us may have. */
export function parseSession(value: unknown): Session | null {
  if (typeof value !== "object" || value === null || !("v" in value) || value.v !== 1) return null;
  // Sealed by us under this version: its shape is `Session`.
  return value as Session;
}

/** 128 random bits. */
export function newToken(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("base64url");
}
