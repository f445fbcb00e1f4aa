import { DurableObject } from "cloudflare:workers";
import type { Result } from "../../src/result.ts";
import type { UsagePart, UsageQuery, UsageQueryError } from "../../src/usage/query.ts";
import type { Retention } from "../../src/usage/retention.ts";
import { HOUR_SECONDS, bucketOf } from "../../src/usage/rollup.ts";
import type { Health } from "../../src/usage/health.ts";
import { migrate } from "../migrate.ts";
import type {
  Comparison,
  ComparisonQuery,
  IngestAnswer,
  KeyUse,
  LedgerBatch,
  LedgerStatus,
  LineageHourCost,
  OutcomeTotal,
  ReconciliationResult,
  ReconciliationSlice,
  RevocationSeen,
} from "./api.ts";
import { hasBatchIds } from "./batch-ids.ts";
import { ingestBatches } from "./ingest.ts";
import { readHealth } from "./health.ts";
import { fold, isFoldDue, unfoldedHealth } from "./journal.ts";
import { emptyMemory } from "./memory.ts";
import { readCostByLineageHour, readLineagesUsed, readUsage } from "./read.ts";
import { compare, isReconciliationDue, nextSlice, recordResult, reconciliationStatus } from "./reconciliation.ts";
import { afterSweep, readRevocations } from "./revocations.ts";
import { isKept, isRollUpDue, readMarks, rollUp, sweep } from "./roll-up.ts";
import { MIGRATIONS } from "./migrations.ts";
import { hasSeries } from "./series.ts";
import { beginState, readState, writeRetention, writeState } from "./state.ts";
import { confirmUses, moveOldUses, pendingUses, storeUses } from "./uses.ts";

/** The alarm runs this long after the hour, when that hour can be summed. */
const ALARM_PAST_HOUR_MS = 150_000;
const HOUR_MS = HOUR_SECONDS * 1_000;
const DAY_MS = 24 * HOUR_MS;

/**
 * Keeps what happened, once: takes batches of usage events however often they come, and answers sums of them.
 * One object per workspace and shard, named `<workspace>/<shard>`; `default/0` also keeps the list of workspaces.
 * Every method runs to its end without an `await`: nothing comes between reading and writing.
 */
