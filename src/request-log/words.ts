/** Times and lists as people read them. */

export function ageText(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${(ms / 1_000).toFixed(1)} s`;
  return ms < 7_200_000 ? `${Math.round(ms / 60_000)} min` : `${Math.round(ms / 3_600_000)} h`;
}

/** `a`, `a and b`, `a, b and c`; `none` for nothing. */
export function listText(names: readonly string[]): string {
  if (names.length < 2) return names[0] ?? "none";
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1) ?? ""}`;
}

export function timeText(time: number): string {
  return new Date(time).toISOString();
}
