import { PROOF_GUARD_WINDOW_MS, PROOF_MARK_STEP_MS, REPLAY_MEMORY_IDS } from "../../src/constants.ts";
import type { ProofUse, ProofUseAnswer } from "./api.ts";
import { SeenIds } from "./seen-ids.ts";

export interface ProofMemoryParts {
  /** The mark that an earlier incarnation has kept, epoch ms; `null`: none ever took a proof without a nonce. */
  readonly mark: number | null;
  /** Keeps a new mark. The answer of the use that it was called in must not leave before it is durable. */
  readonly keepMark: (mark: number) => void;
  /** Text that nobody can foresee. */
  readonly drawNonce: () => string;
  readonly capacity?: number;
}

/**
 * Takes each DPoP proof once, exactly, with no row per proof (decision 0023). Ids are in memory alone, and memory ends with its
 * incarnation. So that nothing is taken twice all the same:
 *
 * - a proof with a nonce must have the nonce of this incarnation: it cannot have been used before that was drawn;
 * - a proof without one is taken only if it says that it was made after the **mark**: no incarnation before took one that was made
 *   later than the mark, because the mark is kept ahead of what is taken.
 *
 * Everything else is answered with the nonce. None of it depends on clocks: times are compared as the proofs say them. The clock
 * decides only what is too old, and a clock that goes back makes the nonce change.
 */
export class ProofMemory {
  readonly #parts: ProofMemoryParts;
  #seen: SeenIds;
  #nonce: string;
  /** Without a nonce, what was made at this time or before may have been used in an earlier incarnation. Epoch ms. */
  #unknownUpTo: number;
  /** As it is kept: no proof without a nonce that was made later is taken before it moves. */
  #mark: number;

  constructor(parts: ProofMemoryParts) {
    this.#parts = parts;
    this.#seen = emptyMemory(parts);
    this.#nonce = parts.drawNonce();
    this.#mark = parts.mark ?? -Infinity;
    this.#unknownUpTo = this.#mark;
  }

  /** @param now epoch ms, by whatever clock. */
  use({ id, iat, nonce }: ProofUse, now: number): ProofUseAnswer {
    const at = iat * 1_000;
    if (!(Math.abs(at - now) <= PROOF_GUARD_WINDOW_MS)) return { outcome: "stale" };
    if (at <= this.#seen.forgottenUpTo) this.#beginAnew();
    if (nonce === null ? at <= this.#unknownUpTo : nonce !== this.#nonce) return this.#challenge();
    if (this.#seen.has(id)) return { outcome: "replayed" };
    this.#seen.forgetBefore(now - PROOF_GUARD_WINDOW_MS);
    if (this.#seen.isFull) return { outcome: "overloaded" };
    if (nonce === null && at > this.#mark) this.#moveMark(at + PROOF_MARK_STEP_MS);
    this.#seen.add(id, at);
    return { outcome: "fresh" };
  }

  #challenge(): ProofUseAnswer {
    return { outcome: "nonce", nonce: this.#nonce };
  }

  #moveMark(mark: number): void {
    this.#parts.keepMark(mark);
    this.#mark = mark;
  }

  /**
   * What was forgotten for its age is young again: the clock went back. Nobody can bring this about from outside, for what is
   * forgotten is outside of the window. From now on it is as after a restart.
   */
  #beginAnew(): void {
    this.#seen = emptyMemory(this.#parts);
    this.#nonce = this.#parts.drawNonce();
    this.#unknownUpTo = this.#mark;
  }
}

function emptyMemory({ capacity }: ProofMemoryParts): SeenIds {
  return new SeenIds(capacity ?? REPLAY_MEMORY_IDS);
}
