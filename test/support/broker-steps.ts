import fc from "fast-check";

/** What may happen in a `BrokerWorld`, in any order. */

export type Step =
  /** An isolate asks its broker, for a request or (cost 0) ahead of need. */
  | { readonly do: "ask"; readonly isolate: number; readonly cost: number }
  /** The broker asks ahead of need by itself. */
  | { readonly do: "renew"; readonly broker: number }
  /** One of the calls on their way reaches the meter, or its answer the broker; or it is lost. */
  | { readonly do: "move" | "lose"; readonly which: number }
  /** An answer reaches the broker when the isolate has given up. */
  | { readonly do: "giveUp"; readonly which: number }
  | { readonly do: "wait"; readonly ms: number }
  /** An isolate, or a broker, hands back what it holds. */
  | { readonly do: "release"; readonly isolate: number }
  | { readonly do: "sendHome"; readonly broker: number }
  | { readonly do: "refund"; readonly isolate: number }
  /** The registry tells the meter of a newer record, and one isolate reads it. */
  | { readonly do: "publish"; readonly isolate: number };

const index = fc.nat(3);
export const stepsArbitrary: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        do: fc.constant("ask" as const),
        isolate: index,
        cost: fc.constantFrom(0, 0, 1, 1, 3, 20),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("renew" as const), broker: index }) },
    { weight: 8, arbitrary: fc.record({ do: fc.constant("move" as const), which: fc.nat(9) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("lose" as const), which: fc.nat(9) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("giveUp" as const), which: fc.nat(9) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.constantFrom(1, 100, 700, 2_500) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("release" as const), isolate: index }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("sendHome" as const), broker: index }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("refund" as const), isolate: index }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("publish" as const), isolate: index }) },
  ),
  { minLength: 20, maxLength: 200, size: "max" },
);
