import type { Result } from "../../src/result.ts";
import type { UsageBatch } from "../../src/usage/event.ts";
import type { Health } from "../../src/usage/health.ts";
import type { Retention } from "../../src/usage/retention.ts";
import type { UsagePart, UsageQuery, UsageQueryError } from "../../src/usage/query.ts";

/** What the ledger says over RPC: plain data both ways. Times are epoch ms unless a name says seconds. */

/** The part of a batch that belongs to one ledger object: always the same part for the same `batchId`. */
export type LedgerBatch = Pick<UsageBatch, "batchId" | "events">;

/** `forgotten`: so old that the ledger can no longer tell whether it has counted it; not counted now. */
export type BatchOutcome = "ingested" | "duplicate" | "forgotten";

export interface KeyUse {
  readonly keyId: string;
  readonly time: number;
}

export interface IngestAnswer {
  /** In the order of the batches given. */
  readonly outcomes: readonly BatchOutcome[];
  /** Last uses that the registry has not been told of. They are told again until `confirmUses` says otherwise. */
  readonly uses: readonly KeyUse[];
  /** Rows that this call wrote, as the platform counts (and bills) them. */
  readonly rowsWritten: number;
}

/** What was seen of a key after it was revoked, by the moments of decision. */
export interface RevocationSeen {
  readonly keyId: string;
  readonly firstRefusalAt: number;
  /** `null`: none is known of. */
  readonly lastAcceptanceAt: number | null;
}

export interface LineageHourCost {
  readonly lineageId: string;
  /** Start of the hour, epoch ms. */
  readonly hour: number;
  readonly cost: number;
}

/** A slice of one hour's work, or `null` when every finished hour is reconciled. */
export interface ReconciliationSlice {
  /** Start of the hour, epoch ms. */
  readonly hour: number;
  /** First slice of this hour. */
  readonly first: boolean;
  /** Cost in the ledger for each lineage of the slice; 0 for lineages that were used around this hour only. */
  readonly costs: readonly { readonly lineageId: string; readonly cost: number }[];
  /** To be given back with the results; `null` after the last slice. */
  readonly nextCursor: string | null;
}

export interface ReconciliationResult {
  readonly hour: number;
  readonly first: boolean;
  readonly nextCursor: string | null;
  readonly compared: readonly { readonly lineageId: string; readonly meter: number; readonly ledger: number }[];
  /** Lineages whose meter did not answer. */
  readonly unchecked: number;
}

export interface ReconciliationStatus {
  /** Sum of |meter - ledger| over the hours kept, cost units. */
  readonly differenceUnits: number;
  readonly lineagesDiffering: number;
  readonly unchecked: number;
  /** Start of the newest hour that is reconciled, epoch ms; `null` before the first. */
  readonly newestHour: number | null;
}

/** Whole hours of `[from, to)`, epoch ms. */
export interface ComparisonQuery {
  readonly lineageIds: readonly string[];
  readonly from: number;
  readonly to: number;
}

/** How the ledger of a range compares with the meters. */
export interface Comparison {
  /** Every hour of the range before this was compared. Epoch ms. */
  readonly comparedUntil: number;
  /** Sum over hours and lineages of |meter - ledger|, cost units. */
  readonly differenceUnits: number;
  /** Of all lineages: those whose meter did not answer, by hours. */
  readonly unchecked: number;
}

/** Sums since the ledger began; they only rise. */
export interface OutcomeTotal {
  readonly code: string;
  /** 2 for 2xx. */
  readonly statusClass: number;
  readonly requests: number;
  readonly cost: number;
  readonly degraded: number;
  readonly latencyMs: number;
}

export interface LedgerStatus {
  readonly totals: readonly OutcomeTotal[];
  readonly reconciliation: ReconciliationStatus;
  /** Since the object was started. */
  readonly sinceStart: {
    readonly batches: number;
    readonly duplicates: number;
    readonly events: number;
    readonly rowsWritten: number;
  };
}

/** RPC methods of the `UsageLedger` object, named `<workspace>/<shard>`. */
export interface UsageLedgerApi {
  /** Counts each batch once, however often it comes. One transaction for all of them. `retention` holds from now on; absent: what holds. */
  ingest(batches: readonly LedgerBatch[], retention?: Retention): Promise<IngestAnswer>;
  /** The registry has these. */
  confirmUses(uses: readonly KeyUse[]): Promise<void>;
  /** Uses that nobody confirmed, for the cron. Reads the whole table: not for each minute. */
  pendingUses(limit: number): Promise<readonly KeyUse[]>;
  query(query: UsageQuery): Promise<Result<UsagePart, UsageQueryError>>;
  /** Hours that overlap `[from, to)`, only those with a cost. */
  costByLineageHour(lineageIds: readonly string[], from: number, to: number): Promise<readonly LineageHourCost[]>;
  /** Lineages with an event in `[from, to)`, in order of their ids. */
  lineagesUsed(from: number, to: number, limit: number): Promise<readonly string[]>;
  /** Of those that were used again. */
  revocationsSeen(keyIds: readonly string[]): Promise<readonly RevocationSeen[]>;
  /** The last three days: minutes of the last seven hours, hours before that. Changes nothing, so that it may be asked each minute. */
  health(): Promise<readonly Health[]>;
  nextReconciliation(limit: number): Promise<ReconciliationSlice | null>;
  comparison(query: ComparisonQuery): Promise<Comparison>;
  recordReconciliation(result: ReconciliationResult): Promise<void>;
  status(): Promise<LedgerStatus>;
  /** The list of workspaces; kept by the ledger `default/0` alone. */
  registerWorkspaces(names: readonly string[]): Promise<void>;
  /** `limit` of them: the share of this turn, where all of them take more than one. */
  listWorkspaces(limit: number, turn: number): Promise<readonly string[]>;
}
