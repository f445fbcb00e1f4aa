/** What an admin key may be allowed to do. The whole list: any other scope on an admin key is refused at issuance. */
export const ADMIN_SCOPES = [
  "keys:read",
  "keys:write",
  "keys:verify",
  "keys:revoke",
  "owners:write",
  "policies:write",
  "usage:read",
  "audit:read",
  "alerts:read",
  "alerts:write",
  "admin:*",
] as const;

export type AdminScope = (typeof ADMIN_SCOPES)[number];

/** Stands for everything on the control API, and is the only scope there that covers another. */
export const ADMIN_ALL: AdminScope = "admin:*";

export function isAdminScope(scope: string): scope is AdminScope {
  return (ADMIN_SCOPES as readonly string[]).includes(scope);
}

/** Whether an admin key that holds `held` may do what `needed` stands for. */
export function coversAdminScope(held: readonly string[], needed: string): boolean {
  return held.includes(ADMIN_ALL) || (needed !== ADMIN_ALL && held.includes(needed));
}

/** Whether `held` reaches at least as far as `others`: what a key must hold in order to hand out, or take over, a key with `others`. */
export function coversAdminScopes(held: readonly string[], others: readonly string[]): boolean {
  return others.every((scope) => coversAdminScope(held, scope));
}
