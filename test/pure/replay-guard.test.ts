import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ProofUse } from "../../durable-objects/replay-guard/api.ts";
import { ProofMemory } from "../../durable-objects/replay-guard/proof-memory.ts";
import { SeenIds } from "../../durable-objects/replay-guard/seen-ids.ts";
import { SignatureMemory, type SignatureRow } from "../../durable-objects/replay-guard/signature-memory.ts";
import {
  MAX_SIGNATURE_AGE_SECONDS,
  PROOF_GUARD_WINDOW_MS,
  PROOF_MARK_STEP_MS,
  PROOF_WINDOW_SECONDS,
  REPLAY_MEMORY_IDS,
  SIGNATURE_MEMORY_MS,
  SIGNATURE_SKEW_MS,
} from "../../src/constants.ts";

const START = Date.UTC(2026, 10, 23, 12, 0, 0);

/** A guard over what outlives it: the mark. Nonces are numbers, each drawn once. */
class GuardLab {
  mark: number | null = null;
  marksKept = 0;
  readonly #capacity: number;
  #nonces = 0;
  #memory: ProofMemory;

  constructor(capacity = REPLAY_MEMORY_IDS) {
    this.#capacity = capacity;
    this.#memory = this.#begin();
  }

  restart(): void {
    this.#memory = this.#begin();
  }

  use(use: ProofUse, now: number) {
    return this.#memory.use(use, now);
  }

  /** As a client does it: once more with the nonce that it was told. */
  useWithRetry(use: ProofUse, now: number) {
    const first = this.#memory.use(use, now);
    return first.outcome === "nonce" ? this.#memory.use({ ...use, id: `${use.id}+`, nonce: first.nonce }, now) : first;
  }

  #begin(): ProofMemory {
    return new ProofMemory({
      mark: this.mark,
      keepMark: (mark) => {
        this.mark = mark;
        this.marksKept += 1;
      },
      drawNonce: () => `nonce-${++this.#nonces}`,
      capacity: this.#capacity,
    });
  }
}

const seconds = (ms: number): number => ms / 1_000;

type Step =
  | { readonly kind: "use"; readonly client: number; readonly age: number }
  | { readonly kind: "replay"; readonly which: number }
  | { readonly kind: "restart" }
  | { readonly kind: "wait"; readonly ms: number }
  | { readonly kind: "clock"; readonly ms: number };

const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("use" as const),
      client: fc.nat(3),
      age: fc.integer({ min: -80_000, max: 80_000 }),
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("replay" as const), which: fc.nat(200) }) },
  { weight: 1, arbitrary: fc.constant({ kind: "restart" as const }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("wait" as const), ms: fc.nat(60_000) }) },
  // A clock that is set, even by much, must not let anything in twice.
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("clock" as const), ms: fc.integer({ min: -400_000, max: 400_000 }) }),
  },
);

