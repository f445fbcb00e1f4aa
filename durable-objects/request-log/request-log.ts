import { DurableObject } from "cloudflare:workers";
import { timeOfId } from "../../src/platform/ids.ts";
import { KeepBudget, LOG_BOUNDS } from "../../src/request-log/keep-budget.ts";
import type { KeptRequest } from "../../src/request-log/kept-request.ts";
import { LeftCount } from "../../src/request-log/left-count.ts";
import { BATCH_ID_PREFIX } from "../../src/usage/parse-batch.ts";
import { migrate } from "../migrate.ts";
import type { LogIngest, LogPage, LogPolicy, LogSearch, RequestBatch } from "./api.ts";
import { MIGRATIONS } from "./migrations.ts";
import { findRequest, firstPlace, isStored, MINUTE_MS, searchPacks, storePacks } from "./packs.ts";

const HOUR_MS = 3_600_000;
/** Batch ids that are in memory. About 80 bytes each. */
const MAX_KNOWN_BATCHES = 20_000;
/** Clocks of isolates are set by NTP: no batch comes before its id's time by more than this. */
const CLOCK_SKEW_MS = 60_000;
/** Rows that one sweep deletes; the alarm comes again for the rest. */
const MAX_ROWS_SWEPT = 20_000;
/** Rows that go when the object is full: more than one call brings. */
const ROWS_FOR_ROOM = 256;

/**
 * Keeps what some requests were decided on: refused ones within bounds, a sample of the others. One object per workspace and shard,
 * named `<workspace>/<shard>`. Written for each call one row, whatever it holds. Nothing is awaited between reading and writing.
 */
export class RequestLog extends DurableObject<Env> {
  readonly #sql: SqlStorage;
  readonly #budget = new KeepBudget(LOG_BOUNDS);
  /** Ids of batches that came since `#knownSince`. */
  readonly #known = new Set<string>();
  #knownSince = Date.now();
  #policy: LogPolicy;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    migrate(ctx.storage, MIGRATIONS);
    this.#policy = { retentionMs: this.#readState("retention_ms"), maxBytes: this.#readState("max_bytes") };
  }

  async ingest(batches: readonly RequestBatch[], policy: LogPolicy): Promise<LogIngest> {
    const now = Date.now();
    const answer = this.ctx.storage.transactionSync(() => {
      const policyRows = this.#takePolicy(policy);
      const fresh = batches
        .filter(({ batchId }, index) => batches.findIndex((other) => other.batchId === batchId) === index)
        .filter((batch) => !this.#isKnown(batch))
        .map((batch) => this.#bound(batch, now));
      const stored = fresh.reduce((sum, { kept }) => sum + kept.length, 0);
      const rowsWritten = policyRows + storePacks(this.#sql, fresh) + this.#makeRoom();
      return { stored, rowsWritten };
    });
    // After the transaction: one that was rolled back is tried again.
    for (const { batchId } of batches) this.#remember(batchId);
    if ((await this.ctx.storage.getAlarm()) === null) await this.ctx.storage.setAlarm(now + HOUR_MS);
    return answer;
  }

  find(requestId: string): readonly KeptRequest[] {
    const startedAt = timeOfId(requestId, "req_");
    return startedAt === null ? [] : findRequest(this.#sql, requestId, startedAt).filter((kept) => this.#isYoung(kept));
  }

  search(search: LogSearch): LogPage {
    // What is past its retention is not told, whether it is swept or not.
    const from = Math.max(search.from, Date.now() - this.#policy.retentionMs);
    return searchPacks(this.#sql, { ...search, from });
  }

  /** Deletes what is past its retention. Run twice, the second finds nothing to do. */
  override async alarm(): Promise<void> {
    const now = Date.now();
    const floor = firstPlace(now - this.#policy.retentionMs);
    const { rowsWritten } = this.#sql.exec(
      `DELETE FROM pack WHERE place IN (SELECT place FROM pack WHERE place < ? ORDER BY place LIMIT ?)`,
      floor,
      MAX_ROWS_SWEPT,
    );
    if (this.#sql.exec(`SELECT 1 FROM pack LIMIT 1`).toArray().length === 0) return;
    await this.ctx.storage.setAlarm(now + (rowsWritten < MAX_ROWS_SWEPT ? HOUR_MS : MINUTE_MS));
  }

  #isYoung({ event }: KeptRequest): boolean {
    return event.time >= Date.now() - this.#policy.retentionMs;
  }

  /** Whether it came before. Rows are asked only where memory does not reach back: after a start, and for what is late. */
  #isKnown({ batchId, kept, left }: RequestBatch): boolean {
    if (this.#known.has(batchId)) return true;
    const madeAt = timeOfId(batchId, BATCH_ID_PREFIX) ?? 0;
    if (madeAt - CLOCK_SKEW_MS > this.#knownSince) return false;
    const times = [...kept.map(({ event }) => event.time), ...left.map(({ time }) => time)];
    if (times.length === 0) return true;
    return isStored(this.#sql, batchId, { from: Math.min(...times), to: Math.max(...times) });
  }

  #remember(batchId: string): void {
    this.#known.add(batchId);
    if (this.#known.size <= MAX_KNOWN_BATCHES) return;
    const [oldest] = this.#known;
    if (oldest === undefined) return;
    this.#known.delete(oldest);
    // It may have come late: memory is whole from now on at the latest, and from its own time on at the earliest.
    this.#knownSince = Math.max(this.#knownSince, timeOfId(oldest, BATCH_ID_PREFIX) ?? 0);
  }

  /** What is past the bounds of this minute is counted in place of being kept. */
  #bound({ batchId, kept, left }: RequestBatch, now: number): RequestBatch {
    const out = new LeftCount();
    const within = kept.filter(({ event: { keyId, code, time }, detail: { workspace, why } }) => {
      const isWithin = this.#budget.take({ workspace, keyId, code, why }, now);
      if (!isWithin && why === "refused") out.add({ workspace, keyId, code, time, count: 1 });
      return isWithin;
    });
    return { batchId, kept: within, left: [...left, ...out.take()] };
  }

  /** The oldest go first. */
  #makeRoom(): number {
    if (this.#sql.databaseSize <= this.#policy.maxBytes) return 0;
    return this.#sql.exec(
      `DELETE FROM pack WHERE place IN (SELECT place FROM pack ORDER BY place LIMIT ?)`,
      ROWS_FOR_ROOM,
    ).rowsWritten;
  }

  #takePolicy(policy: LogPolicy): number {
    const { retentionMs, maxBytes } = this.#policy;
    if (policy.retentionMs === retentionMs && policy.maxBytes === maxBytes) return 0;
    this.#policy = policy;
    const write = `UPDATE state SET value = ? WHERE name = ?`;
    return (
      this.#sql.exec(write, policy.retentionMs, "retention_ms").rowsWritten +
      this.#sql.exec(write, policy.maxBytes, "max_bytes").rowsWritten
    );
  }

  #readState(name: "retention_ms" | "max_bytes"): number {
    return this.#sql.exec<{ value: number }>(`SELECT value FROM state WHERE name = ?`, name).one().value;
  }
}
