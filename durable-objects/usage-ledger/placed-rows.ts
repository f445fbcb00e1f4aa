/**
 * Many things in few rows. Each thing has a place, a number that never changes; each row has the things of a range of places. The
 * rows together cover all places, so that each thing has one row to be in, and a row that becomes too large is cut.
 */

/** The places are 0 … `LAST_PLACE`. */
export const LAST_PLACE = 0xffffffff;

/** Both ends included. */
export interface Places {
  readonly low: number;
  readonly high: number;
}

export interface PlacedRow<K, V> extends Places {
  readonly things: Map<K, V>;
}

/** Where rows are, and what is in them. */
export interface RowStore<K, V> {
  /** Of all rows, in order. */
  readonly bounds: () => readonly Places[];
  readonly read: (low: number) => Map<K, V>;
  /** Replaces the row with the same `low`. Gives the rows written. */
  readonly write: (row: PlacedRow<K, V>) => number;
  readonly add: (into: Map<K, V>, key: K, value: V) => void;
  readonly placesOf: (keys: readonly K[]) => (key: K) => number;
  /** How many things it counts as, for what follows. Default: one. */
  readonly weigh?: (value: V) => number;
  /** A row with more is cut … */
  readonly most: number;
  /** … into rows with about so many: later additions find room. */
  readonly each: number;
}

/** Adds each thing to its row. Rows that get nothing are not touched. Gives the rows written. */
export function addToRows<K, V>(store: RowStore<K, V>, added: ReadonlyMap<K, V>, placeOf: (key: K) => number): number {
  if (added.size === 0) return 0;
  const bounds = store.bounds();
  const isEmpty = bounds.length === 0;
  const shares = (isEmpty ? [{ low: 0, high: LAST_PLACE }] : bounds).map((row) => ({ ...row, keys: [] as K[] }));
  for (const key of added.keys()) shares[rowOf(shares, placeOf(key))]?.keys.push(key);
  let rowsWritten = 0;
  for (const { low, high, keys } of shares) {
    if (keys.length === 0) continue;
    const things = isEmpty ? new Map<K, V>() : store.read(low);
    for (const key of keys) {
      const value = added.get(key);
      if (value !== undefined) store.add(things, key, value);
    }
    for (const row of cutWhereLarge(store, { low, high, things })) rowsWritten += store.write(row);
  }
  return rowsWritten;
}

/** The index of the row that a place belongs to. Rows are in order, and the first begins with 0. */
export function rowOf(rows: readonly { readonly low: number }[], place: number): number {
  let first = 0;
  let last = rows.length - 1;
  while (first < last) {
    const middle = (first + last + 1) >> 1;
    if ((rows[middle]?.low ?? 0) <= place) first = middle;
    else last = middle - 1;
  }
  return first;
}

/** Into rows of about equal size that together cover the same places. Things of one place stay together. */
function cutWhereLarge<K, V>(store: RowStore<K, V>, row: PlacedRow<K, V>): readonly PlacedRow<K, V>[] {
  const weigh = store.weigh ?? (() => 1);
  let weight = 0;
  for (const value of row.things.values()) weight += weigh(value);
  if (weight <= store.most) return [row];
  const placeOf = store.placesOf([...row.things.keys()]);
  const inOrder = Array.from(row.things, ([key, value]) => ({ place: placeOf(key), key, value })).toSorted(
    (a, b) => a.place - b.place,
  );
  const each = weight / Math.ceil(weight / store.each);
  const rows: { low: number; high: number; things: Map<K, V>; weight: number }[] = [];
  let before = -1;
  for (const { place, key, value } of inOrder) {
    const last = rows.at(-1);
    const added = weigh(value);
    if (last !== undefined && (last.weight < each || place === before)) {
      last.things.set(key, value);
      last.weight += added;
    } else {
      if (last !== undefined) last.high = place - 1;
      const low = last === undefined ? row.low : place;
      rows.push({ low, high: row.high, things: new Map([[key, value]]), weight: added });
    }
    before = place;
  }
  return rows;
}