export class UsageLedger extends DurableObject<Env> {
  readonly #sql: SqlStorage;
  #memory = emptyMemory(Date.now());
  #batches = 0;
  #duplicates = 0;
  #events = 0;
  #rowsWritten = 0;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    migrate(ctx.storage, MIGRATIONS);
    beginState(this.#sql, Date.now());
    ctx.storage.transactionSync(() => moveOldUses(this.#sql));
  }

  /** Counts each batch once, all of them in one transaction. Throws (and counts none) only when storage does. */
  ingest(batches: readonly LedgerBatch[], retention?: Retention): IngestAnswer {
    const now = Date.now();
    const answer = this.#inTransaction(() => {
      const ofPolicy = retention === undefined ? 0 : writeRetention(this.#sql, retention, now);
      const isDue = isFoldDue(this.#sql, now, this.#memory.journal) || isRollUpDue(this.#sql, now);
      const rows = isDue ? this.#sumUp(now) : 0;
      const ingested = ingestBatches(this.#sql, batches, this.#memory, now);
      return { ...ingested, rowsWritten: ingested.rowsWritten + rows + ofPolicy };
    });
    for (const [index, outcome] of answer.outcomes.entries()) {
      this.#batches += 1;
      if (outcome === "ingested") this.#events += batches[index]?.events.length ?? 0;
      if (outcome === "duplicate") this.#duplicates += 1;
    }
    this.#rowsWritten += answer.rowsWritten;
    this.#ensureAlarm(now);
    return answer;
  }

  /** The registry has these. An older time than the one it was told before changes nothing. */
  confirmUses(uses: readonly KeyUse[]): void {
    this.#rowsWritten += this.#inTransaction(() => confirmUses(this.#sql, uses, this.#memory.uses, Date.now()));
  }

  pendingUses(limit: number): readonly KeyUse[] {
    this.#settle(Date.now());
    this.#rowsWritten += this.#inTransaction(() => storeUses(this.#sql, [], this.#memory.uses));
    return pendingUses(this.#sql, limit);
  }

  query(query: UsageQuery): Result<UsagePart, UsageQueryError> {
    const now = Date.now();
    this.#settle(now);
    return readUsage(this.#sql, query, readMarks(this.#sql, now));
  }

  costByLineageHour(lineageIds: readonly string[], from: number, to: number): readonly LineageHourCost[] {
    this.#settle(Date.now());
    return readCostByLineageHour(this.#sql, { lineageIds, from, to }, readMarks(this.#sql, Date.now()));
  }

  lineagesUsed(from: number, to: number, limit: number): readonly string[] {
    this.#settle(Date.now());
    return readLineagesUsed(this.#sql, { from, to, cursor: "", limit }, readMarks(this.#sql, Date.now()));
  }

  revocationsSeen(keyIds: readonly string[]): readonly RevocationSeen[] {
    return readRevocations(this.#sql, keyIds);
  }

  health(): readonly Health[] {
    return readHealth(this.#sql, unfoldedHealth(this.#sql), Date.now());
  }

  nextReconciliation(limit: number): ReconciliationSlice | null {
    const now = Date.now();
    // Asked each minute, and mostly for nothing: then the journal stays as it is.
    if (!isReconciliationDue(this.#sql, now)) return null;
    this.#settle(now);
    return nextSlice(this.#sql, readMarks(this.#sql, now), now, limit);
  }

  recordReconciliation(result: ReconciliationResult): void {
    this.#rowsWritten += this.ctx.storage.transactionSync(() => recordResult(this.#sql, result, Date.now()));
  }

  comparison(query: ComparisonQuery): Comparison {
    return compare(this.#sql, query, readMarks(this.#sql, Date.now()));
  }

  status(): LedgerStatus {
    this.#settle(Date.now());
    return {
      totals: this.#sql
        .exec<Record<keyof OutcomeTotal, string | number>>(
          `SELECT code, status_class AS statusClass, requests, cost, degraded, latency_ms AS latencyMs FROM outcome_total ORDER BY code, status_class`,
        )
        .toArray()
        .map((row) => ({
          code: String(row.code),
          statusClass: Number(row.statusClass),
          requests: Number(row.requests),
          cost: Number(row.cost),
          degraded: Number(row.degraded),
          latencyMs: Number(row.latencyMs),
        })),
      reconciliation: reconciliationStatus(this.#sql),
      sinceStart: {
        batches: this.#batches,
        duplicates: this.#duplicates,
        events: this.#events,
        rowsWritten: this.#rowsWritten,
      },
    };
  }

  registerWorkspaces(names: readonly string[]): void {
    for (const name of names) {
      this.#rowsWritten += this.#sql.exec(`INSERT OR IGNORE INTO workspace (name) VALUES (?)`, name).rowsWritten;
    }
  }

  listWorkspaces(limit: number, turn: number): readonly string[] {
    const { count } = this.#sql.exec<{ count: number }>(`SELECT COUNT(*) AS count FROM workspace`).one();
    const offset = count <= limit ? 0 : (turn % Math.ceil(count / limit)) * limit;
    return this.#sql
      .exec<{ name: string }>(`SELECT name FROM workspace ORDER BY name LIMIT ? OFFSET ?`, limit, offset)
      .toArray()
      .map((row) => row.name);
  }

  /** Sums what is over and deletes what is past its retention. Run twice, the second finds nothing to do. */
  override async alarm(): Promise<void> {
    const now = Date.now();
    this.#settle(now);
    this.#rowsWritten += this.ctx.storage.transactionSync(() => sweep(this.#sql, now));
    // Some of it may be gone.
    this.#memory = { ...emptyMemory(now), revocations: afterSweep(this.#memory.revocations, now) };
    const next = nextAlarm(this.#sql, now);
    if (next !== null) await this.#setAlarm(next);
  }

  /** Whatever was ingested stands in the tables that are read from. */
  #settle(now: number): void {
    this.#rowsWritten += this.#inTransaction(() => this.#sumUp(now));
  }

  /** In a transaction. */
  #sumUp(now: number): number {
    const marks = readMarks(this.#sql, now);
    return fold(this.#sql, { marks, now }, this.#memory) + rollUp(this.#sql, now);
  }

  #inTransaction<T>(work: () => T): T {
    try {
      return this.ctx.storage.transactionSync(work);
    } catch (error) {
      // It may say what was rolled back.
      this.#memory = emptyMemory(Date.now());
      throw error;
    }
  }

  /** After an ingest there are minutes to sum: at most one row an hour. */
  #ensureAlarm(now: number): void {
    const next = afterHour(now);
    const at = readState(this.#sql, "alarm_at");
    // Not awaited: the output gate holds the answer until it is durable, like every other write.
    if (at <= now || at > next) void this.#setAlarm(next);
  }

  /** Both writes or neither: nothing is awaited between them. */
  async #setAlarm(at: number): Promise<void> {
    this.#rowsWritten += 1 + writeState(this.#sql, "alarm_at", at);
    await this.ctx.storage.setAlarm(at);
  }
}

/** Each hour while there are minutes, each day while there is anything that will be past its retention; then never. */
function nextAlarm(sql: SqlStorage, now: number): number | null {
  if (isKept(sql, "minute")) return afterHour(now);
  // Names outlast sums, and there is none that no sum had.
  return hasSeries(sql) || hasBatchIds(sql) ? now + DAY_MS : null;
}

function afterHour(now: number): number {
  const due = bucketOf(now, HOUR_SECONDS) * 1_000 + ALARM_PAST_HOUR_MS;
  return due > now ? due : due + HOUR_MS;
}