describe("proofs", () => {
  test("in any order of uses, replays, restarts and clocks that jump, no proof is taken twice", () => {
    let taken = 0;
    let replays = 0;
    fc.assert(
      fc.property(fc.array(stepArbitrary, { minLength: 5, maxLength: 120 }), (steps) => {
        const lab = new GuardLab();
        /** What each client was told last. */
        const nonces: (string | null)[] = [null, null, null, null];
        const made: ProofUse[] = [];
        const takenIds = new Set<string>();
        let now = START;
        const use = (proof: ProofUse, client: number | null): void => {
          const answer = lab.use(proof, now);
          if (answer.outcome === "nonce" && client !== null) nonces[client] = answer.nonce;
          if (answer.outcome === "replayed") replays += 1;
          if (answer.outcome !== "fresh") return;
          taken += 1;
          expect(takenIds.has(proof.id), `${proof.id} taken twice`).toBe(false);
          takenIds.add(proof.id);
        };
        for (const step of steps) {
          if (step.kind === "use") {
            const proof = { id: `p${made.length}`, iat: seconds(now + step.age), nonce: nonces[step.client] ?? null };
            made.push(proof);
            use(proof, step.client);
          } else if (step.kind === "replay") {
            const proof = made[step.which % Math.max(1, made.length)];
            if (proof !== undefined) use(proof, null);
          } else if (step.kind === "restart") {
            lab.restart();
          } else {
            now += step.ms;
          }
        }
      }),
      { numRuns: 5_000 },
    );
    // Or nothing was tried.
    expect(taken).toBeGreaterThan(10_000);
    expect(replays).toBeGreaterThan(5_000);
  });

  test("at any moment, after whatever restarts and jumps, a new proof is taken at once or with the nonce that the answer gives", () => {
    fc.assert(
      fc.property(fc.array(stepArbitrary, { maxLength: 60 }), fc.integer({ min: -60, max: 60 }), (steps, age) => {
        const lab = new GuardLab();
        let now = START;
        for (const [index, step] of steps.entries()) {
          if (step.kind === "use")
            lab.useWithRetry({ id: `p${index}`, iat: seconds(now + step.age), nonce: null }, now);
          else if (step.kind === "restart") lab.restart();
          else if (step.kind !== "replay") now += step.ms;
        }
        expect(lab.useWithRetry({ id: "new", iat: seconds(now) + age, nonce: null }, now).outcome).toBe("fresh");
      }),
      { numRuns: 2_000 },
    );
  });

  test("a guard that was never used asks nobody for a nonce", () => {
    const lab = new GuardLab();
    expect(lab.use({ id: "a", iat: seconds(START), nonce: null }, START)).toEqual({ outcome: "fresh" });
    expect(lab.use({ id: "a", iat: seconds(START), nonce: null }, START)).toEqual({ outcome: "replayed" });
  });

  test("after a restart what was taken before is asked for a nonce, and so is whatever may have been, until a step after the last", () => {
    const lab = new GuardLab();
    lab.use({ id: "a", iat: seconds(START), nonce: null }, START);
    lab.restart();
    expect(lab.use({ id: "a", iat: seconds(START), nonce: null }, START).outcome).toBe("nonce");
    const edge = START + PROOF_MARK_STEP_MS;
    expect(lab.use({ id: "b", iat: seconds(edge), nonce: null }, edge).outcome).toBe("nonce");
    expect(lab.use({ id: "b", iat: seconds(edge + 1), nonce: null }, edge).outcome).toBe("fresh");
  });

  test("a nonce of an incarnation that is over, and one that was made up, are answered with the present one", () => {
    const lab = new GuardLab();
    lab.use({ id: "a", iat: seconds(START), nonce: null }, START);
    lab.restart();
    const first = lab.use({ id: "b", iat: seconds(START), nonce: null }, START);
    if (first.outcome !== "nonce") throw new Error("expected a nonce");
    expect(lab.use({ id: "c", iat: seconds(START), nonce: first.nonce }, START).outcome).toBe("fresh");
    lab.restart();
    const second = lab.use({ id: "d", iat: seconds(START), nonce: first.nonce }, START);
    expect(second.outcome).toBe("nonce");
    expect(second).not.toEqual(first);
    expect(lab.use({ id: "e", iat: seconds(START + 70_000), nonce: "made up" }, START).outcome).toBe("nonce");
  });

  test("a row is written once a minute at the most, however many proofs come without a nonce, and none for those with one", () => {
    const lab = new GuardLab();
    for (let index = 0; index < 60_000; index++) {
      const now = START + index * 10;
      expect(lab.use({ id: `p${index}`, iat: seconds(now), nonce: null }, now).outcome).toBe("fresh");
    }
    expect(lab.marksKept).toBeLessThanOrEqual(10);
    lab.restart();
    const { marksKept } = lab;
    const now = START + 600_000;
    const told = lab.use({ id: "q", iat: seconds(now), nonce: null }, now);
    if (told.outcome !== "nonce") throw new Error("expected a nonce");
    for (let index = 0; index < 1_000; index++) {
      expect(lab.use({ id: `r${index}`, iat: seconds(now), nonce: told.nonce }, now).outcome).toBe("fresh");
    }
    expect(lab.marksKept).toBe(marksKept);
  });

  test("a full memory refuses what is new, forgets nothing for it, and takes proofs again once the oldest are out of the window", () => {
    const lab = new GuardLab(3);
    for (const id of ["a", "b", "c"])
      expect(lab.use({ id, iat: seconds(START), nonce: null }, START).outcome).toBe("fresh");
    expect(lab.use({ id: "d", iat: seconds(START), nonce: null }, START).outcome).toBe("overloaded");
    expect(lab.use({ id: "a", iat: seconds(START), nonce: null }, START).outcome).toBe("replayed");
    const later = START + PROOF_GUARD_WINDOW_MS + 20_000;
    expect(lab.use({ id: "e", iat: seconds(later), nonce: null }, later).outcome).toBe("fresh");
    expect(lab.use({ id: "a", iat: seconds(START), nonce: null }, later).outcome).toBe("stale");
  });

  test("a time outside of the guard's window, or none, is stale", () => {
    const lab = new GuardLab();
    for (const ms of [PROOF_GUARD_WINDOW_MS + 1, -PROOF_GUARD_WINDOW_MS - 1, Number.NaN, Infinity]) {
      expect(lab.use({ id: "a", iat: seconds(START + ms), nonce: null }, START).outcome, String(ms)).toBe("stale");
    }
  });

  test("the guard's window is wider than the isolates', so that a difference of their clocks refuses nobody", () => {
    expect(PROOF_GUARD_WINDOW_MS).toBeGreaterThan(PROOF_WINDOW_SECONDS * 1_000);
    expect(SIGNATURE_MEMORY_MS).toBeGreaterThan(MAX_SIGNATURE_AGE_SECONDS * 1_000 + SIGNATURE_SKEW_MS);
  });
});

