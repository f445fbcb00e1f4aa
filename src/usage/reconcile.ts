/** Compares what the meters spent with what the ledger counted. Pure. */

/** Cost units of one lineage in one hour, from both sides. */
export interface Comparison {
  readonly lineageId: string;
  readonly meter: number;
  readonly ledger: number;
}

/** Every lineage that either side knows; a side that does not know it has 0. In order of lineage. */
export function compareHour(
  meter: ReadonlyMap<string, number>,
  ledger: ReadonlyMap<string, number>,
): readonly Comparison[] {
  return [...new Set([...meter.keys(), ...ledger.keys()])].toSorted().map((lineageId) => ({
    lineageId,
    meter: meter.get(lineageId) ?? 0,
    ledger: ledger.get(lineageId) ?? 0,
  }));
}

export function differing(comparisons: readonly Comparison[]): readonly Comparison[] {
  return comparisons.filter((of) => of.meter !== of.ledger);
}

/** Sum of the absolute differences: what is too much here must not hide what is too little there. */
export function differenceUnits(comparisons: readonly Comparison[]): number {
  return comparisons.reduce((sum, of) => sum + Math.abs(of.meter - of.ledger), 0);
}
