import { DEFAULT_GRACE_SECONDS, LEASE_TTL_MS, REVOCATION_BOUND_SECONDS } from "../../../src/constants.ts";
import type { EdgeRecord, KeyId } from "../../../src/keys/record.ts";
import type { Limit } from "../../../src/limits/limit.ts";
import { counterOf, windowAt } from "../../../src/limits/window.ts";

/** Watches a world from outside, by its true time, and writes down every promise that is broken. */

export interface Violation {
  readonly invariant:
    | "a limit is never exceeded"
    | "a change is heard within the bound"
    | "a strict key stops at once"
    | "an overlap ends at its deadline"
    | "nobody is turned away without a reason"
    | "every event is counted once";
  readonly at: number;
  readonly detail: string;
}

const BOUND_MS = REVOCATION_BOUND_SECONDS * 1_000;

/** A limit's value, and from when to when it may have been in force anywhere. */
interface Tenure {
  readonly limit: Limit;
  readonly from: number;
  until: number;
}

interface KeyHistory {
  /** Changes of which the answer said that the meter has them: from then on their bound runs. */
  readonly confirmed: { readonly generation: number; readonly at: number; readonly stops: boolean }[];
  /** What anybody ever asked for may have happened, confirmed or not: then a refusal has its reason. */
  wasTouched: boolean;
  /** By the registry's clock. */
  notAfter: number | null;
  notAfterToldAt: number;
}

/** One admitted request. */
export interface Admitted {
  readonly record: EdgeRecord;
  readonly cost: number;
  readonly degraded: boolean;
  readonly strict: boolean;
  readonly startedAt: number;
  readonly at: number;
}

export interface AuditorOptions {
  /** The true time's distance from the clock of the object that counts, ms. */
  readonly clockOf: (meter: string) => number;
  readonly skewMs: number;
  readonly calm: boolean;
}

export class Auditor {
  readonly violations: Violation[] = [];
  admitted = 0;
  readonly #options: AuditorOptions;
  readonly #used = new Map<string, number>();
  /** By meter. */
  readonly #tenures = new Map<string, Tenure[]>();
  readonly #keys = new Map<KeyId, KeyHistory>();

  constructor(options: AuditorOptions) {
    this.#options = options;
  }

  /** These limits may be in force at this meter from now on. */
  limitsBegin(meter: string, limits: readonly Limit[], at: number): void {
    const tenures = this.#tenures.get(meter) ?? [];
    this.#tenures.set(meter, tenures);
    for (const limit of limits) tenures.push({ limit, from: at, until: Infinity });
  }

  /** The meter has newer ones. */
  limitsEnd(meter: string, limits: readonly Limit[], at: number): void {
    for (const tenure of this.#tenures.get(meter) ?? []) {
      if (limits.includes(tenure.limit)) tenure.until = Math.min(tenure.until, at);
    }
  }

  keyTouched(keyId: KeyId): void {
    this.#historyOf(keyId).wasTouched = true;
  }

  /** The answer to a change said that the meter has it. */
  changeConfirmed(
    keyId: KeyId,
    change: { readonly generation: number; readonly at: number; readonly stops: boolean },
  ): void {
    this.#historyOf(keyId).confirmed.push(change);
  }

  overlapEnds(keyId: KeyId, notAfter: number, toldAt: number): void {
    const history = this.#historyOf(keyId);
    history.notAfter = notAfter;
    history.notAfterToldAt = toldAt;
  }

  admit(admitted: Admitted): void {
    this.admitted++;
    const { record, cost, at } = admitted;
    this.#charge(meterNames(record).lineage, record.limits, cost, at);
    const { owner } = meterNames(record);
    if (owner !== null) this.#charge(owner, this.#inForce(owner, at), cost, at);
    this.#checkChanges(admitted);
    this.#checkOverlap(admitted);
  }

  /** A refund gives back to the window that was paid from. */
  refund({ record, cost, at }: Admitted): void {
    const { lineage, owner } = meterNames(record);
    this.#charge(lineage, record.limits, -cost, at);
    if (owner !== null) this.#charge(owner, this.#inForce(owner, at), -cost, at);
  }

