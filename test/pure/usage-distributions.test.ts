import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  addDistinct,
  countDistinct,
  type Distinct,
  mergeDistinct,
  packDistinct,
  unpackDistinct,
} from "../../src/usage/distinct.ts";
import {
  addDistributions,
  addEventTo,
  figuresIn,
  noDistributions,
  packDistributions,
  unpackDistributions,
} from "../../src/usage/distributions.ts";
import { addSketch, addValue, countIn, quantile, type Sketch, SKETCH_ERROR } from "../../src/usage/sketch.ts";

const anyMs = fc.oneof(
  fc.integer({ min: 0, max: 50 }),
  fc.integer({ min: 0, max: 60_000 }),
  fc.integer({ min: 0, max: 1e12 }),
);

function sketchOf(values: readonly number[]): Sketch {
  const sketch: Sketch = [];
  for (const value of values) addValue(sketch, value);
  return sketch;
}

/** By its definition: the value of that rank. */
function exactQuantile(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(share * (values.length - 1))] ?? Number.NaN;
}

describe("quantiles", () => {
  test("are off by at most 2 %, whatever the values, however they were split up and merged", () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(anyMs, { maxLength: 40 }), { minLength: 1, maxLength: 6 }),
        fc.constantFrom(0, 0.5, 0.95, 0.99, 1),
        (parts, share) => {
          const values = parts.flat();
          const merged: Sketch = [];
          for (const part of parts.map(sketchOf)) {
            const before = [...part];
            addSketch(merged, part);
            expect(part).toEqual(before);
          }
          expect(merged).toEqual(sketchOf(values));
          expect(countIn(merged)).toBe(values.length);
          const found = quantile(merged, share);
          if (values.length === 0) {
            expect(found).toBeNull();
            return;
          }
          const exact = exactQuantile(values, share);
          expect(Math.abs((found ?? Infinity) - exact)).toBeLessThanOrEqual(exact * SKETCH_ERROR * (1 + 1e-9));
        },
      ),
    );
  });

  test("take few numbers: a minute of times between 1 ms and 30 s at most 520", () => {
    expect(sketchOf(Array.from({ length: 30_000 }, (_none, index) => index + 1)).length).toBeLessThanOrEqual(520);
  });
});

describe("different addresses", () => {
  const countOf = (texts: Iterable<string>): Distinct => {
    let distinct: Distinct = [];
    for (const text of texts) distinct = addDistinct(distinct, text);
    return distinct;
  };

  test("are counted exactly up to 48, however often each comes", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.ipV4(), { maxLength: 48 }), fc.nat({ max: 3 }), (addresses, again) => {
        const texts = Array.from({ length: again + 1 }, () => addresses).flat();
        expect(countDistinct(countOf(texts))).toBe(addresses.length);
      }),
    );
  });

  test.each([49, 100, 1_000, 10_000, 100_000])("%d of them are estimated within four standard errors", (many) => {
    const estimate = countDistinct(countOf(Array.from({ length: many }, (_none, index) => `2001:db8::${index}`)));
    expect(Math.abs(estimate - many) / many).toBeLessThan(4 * 0.046);
  });

  test("merged in any order, and stored in between, they are what all of them together are", () => {
    fc.assert(
      fc.property(fc.array(fc.array(fc.nat({ max: 400 }), { maxLength: 80 }), { maxLength: 6 }), (parts) => {
        const texts = parts.map((part) => part.map(String));
        const stored = texts.map((part) => JSON.stringify(packDistinct(countOf(part))));
        const merged = stored
          .map((text) => unpackDistinct(JSON.parse(text) as readonly number[] | string))
          .reduce<Distinct>((all, part) => mergeDistinct(part, all), []);
        expect(countDistinct(merged)).toBe(countDistinct(countOf(texts.flat())));
      }),
    );
  });
});

test("what is stored of a set of events says the same when it is read, and adds up", () => {
  const anyEvent = fc.record({
    latencyMs: anyMs,
    authMs: anyMs,
    upstreamMs: fc.option(anyMs),
    clientIp: fc.option(fc.ipV4()),
  });
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 60 }), fc.nat({ max: 60 }), (events, cut) => {
      const whole = noDistributions();
      for (const event of events) addEventTo(whole, event);
      const sum = noDistributions();
      for (const part of [events.slice(0, cut), events.slice(cut)]) {
        const own = noDistributions();
        for (const event of part) addEventTo(own, event);
        const stored = JSON.parse(JSON.stringify(packDistributions(own))) as ReturnType<typeof packDistributions>;
        addDistributions(sum, unpackDistributions(stored));
      }
      expect(figuresIn(sum)).toEqual(figuresIn(whole));
      if (events.every(({ upstreamMs }) => upstreamMs === null)) expect(figuresIn(whole).upstreamMs).toBeNull();
    }),
  );
});
