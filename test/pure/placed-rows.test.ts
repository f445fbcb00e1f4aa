import fc from "fast-check";
import { expect, test } from "vitest";
import type { PlacedRow, RowStore } from "../../durable-objects/usage-ledger/placed-rows.ts";
import { LAST_PLACE, addToRows, rowOf } from "../../durable-objects/usage-ledger/placed-rows.ts";

const MOST = 6;

/** Rows in memory; the place of a thing is its number. */
function memoryStore() {
  const rows = new Map<number, PlacedRow<number, number>>();
  const store: RowStore<number, number> = {
    bounds: () => [...rows.values()].toSorted((a, b) => a.low - b.low),
    read: (low) => new Map(rows.get(low)?.things),
    write: (row) => {
      rows.set(row.low, row);
      return 1;
    },
    add: (into, key, value) => void into.set(key, (into.get(key) ?? 0) + value),
    placesOf: () => (key) => key,
    most: MOST,
    each: 3,
  };
  return { rows, store };
}

const anyPlace = fc.oneof(
  fc.integer({ min: 0, max: LAST_PLACE }),
  fc.integer({ min: 100, max: 130 }),
  fc.constantFrom(0, LAST_PLACE),
);

test("whatever is added in whatever order: each thing is in one row, rows cover all places once, and none is too large", () => {
  fc.assert(
    fc.property(fc.array(fc.array(anyPlace, { maxLength: 15 }), { maxLength: 12 }), (additions) => {
      const { rows, store } = memoryStore();
      const wanted = new Map<number, number>();
      for (const places of additions) {
        const added = new Map(places.map((place) => [place, 1]));
        for (const place of added.keys()) wanted.set(place, (wanted.get(place) ?? 0) + 1);
        const before = rows.size;
        const written = addToRows(store, added, (place) => place);
        expect(written).toBeGreaterThanOrEqual(rows.size - before);
        expect(written).toBeLessThanOrEqual(rows.size);
      }
      const inOrder = store.bounds();
      let next = 0;
      for (const [index, { low, high }] of inOrder.entries()) {
        expect(low).toBe(next);
        next = high + 1;
        const things = rows.get(low)?.things ?? new Map<number, number>();
        expect(things.size).toBeLessThanOrEqual(MOST);
        for (const place of things.keys()) expect(rowOf(inOrder, place)).toBe(index);
      }
      if (wanted.size > 0) expect(next).toBe(LAST_PLACE + 1);
      const found = inOrder.flatMap(({ low }) => [...(rows.get(low)?.things ?? [])]);
      expect(new Map(found)).toEqual(wanted);
      expect(found).toHaveLength(wanted.size);
    }),
    { numRuns: 1_000 },
  );
});
