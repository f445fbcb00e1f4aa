import { MAX_SCOPE_CHARACTERS } from "../constants.ts";

/**
 * Scopes are `resource:action`; the resource may have parts (`billing.charges:read`). A granted `charges:*` covers every
 * action on `charges` and on nothing else. A bare `*` is no scope, and no scope is ever implied by another resource's.
 */

const SCOPE = /^[a-z0-9][a-z0-9._-]*:(?:[a-z0-9][a-z0-9._-]*|\*)$/;
/** `*:read` in a list of publishable scopes: that action on every resource. Never a scope itself. */
const ACTION_PATTERN = /^\*:[a-z0-9][a-z0-9._-]*$/;

export function isScope(text: string): boolean {
  return text.length <= MAX_SCOPE_CHARACTERS && SCOPE.test(text);
}

/** Whether each required scope is granted, by name or by the wildcard of its resource. */
export function covers(granted: readonly string[], required: readonly string[]): boolean {
  for (const scope of required) {
    if (!coversOne(granted, scope)) return false;
  }
  return true;
}

/** The required scopes that are not granted, in their order. */
export function missingScopes(granted: readonly string[], required: readonly string[]): readonly string[] {
  return required.filter((scope) => !coversOne(granted, scope));
}

/** What both grant: of a wildcard and a scope that it covers, that scope. */
export function intersectScopes(one: readonly string[], other: readonly string[]): readonly string[] {
  const shared = one.filter((scope) => coversOne(other, scope));
  return [...shared, ...other.filter((scope) => !shared.includes(scope) && coversOne(one, scope))];
}

function coversOne(granted: readonly string[], required: string): boolean {
  if (granted.includes(required)) return true;
  const actionStart = required.indexOf(":") + 1;
  if (actionStart === 0) return false;
  for (const scope of granted) {
    if (scope.length === actionStart + 1 && scope.endsWith(":*") && required.startsWith(scope.slice(0, -1)))
      return true;
  }
  return false;
}

/** An entry of `publishableScopes`: a scope, or `*:<action>`. */
export function isPublishablePattern(text: string): boolean {
  return isScope(text) || (text.length <= MAX_SCOPE_CHARACTERS && ACTION_PATTERN.test(text));
}

/** Whether a publishable key may hold the scope. `charges:*` needs to be allowed as such: `*:read` does not allow it. */
export function isPublishableScope(scope: string, allowed: readonly string[]): boolean {
  const action = scope.slice(scope.indexOf(":") + 1);
  return allowed.includes(`*:${action}`) || coversOne(allowed, scope);
}
