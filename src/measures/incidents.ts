import { isLeak, isWithin, largest, type Measured, nothing } from "./measured.ts";
import type { MeasuredKey, MeasureSources, RevocationSighting } from "./sources.ts";

/** Measures of revocations and leaks, from what was seen of each key afterwards. Pure. */

interface Revocation {
  readonly key: MeasuredKey;
  readonly revokedAt: number;
  readonly seen: RevocationSighting | null;
}

function revocations({ keys, sightings, from, to }: MeasureSources): readonly Revocation[] {
  const seen = new Map(sightings.map((sighting) => [sighting.keyId, sighting]));
  return keys.flatMap((key) =>
    isWithin(key.revokedAt, from, to) ? [{ key, revokedAt: key.revokedAt, seen: seen.get(key.id) ?? null }] : [],
  );
}

/** What was let in after the revocation, until then; 0: nothing was. */
function lastAcceptanceMs({ revokedAt, seen }: Revocation): number {
  return Math.max(0, (seen?.lastAcceptanceAt ?? revokedAt) - revokedAt);
}

/** Isolates' clocks differ from the registry's by ms: a refusal by it is never before it. */
function firstRefusalMs({ revokedAt, seen }: Revocation): number | null {
  return seen === null ? null : Math.max(0, seen.firstRefusalAt - revokedAt);
}

export function measureRevocations(sources: MeasureSources): Measured {
  const made = revocations(sources);
  if (made.length === 0) return nothing("No key was revoked.");
  const tried = made.filter(({ seen }) => seen !== null);
  const detail = { revoked: made.length, usedAgain: tried.length, notUsedAgain: made.length - tried.length };
  if (tried.length === 0)
    return { ...nothing("No revoked key was used again, so that nothing was there to see."), detail };
  const acceptance = tried.map((of) => ({ key: of.key.id, value: lastAcceptanceMs(of) / 1_000 }));
  const refusals = tried.map((of) => (firstRefusalMs(of) ?? 0) / 1_000);
  return {
    value: Math.max(...acceptance.map(({ value }) => value)),
    detail: {
      ...detail,
      firstRefusalSeconds: Math.max(...refusals),
      top: largest(
        acceptance.filter(({ value }) => value > 0),
        sources.top,
      ),
    },
  };
}

/** M15 and M16. */
export function measureLeaks(sources: MeasureSources): {
  readonly containment: Measured;
  readonly detection: Measured;
} {
  const leaks = revocations(sources).filter(({ key }) => isLeak(key.revokedReason));
  const none = nothing("No key was revoked as leaked or compromised.");
  if (leaks.length === 0) return { containment: none, detection: none };
  const { afterLeak, top } = sources;
  const contained = leaks.map((leak) => {
    const since = leak.key.leakedAt ?? leak.revokedAt;
    return { key: leak.key.id, value: Math.max(0, leak.revokedAt + lastAcceptanceMs(leak) - since) / 1_000 };
  });
  const known = leaks.flatMap(({ key, revokedAt }) =>
    key.leakedAt === null ? [] : [{ key: key.id, value: Math.max(0, revokedAt - key.leakedAt) / 1_000 }],
  );
  const containment = {
    value: Math.max(...contained.map(({ value }) => value)),
    detail: { leaks: leaks.length, leakTimeKnown: known.length, top: largest(contained, top) },
  };
  if (known.length === 0)
    return { containment, detection: nothing("When the keys leaked is not known: say leakedAt when you revoke.") };
  const requests = known.map(({ key }) => ({ key, value: afterLeak.get(key) ?? 0 }));
  const detection = {
    value: Math.max(...known.map(({ value }) => value)),
    detail: {
      leaks: known.length,
      requestsAfterLeak: requests.reduce((total, { value }) => total + value, 0),
      top: largest(requests, top),
    },
  };
  return { containment, detection };
}
