import type { KeyStatus } from "../keys/status.ts";

/** What measures are computed from: plain data of the registry, the ledger and the alert center. Times are epoch ms. */

/** The part of a key's record that is looked at. */
export interface MeasuredKey {
  readonly id: string;
  readonly status: KeyStatus;
  readonly plan: string | null;
  readonly environment: "live" | "test";
  readonly createdAt: number;
  readonly expiresAt: number | null;
  readonly notAfter: number | null;
  readonly rotatedFrom: string | null;
  readonly revokedAt: number | null;
  readonly revokedReason: string | null;
  readonly lastUsedAt: number | null;
  /** `metadata.leakedAt`, where it is a time. */
  readonly leakedAt: number | null;
}

export interface KeyCodeUse {
  /** `null`: no key was known. */
  readonly keyId: string | null;
  readonly code: string;
  readonly requests: number;
  readonly units: number;
}

/** What was seen of a key after it was revoked, by the moment of each decision. */
export interface RevocationSighting {
  readonly keyId: string;
  readonly firstRefusalAt: number;
  /** `null`: none is known of. */
  readonly lastAcceptanceAt: number | null;
}

export interface MeasureSources {
  /** `[from, to)`. */
  readonly from: number;
  readonly to: number;
  readonly maxAgeDays: number;
  readonly staleDays: number;
  /** How many keys stand beside a figure at the most. */
  readonly top: number;
  /** How long the time is that the ledger counted: whole buckets. */
  readonly countedMs: number;
  readonly use: readonly KeyCodeUse[];
  /** More keys were used than one answer holds: `use` tells codes alone. */
  readonly useCut: boolean;
  readonly authMs: { readonly p50: number; readonly p95: number; readonly p99: number } | null;
  readonly keys: readonly MeasuredKey[];
  /** Not all keys were read: figures of keys are of those that were. */
  readonly keysCut: boolean;
  readonly sightings: readonly RevocationSighting[];
  /** Requests that were let in since the leak, by key: of those with `leakedAt`. */
  readonly afterLeak: ReadonlyMap<string, number>;
  /** Alerts that tell of abuse, by kind; `null`: they could not be read. */
  readonly abuseAlerts: ReadonlyMap<string, number> | null;
  /** What a unit costs by plan; `null`: nothing is priced. */
  readonly pricing: {
    readonly currency: string;
    readonly perUnit: string;
    readonly perUnitByPlan: Readonly<Record<string, string>>;
  } | null;
}
