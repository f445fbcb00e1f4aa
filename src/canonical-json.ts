/** JSON with the members of each object in order of their names, so that equal values have equal text (RFC 8785's idea). */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_name, member: unknown) => {
    if (typeof member !== "object" || member === null || Array.isArray(member)) return member;
    return Object.fromEntries(
      Object.entries(member).toSorted(([left], [right]) => (left < right ? -1 : left > right ? 1 : 0)),
    );
  });
}
