import { isLeak, isWithin, largest, type Measured, nothing } from "./measured.ts";
import type { MeasuredKey, MeasureSources } from "./sources.ts";

/** Measures of keys' lives: issue, age, rotation, disuse. Pure. */

const DAY_MS = 86_400_000;

/** Keys that open something now. */
function standing({ keys }: MeasureSources): readonly MeasuredKey[] {
  return keys.filter(({ status }) => status === "active" || status === "rotating");
}

function ofThose({ keysCut }: MeasureSources): { readonly cut?: true } {
  return keysCut ? { cut: true } : {};
}

export function measureIssued(sources: MeasureSources): Measured {
  const { keys, from, to } = sources;
  const issued = keys.filter(({ createdAt }) => isWithin(createdAt, from, to));
  const byRotation = issued.filter(({ rotatedFrom }) => rotatedFrom !== null).length;
  return { value: issued.length, detail: { byRotation, ...ofThose(sources) } };
}

/** Those that have been rotated are judged by the one that replaces them. */
export function measureAges(sources: MeasureSources): Measured {
  const { to, maxAgeDays, top } = sources;
  const keys = standing(sources).filter(({ status }) => status === "active");
  if (keys.length === 0) return nothing("There is no key that stands.");
  const ages = keys.map(({ id, createdAt }) => ({ key: id, value: (to - createdAt) / DAY_MS }));
  const over = ages.filter(({ value }) => value > maxAgeDays);
  const detail = { maxAgeDays, keys: keys.length, keysOver: over.length, top: largest(over, top), ...ofThose(sources) };
  return { value: 1 - over.length / keys.length, detail };
}

export function measureLifetimes(sources: MeasureSources): Measured {
  const { maxAgeDays } = sources;
  const keys = standing(sources);
  if (keys.length === 0) return nothing("There is no key that stands.");
  const withTtl = keys.filter(({ expiresAt }) => expiresAt !== null).length;
  const within = keys.filter(
    ({ createdAt, expiresAt }) => expiresAt !== null && expiresAt - createdAt <= maxAgeDays * DAY_MS,
  ).length;
  const detail = { maxAgeDays, keys: keys.length, withTtl, within, ...ofThose(sources) };
  return { value: within / keys.length, detail };
}

export function measureStale(sources: MeasureSources): Measured {
  const { keys, from, to, staleDays, top } = sources;
  const idleDays = ({ lastUsedAt, createdAt }: MeasuredKey, at: number): number =>
    (at - (lastUsedAt ?? createdAt)) / DAY_MS;
  const stale = standing(sources)
    .map((key) => ({ key: key.id, value: idleDays(key, to) }))
    .filter(({ value }) => value >= staleDays);
  const removed = keys.filter(
    (key) => isWithin(key.revokedAt, from, to) && idleDays(key, key.revokedAt) >= staleDays,
  ).length;
  return { value: stale.length, detail: { staleDays, removed, top: largest(stale, top), ...ofThose(sources) } };
}

interface RotationMade {
  readonly old: MeasuredKey;
  readonly next: MeasuredKey;
  /** When the old key came to its end; `null`: it stands, and nobody knows until when. */
  readonly endedAt: number | null;
}

function rotations({ keys }: MeasureSources): readonly RotationMade[] {
  const records = new Map(keys.map((key) => [key.id, key]));
  return keys.flatMap((next) => {
    const old = next.rotatedFrom === null ? undefined : records.get(next.rotatedFrom);
    return old === undefined ? [] : [{ old, next, endedAt: endOf(old) }];
  });
}

/** Revoked before its overlap ended, or by the end of that. */
function endOf({ revokedAt, notAfter }: MeasuredKey): number | null {
  if (revokedAt === null || notAfter === null) return revokedAt ?? notAfter;
  return Math.min(revokedAt, notAfter);
}

const CUT_OFF: ReadonlySet<string> = new Set(["key_expired", "key_revoked"]);

export function measureRotations(sources: MeasureSources): Measured {
  const { from, to, use, top } = sources;
  const made = rotations(sources).filter(({ next }) => isWithin(next.createdAt, from, to));
  if (made.length === 0) return nothing("No key was rotated.");
  const refused = new Map<string, number>();
  for (const { keyId, code, requests } of use) {
    if (keyId !== null && CUT_OFF.has(code)) refused.set(keyId, (refused.get(keyId) ?? 0) + requests);
  }
  // A key that leaked is meant to be cut off.
  const failed = made
    .filter(({ old }) => !isLeak(old.revokedReason))
    .flatMap(({ old }) => {
      const value = refused.get(old.id) ?? 0;
      return value === 0 ? [] : [{ key: old.id, value }];
    });
  const detail = { rotations: made.length, withOutage: failed.length, top: largest(failed, top), ...ofThose(sources) };
  return { value: 1 - failed.length / made.length, detail };
}

export function measureTimes(sources: MeasureSources): Measured {
  const { from, to } = sources;
  const ended = rotations(sources).flatMap(({ old, next, endedAt }) =>
    isWithin(endedAt, from, to)
      ? [{ seconds: Math.max(0, endedAt - next.createdAt) / 1_000, isIncident: isLeak(old.revokedReason) }]
      : [],
  );
  const scheduled = median(ended.flatMap(({ seconds, isIncident }) => (isIncident ? [] : [seconds])));
  const incident = median(ended.flatMap(({ seconds, isIncident }) => (isIncident ? [seconds] : [])));
  const value = median(ended.map(({ seconds }) => seconds));
  if (value === null) return nothing("No rotation came to its end.");
  return { value, detail: { rotations: ended.length, scheduled, incident, ...ofThose(sources) } };
}

/** The middle one; of an even number the mean of the two in the middle. */
function median(values: readonly number[]): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length / 2;
  const upper = sorted[Math.floor(half)];
  const lower = sorted[Math.ceil(half) - 1];
  return upper === undefined || lower === undefined ? null : (upper + lower) / 2;
}