describe("signatures", () => {
  /** A memory over rows that outlive it. */
  function signatureLab(capacity?: number) {
    const rows = new Map<number, SignatureRow>();
    let written = 0;
    const begin = (): SignatureMemory =>
      new SignatureMemory(
        [...rows.values()].toSorted((a, b) => a.slot - b.slot),
        (row) => {
          rows.set(row.slot, row);
          written += 1;
        },
        capacity,
      );
    let memory = begin();
    return {
      rows,
      written: () => written,
      restart: () => void (memory = begin()),
      use: (id: string, created: number, now: number) => memory.use({ id, created }, now).outcome,
    };
  }

  test("in any order of uses, replays, restarts and clocks that jump, no signature is taken twice, and each that is taken is one row", () => {
    let taken = 0;
    let replays = 0;
    fc.assert(
      fc.property(fc.array(stepArbitrary, { minLength: 5, maxLength: 120 }), (steps) => {
        const lab = signatureLab();
        const made: { readonly id: string; readonly created: number }[] = [];
        const takenIds = new Set<string>();
        let now = START;
        const use = ({ id, created }: { readonly id: string; readonly created: number }): void => {
          const outcome = lab.use(id, created, now);
          if (outcome === "replayed") replays += 1;
          if (outcome !== "fresh") return;
          taken += 1;
          expect(takenIds.has(id), `${id} taken twice`).toBe(false);
          takenIds.add(id);
        };
        for (const step of steps) {
          if (step.kind === "use") {
            const signature = { id: `s${made.length}`, created: Math.floor(seconds(now + step.age)) };
            made.push(signature);
            use(signature);
          } else if (step.kind === "replay") {
            const signature = made[step.which % Math.max(1, made.length)];
            if (signature !== undefined) use(signature);
          } else if (step.kind === "restart") {
            lab.restart();
          } else {
            now += step.ms * 4;
          }
        }
        expect(lab.written()).toBe(takenIds.size);
      }),
      { numRuns: 5_000 },
    );
    expect(taken).toBeGreaterThan(10_000);
    expect(replays).toBeGreaterThan(5_000);
  });

  test("rows are written over: there are never more than there were signatures at once", () => {
    const lab = signatureLab();
    let index = 0;
    for (let round = 0; round < 20; round++) {
      const now = START + round * (SIGNATURE_MEMORY_MS + 20_000);
      for (let one = 0; one < 50; one++) expect(lab.use(`s${index++}`, seconds(now), now)).toBe("fresh");
      lab.restart();
    }
    expect(lab.rows.size).toBeLessThanOrEqual(100);
  });

  test("a full memory refuses", () => {
    const lab = signatureLab(2);
    expect(["a", "b", "c", "a"].map((id) => lab.use(id, seconds(START), START))).toEqual([
      "fresh",
      "fresh",
      "overloaded",
      "replayed",
    ]);
  });
});

test("slots are small numbers, each of one id at a time", () => {
  const seen = new SeenIds(10);
  expect([seen.add("a", START), seen.add("b", START), seen.add("c", START + 60_000)]).toEqual([0, 1, 2]);
  seen.forgetBefore(START + 30_000);
  expect([seen.has("a"), seen.has("b"), seen.has("c")]).toEqual([false, false, true]);
  expect(new Set([seen.add("d", START + 60_000), seen.add("e", START + 60_000)])).toEqual(new Set([0, 1]));
  expect(seen.add("f", START + 60_000)).toBe(3);
});
