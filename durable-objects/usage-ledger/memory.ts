import type { KnownBatches } from "./batch-ids.ts";
import type { JournalLength } from "./journal.ts";
import { noRevocations, type RevocationMemory } from "./revocations.ts";
import type { KnownSeries } from "./series.ts";
import type { LastUses } from "./uses.ts";
import { noUses } from "./uses.ts";

/**
 * What the ledger holds in memory of what it stores. It may be thrown away at any moment, and must be when a transaction that may
 * have changed it was rolled back.
 */
export interface LedgerMemory {
  readonly series: KnownSeries;
  readonly batches: KnownBatches;
  readonly journal: JournalLength;
  readonly uses: LastUses;
  readonly revocations: RevocationMemory;
}

export function emptyMemory(now: number): LedgerMemory {
  return {
    series: new Map(),
    batches: new Map(),
    journal: { slots: null, groups: 0 },
    uses: noUses(now),
    revocations: noRevocations(now),
  };
}
