/** Who holds leases, so that what is shared out can be shared fairly. Lost on eviction without harm. */

/** Callers by the time they were last heard, the oldest first. */
export type Holders = Map<string, number>;

/** Leases that are further apart than this do not compete. */
const HOLDER_MEMORY_MS = 10_000;
const HOLDERS_MAX = 4_096;

/** Notes that `holder` was heard at `now`, forgets those of long ago, and says how many there are. */
export function countHolders(holders: Holders, holder: string, now: number): number {
  // Re-inserting keeps the map in the order of last hearing, so that the old ones stand first.
  holders.delete(holder);
  holders.set(holder, now);
  for (const [name, heardAt] of holders) {
    if (heardAt > now - HOLDER_MEMORY_MS && holders.size <= HOLDERS_MAX) break;
    holders.delete(name);
  }
  return holders.size;
}
