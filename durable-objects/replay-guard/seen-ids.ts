/** Ids are forgotten by this much of time at once, so that forgetting costs next to nothing. */
const BUCKET_MS = 10_000;

/**
 * Ids that were used, each with the time that it says of itself. They are forgotten by that time, oldest first, and the time up to
 * which any was forgotten is known: of whatever is not older than that, `has` is the whole truth. No clock is read here.
 *
 * Each id has a slot, a small number that is its own until it is forgotten, so that it can be kept in a row that is written over.
 */
export class SeenIds {
  readonly #capacity: number;
  readonly #slots = new Map<string, number>();
  readonly #buckets = new Map<number, string[]>();
  /** Slots below `#nextSlot` that nobody has. */
  readonly #freeSlots: number[] = [];
  #nextSlot = 0;
  #oldestBucket = Infinity;
  #forgottenUpTo = -Infinity;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** What says of itself that it is of this time (epoch ms), or an earlier one, may have been forgotten. */
  get forgottenUpTo(): number {
    return this.#forgottenUpTo;
  }

  get isFull(): boolean {
    return this.#slots.size >= this.#capacity;
  }

  get size(): number {
    return this.#slots.size;
  }

  has(id: string): boolean {
    return this.#slots.has(id);
  }

  /** Remembers an id that is not there. Its slot. */
  add(id: string, at: number): number {
    const slot = this.#freeSlots.pop() ?? this.#nextSlot++;
    this.#put(id, at, slot);
    return slot;
  }

  /** What was kept in rows; into an empty memory. `forgottenUpTo`: as it was when the last of them was written. */
  restore(
    rows: Iterable<{ readonly slot: number; readonly id: string; readonly at: number }>,
    forgottenUpTo: number,
  ): void {
    this.#forgottenUpTo = forgottenUpTo;
    for (const { slot, id, at } of rows) {
      for (; this.#nextSlot < slot; this.#nextSlot++) this.#freeSlots.push(this.#nextSlot);
      this.#nextSlot = slot + 1;
      this.#put(id, at, slot);
    }
  }

  /** Forgets whole buckets that ended before `time`: nothing that is of `time` or later. */
  forgetBefore(time: number): void {
    while ((this.#oldestBucket + 1) * BUCKET_MS <= time) {
      const ids = this.#buckets.get(this.#oldestBucket) ?? [];
      for (const id of ids) {
        const slot = this.#slots.get(id);
        if (slot !== undefined) this.#freeSlots.push(slot);
        this.#slots.delete(id);
      }
      this.#buckets.delete(this.#oldestBucket);
      this.#forgottenUpTo = Math.max(this.#forgottenUpTo, (this.#oldestBucket + 1) * BUCKET_MS - 1);
      this.#oldestBucket = Math.min(...this.#buckets.keys());
    }
  }

  #put(id: string, at: number, slot: number): void {
    this.#slots.set(id, slot);
    const number = Math.floor(at / BUCKET_MS);
    const bucket = this.#buckets.get(number);
    if (bucket === undefined) this.#buckets.set(number, [id]);
    else bucket.push(id);
    this.#oldestBucket = Math.min(this.#oldestBucket, number);
  }
}
