import { REPLAY_MEMORY_IDS, SIGNATURE_MEMORY_MS, SIGNATURE_SKEW_MS } from "../../src/constants.ts";
import type { SignatureUse, SignatureUseAnswer } from "./api.ts";
import { SeenIds } from "./seen-ids.ts";

/** One row: a signature that was taken. */
export interface SignatureRow {
  readonly slot: number;
  readonly id: string;
  /** `created` of the signature, epoch ms. */
  readonly at: number;
  /** Up to which time signatures were forgotten when this row was written: they may have stood where it stands. Epoch ms. */
  readonly forgotten: number;
}

/**
 * Takes each request signature once, over restarts too: a signature is made without a word from us, so there is no nonce that could
 * say in which incarnation it was used. What was taken is a row, written over once it is too old: one row written a signature, and
 * as many rows in all as there ever were at once.
 */
export class SignatureMemory {
  readonly #seen: SeenIds;
  readonly #keep: (row: SignatureRow) => void;

  /**
   * @param rows what was kept, by slot.
   * @param keep writes a row over what stands in its slot. The answer must not leave before it is durable.
   */
  constructor(rows: readonly SignatureRow[], keep: (row: SignatureRow) => void, capacity = REPLAY_MEMORY_IDS) {
    this.#keep = keep;
    this.#seen = new SeenIds(capacity);
    this.#seen.restore(
      rows,
      rows.reduce((latest, { forgotten }) => Math.max(latest, forgotten), 0),
    );
  }

  use({ id, created }: SignatureUse, now: number): SignatureUseAnswer {
    const at = created * 1_000;
    if (!(at >= now - SIGNATURE_MEMORY_MS && at <= now + 2 * SIGNATURE_SKEW_MS)) return { outcome: "stale" };
    // Only after the clock went back: it may have been taken.
    if (at <= this.#seen.forgottenUpTo) return { outcome: "stale" };
    if (this.#seen.has(id)) return { outcome: "replayed" };
    this.#seen.forgetBefore(now - SIGNATURE_MEMORY_MS);
    if (this.#seen.isFull) return { outcome: "overloaded" };
    const slot = this.#seen.add(id, at);
    this.#keep({ slot, id, at, forgotten: Math.max(0, this.#seen.forgottenUpTo) });
    return { outcome: "fresh" };
  }
}
