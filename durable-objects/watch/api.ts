import type { Finding, FindingKind, Severity } from "../../src/detection/finding.ts";
import type { ThresholdChanges, WatchPolicy } from "../../src/detection/policy.ts";
import type { Sightings } from "../../src/usage/sightings.ts";

/** What the watch says over RPC: plain data both ways. Times are epoch ms unless a name says seconds. */

/** A finding as it is kept: one row however long it goes on. */
export interface KeptFinding extends Finding {
  readonly id: number;
  readonly owner: string | null;
  /** When it was found, and when it was found again for the last time. */
  readonly firstSeenAt: number;
  readonly lastSeenAt: number;
}

export interface FindingFilter {
  readonly kind?: FindingKind;
  readonly severity?: Severity;
  readonly owner?: string;
  /** Id of a key, or name of a network. */
  readonly subject?: string;
  /** Found again since. */
  readonly since?: number;
}

export interface FindingPage {
  readonly data: readonly KeptFinding[];
  readonly nextCursor: number | null;
}

export interface DryRunQuery {
  /** Whole hours, epoch ms. */
  readonly from: number;
  readonly to: number;
  /** On top of what the policy says of each key. */
  readonly changes: ThresholdChanges;
  /** Keys after this one; `""` for the first page. */
  readonly cursor: string;
}

export interface DryRunPage {
  readonly findings: readonly (Finding & { readonly owner: string | null })[];
  readonly keys: number;
  /** From when on hours are there, epoch ms; `null`: there are none. */
  readonly knownSince: number | null;
  readonly nextCursor: string | null;
}

export interface WatchStatus {
  readonly keys: number;
  /** Up to where hours were judged, epoch ms. */
  readonly judgedUntil: number;
  /** Since the object was started: sightings of keys that found no room, or that came too late to be judged. */
  readonly unwatched: number;
  readonly late: number;
}

/** RPC methods of the `Watch` object; one object per workspace, named by it. */
export interface WatchApi {
  /** What a batch of events came to. Told once for each batch; one that is lost is missing from what is judged, and nowhere else. */
  observe(sightings: Sightings, policy: WatchPolicy): Promise<void>;
  list(filter: FindingFilter, limit: number, cursor: number | null): Promise<FindingPage>;
  find(id: number): Promise<KeptFinding | null>;
  /** What would have been found with other thresholds, of so many keys as fit into one call. */
  dryRun(query: DryRunQuery): Promise<DryRunPage>;
  status(): Promise<WatchStatus>;
}
