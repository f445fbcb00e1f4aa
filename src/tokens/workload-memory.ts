import { WORKLOAD_MEMORY_ENTRIES, WORKLOAD_MEMORY_MS } from "../constants.ts";
import type { EpochMs, KeyId, LineageId } from "../keys/record.ts";

export interface KnownWorkload {
  readonly keyId: KeyId;
  readonly lineageId: LineageId;
}

/**
 * Identities whose record this isolate has seen to be as their rule wants it. It says nothing of whether they still may: that is
 * the meter's to say, on every admission. Bounded; the oldest makes room.
 */
export class WorkloadMemory {
  readonly #known = new Map<string, KnownWorkload & { readonly until: EpochMs }>();

  /** @param digest of the whole record as wanted, so that a changed rule is not remembered as it was. */
  get(digest: string, now: EpochMs): KnownWorkload | null {
    const known = this.#known.get(digest);
    return known !== undefined && now < known.until ? known : null;
  }

  put(digest: string, workload: KnownWorkload, now: EpochMs): void {
    this.#known.delete(digest);
    const oldest = this.#known.size >= WORKLOAD_MEMORY_ENTRIES ? this.#known.keys().next().value : undefined;
    if (oldest !== undefined) this.#known.delete(oldest);
    this.#known.set(digest, { ...workload, until: now + WORKLOAD_MEMORY_MS });
  }
}
