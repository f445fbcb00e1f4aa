/**
 * When a key leaked, as it stands in the note of its revocation: in the audit trail, where nobody can change it afterwards. A revoked key's
 * record stays as it was. Pure.
 */

const MARK = /^leakedAt=(\d{4}-\d{2}-\d{2}T[0-9:.]+Z)(?: |$)/;

/** @param leakedAt RFC 3339, UTC. */
export function noteOfLeak(leakedAt: string | undefined, note: string | null): string | null {
  if (leakedAt === undefined) return note;
  return note === null ? `leakedAt=${leakedAt}` : `leakedAt=${leakedAt} ${note}`;
}

/** Epoch ms; `null`: it does not say. */
export function leakTimeOf(note: string | null): number | null {
  const [, time] = MARK.exec(note ?? "") ?? [];
  const at = time === undefined ? Number.NaN : Date.parse(time);
  return Number.isFinite(at) ? at : null;
}