  refuse(keyId: KeyId | null, code: string, at: number): void {
    if (!this.#options.calm || keyId === null || this.#historyOf(keyId).wasTouched) return;
    if (code === "rate_limited" || code === "quota_exhausted") return;
    this.#report("nobody is turned away without a reason", at, `${code} for ${keyId}, which nobody had changed`);
  }

  events(
    counts: {
      readonly made: number;
      readonly accepted: number;
      readonly counted: number;
      readonly lostWithIsolates: number;
    },
    at: number,
  ): void {
    const { made, accepted, counted, lostWithIsolates } = counts;
    if (counted !== accepted) {
      this.#report("every event is counted once", at, `${accepted} events were accepted, ${counted} were counted`);
    }
    if (made - accepted > lostWithIsolates || accepted > made) {
      const detail = `${made} events were made, ${accepted} accepted, ${lostWithIsolates} were in isolates that died`;
      this.#report("every event is counted once", at, detail);
    }
  }

  #charge(meter: string, limits: readonly Limit[], units: number, at: number): void {
    const meterNow = at + this.#options.clockOf(meter);
    for (const limit of limits) {
      const window = windowAt(limit.window, meterNow);
      const counter = counterOf(limit);
      const name = `${meter} ${counter}@${window.start}`;
      const used = (this.#used.get(name) ?? 0) + units;
      this.#used.set(name, used);
      if (units <= 0) continue;
      const most = this.#mostAllowed(meter, counter, at - (meterNow - window.start), at);
      if (used > most) {
        const from = new Date(window.start).toISOString();
        this.#report(
          "a limit is never exceeded",
          at,
          `${meter} ${counter}: ${used} of ${most} in the window from ${from}`,
        );
      }
    }
  }

  /** The largest value that the limit had, anywhere, at any time of the window so far. */
  #mostAllowed(meter: string, counter: string, from: number, to: number): number {
    let most = 0;
    for (const tenure of this.#tenures.get(meter) ?? []) {
      if (counterOf(tenure.limit) === counter && tenure.from <= to && tenure.until >= from)
        most = Math.max(most, tenure.limit.limit);
    }
    return most;
  }

  /** Limits of an owner's meter, which no record names: one for each counter. */
  #inForce(meter: string, at: number): Limit[] {
    const byCounter = new Map<string, Limit>();
    for (const { limit, from } of this.#tenures.get(meter) ?? [])
      if (from <= at) byCounter.set(counterOf(limit), limit);
    return [...byCounter.values()];
  }

  #checkChanges({ record, degraded, strict, startedAt, at }: Admitted): void {
    // In grace an isolate cannot hear of changes for as long again: decision 0003.
    const graceMs = degraded ? (record.policy.graceSeconds ?? DEFAULT_GRACE_SECONDS) * 1_000 : 0;
    for (const change of this.#historyOf(record.id).confirmed) {
      if (record.generation >= change.generation && !change.stops) continue;
      if (change.stops && record.generation > change.generation) continue;
      const late = at - change.at;
      const what = `generation ${change.generation} of ${record.id}, answered ${Math.round(late)} ms before`;
      if (strict && !degraded && startedAt > change.at) this.#report("a strict key stops at once", at, what);
      const bound = degraded ? Math.max(BOUND_MS, LEASE_TTL_MS + graceMs) : BOUND_MS;
      if (late > bound)
        this.#report("a change is heard within the bound", at, `${what}, ${degraded ? "in grace" : "not in grace"}`);
    }
  }

  #checkOverlap({ record, degraded, at }: Admitted): void {
    const { notAfter, notAfterToldAt } = this.#historyOf(record.id);
    if (notAfter === null || degraded) return;
    // Whose clock says that it is over may be wrong by as much as the registry's that set it.
    const deadline = Math.max(notAfter + 2 * this.#options.skewMs + 1, notAfterToldAt + BOUND_MS);
    if (at > deadline)
      this.#report("an overlap ends at its deadline", at, `${record.id} ${Math.round(at - notAfter)} ms after it`);
  }

  #historyOf(keyId: KeyId): KeyHistory {
    let history = this.#keys.get(keyId);
    if (history === undefined) {
      history = { confirmed: [], wasTouched: false, notAfter: null, notAfterToldAt: 0 };
      this.#keys.set(keyId, history);
    }
    return history;
  }

  #report(invariant: Violation["invariant"], at: number, detail: string): void {
    this.violations.push({ invariant, at, detail });
  }
}

export function meterNames(record: Pick<EdgeRecord, "workspace" | "lineageId" | "owner" | "ownerLimited">): {
  readonly lineage: string;
  readonly owner: string | null;
} {
  const { workspace, lineageId, owner, ownerLimited } = record;
  return { lineage: `${workspace}/${lineageId}`, owner: ownerLimited ? `${workspace}/owner/${owner}` : null };
}
