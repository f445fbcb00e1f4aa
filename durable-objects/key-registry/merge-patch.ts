/**
 * RFC 7396 for one field that holds an object: `undefined` leaves it, `null` empties it, an object is merged into it,
 * where members that are `null` take away.
 */
export function mergePatch<T extends object>(
  target: T,
  patch: Readonly<Record<string, unknown>> | null | undefined,
): T {
  if (patch === undefined) return target;
  // The control API checked the shape of what the patch brings, and taking members away leaves the type, whose members are all optional.
  return (patch === null ? {} : mergeObjects(target, patch)) as T;
}

function mergeObjects(target: object, patch: object): object {
  const merged = new Map<string, unknown>(Object.entries(target));
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else if (isPlainObject(value)) {
      const present = merged.get(name);
      merged.set(name, mergeObjects(isPlainObject(present) ? present : {}, value));
    } else merged.set(name, value);
  }
  // `fromEntries` defines members, so that a member called `__proto__` is only that.
  return Object.fromEntries(merged);
}

function isPlainObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
