import { DurableObject } from "cloudflare:workers";
import { MAX_IMPORT_KEYS } from "../../src/constants.ts";
import type { ReminderRules } from "../../src/alerts/reminders.ts";
import type { EpochMs, KeyHash, KeyId, LineageId } from "../../src/keys/record.ts";
import { TimeOutError, within } from "../../src/platform/clock.ts";
import { err, ok } from "../../src/result.ts";
import type { Result } from "../../src/result.ts";
import { claimHashes } from "../hash-claims/client.ts";
import { migrate } from "../migrate.ts";
import type {
  AuditEntry,
  AuditFilter,
  AuditNote,
  ImportOutcome,
  KeyFilter,
  KeyPatch,
  KeyRecord,
  KeyRegistryApi,
  NewKey,
  NewWorkload,
  OwnerRecord,
  Page,
  RegistryError,
  RegistryStatus,
  ReminderPage,
  RevocationReason,
  Rotation,
  TokenRevocation,
  WatchedFacts,
  WriteContext,
  WriteResult,
} from "./api.ts";
import { listAudit, verifyAudit } from "./audit-log.ts";
import type { AuditVerdict } from "./audit-log.ts";
import { DELIVERIES_PER_RUN, DELIVERY_WAIT_MS, MAX_LINEAGES, MAX_USES } from "./bounds.ts";
import { Change, fail } from "./change.ts";
import type { ChangeParts } from "./change.ts";
import { Delivery } from "./delivery.ts";
import { toKeyRecord } from "./edge-record.ts";
import { createEdgeSink } from "./edge-sink.ts";
import { findAnswer, keepAnswer, nextExpiry, sweepAnswers } from "./idempotency.ts";
import { patchKey, revokeKey, rotateKey, setKeyDisabled } from "./key-changes.ts";
import { putOwner, setOwnerDisabled } from "./owner-changes.ts";
import type { OwnerInput } from "./owner-changes.ts";
import { revokeTokens } from "./token-revocation.ts";
import { listKeys } from "./key-query.ts";
import { countKeys, KeysTable, lineagesSince, moveLastUse, sweepExpired } from "./keys-table.ts";
import { MIGRATIONS } from "./migrations.ts";
import { checkNewKey, checkOwner, createKey, importKeys } from "./new-key.ts";
import { Outbox } from "./outbox.ts";
import { OwnersTable } from "./owners-table.ts";
import { pageOfReminders } from "./reminders.ts";
import { watchedFacts } from "./watched-facts.ts";
import { checkWorkload, ensureWorkload, isKnownWorkload } from "./workloads.ts";

/**
 * The system of record for one workspace, which is this object's name. Every change is one transaction: rows, audit
 * entry, outbox, first answer. What the outbox holds is delivered before the write answers, or else by the alarm.
 */
export class KeyRegistry extends DurableObject<Env> implements KeyRegistryApi {
  readonly #parts: ChangeParts;
  readonly #delivery: Delivery;
  readonly #workspace: string;
  #alarmAt: EpochMs | null = null;
  #revocations: RegistryStatus["revocationDelivery"] = { lastSeconds: null, maxSeconds: null, count: 0 };

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    if (ctx.id.name === undefined) throw new Error("a key registry is reached by its workspace's name");
    this.#workspace = ctx.id.name;
    migrate(ctx.storage, MIGRATIONS);
    const { sql } = ctx.storage;
    const keys = new KeysTable(sql, this.#workspace);
    const owners = new OwnersTable(sql, this.#workspace);
    const outbox = new Outbox(sql);
    this.#parts = { sql, keys, owners, outbox, workspace: this.#workspace };
    this.#delivery = new Delivery({
      outbox,
      keys,
      owners,
      sink: () => createEdgeSink(this.env, this.#workspace),
      onRevocationTold: (lagMs) => this.#countRevocation(lagMs),
    });
  }

  async create(input: NewKey, context: WriteContext): Promise<WriteResult<KeyRecord>> {
    const early = await this.#replay<KeyRecord>(context);
    if (early !== null) return early;
    const invalid = checkNewKey(input, this.#parts, context);
    if (invalid !== null) return invalid;
    const foreign = await this.#claim([input.hash], false);
    if (!foreign.ok) return foreign;
    if (foreign.value.has(input.hash)) return fail("conflict", "This key belongs to another workspace.", "/hash");
    return this.#write(context, (change) => createKey(change, input));
  }

  async rotate(id: KeyId, rotation: Rotation, context: WriteContext): Promise<WriteResult<KeyRecord>> {
    const early = await this.#replay<KeyRecord>(context);
    if (early !== null) return early;
    const key = this.#parts.keys.byId(id);
    if (key === null) return fail("not_found", "No such key.");
    // Before its new hash is claimed.
    if (key.kind === "workload") return fail("conflict", "A workload has no secret that could be replaced.");
    const foreign = await this.#claim([rotation.hash], false);
    if (!foreign.ok) return foreign;
    if (foreign.value.has(rotation.hash)) return fail("conflict", "The new key belongs to another workspace.");
    return this.#write(context, (change) => rotateKey(change, id, rotation));
  }

  async import(
    inputs: readonly NewKey[],
    dryRun: boolean,
    context: WriteContext,
  ): Promise<WriteResult<readonly ImportOutcome[]>> {
    if (inputs.length > MAX_IMPORT_KEYS) {
      return fail("request_invalid", `At most ${MAX_IMPORT_KEYS} keys at once.`, "/keys");
    }
    const early = await this.#replay<readonly ImportOutcome[]>(context);
    if (early !== null) return early;
    const sound = inputs.filter((input) => checkNewKey(input, this.#parts, context) === null);
    const foreign = await this.#claim(
      sound.map((input) => input.hash),
      dryRun,
    );
    if (!foreign.ok) return foreign;
    if (dryRun) {
      const change = new Change(this.#parts, context, Date.now());
      return ok({ value: importKeys(change, inputs, foreign.value, true), replayed: false, delivered: true });
    }
    return this.#write(context, (change) => ok(importKeys(change, inputs, foreign.value, false)));
  }

  async ensureWorkload(input: NewWorkload, context: WriteContext): Promise<WriteResult<KeyRecord>> {
    const invalid = checkWorkload(input);
    if (invalid !== null) return invalid;
    if (!isKnownWorkload(input, this.#parts.keys)) {
      const stopped = checkOwner(input, this.#parts.owners);
      if (stopped !== null) return stopped;
      const foreign = await this.#claim([input.hash], false);
      if (!foreign.ok) return foreign;
      if (foreign.value.has(input.hash))
        return fail("conflict", "This identity belongs to another workspace.", "/hash");
    }
    return this.#write(context, (change) => ensureWorkload(change, input));
  }

  async patch(id: KeyId, patch: KeyPatch, context: WriteContext): Promise<WriteResult<KeyRecord>> {
    return this.#write(context, (change) => patchKey(change, id, patch));
  }

  async revoke(
    id: KeyId,
    reason: RevocationReason,
    note: string | null,
    context: WriteContext,
  ): Promise<WriteResult<KeyRecord>> {
    return this.#write(context, (change) => revokeKey(change, id, reason, note));
  }

  async setDisabled(id: KeyId, disabled: boolean, context: WriteContext): Promise<WriteResult<KeyRecord>> {
    return this.#write(context, (change) => setKeyDisabled(change, id, disabled));
  }

  async revokeTokens(id: KeyId, revocation: TokenRevocation, context: WriteContext): Promise<WriteResult<KeyRecord>> {
    return this.#write(context, (change) => revokeTokens(change, id, revocation));
  }

  async putOwner(id: string, owner: OwnerInput, context: WriteContext): Promise<WriteResult<OwnerRecord>> {
    return this.#write(context, (change) => putOwner(change, id, owner));
  }

  async setOwnerDisabled(
    id: string,
    disabled: boolean,
    scopes: readonly string[],
    context: WriteContext,
  ): Promise<WriteResult<OwnerRecord>> {
    return this.#write(context, (change) => setOwnerDisabled(change, id, disabled, scopes));
  }

  async get(id: KeyId): Promise<Result<KeyRecord, RegistryError>> {
    const key = this.#parts.keys.byId(id);
    return key === null ? fail("not_found", "No such key.") : ok(toKeyRecord(key, Date.now()));
  }

  async list(filter: KeyFilter, limit: number, cursor: string | null): Promise<Result<Page<KeyRecord>, RegistryError>> {
    const now = Date.now();
    if (filter.status !== undefined) this.#sweepExpired(now);
    return listKeys(this.#parts.sql, this.#parts.keys, { filter, limit, after: cursor, now });
  }

  async getOwner(id: string): Promise<Result<OwnerRecord, RegistryError>> {
    const owner = this.#parts.owners.byId(id);
    if (owner === null) return fail("not_found", "No such owner.");
    this.#sweepExpired(Date.now());
    return ok(this.#parts.owners.toRecord(owner));
  }

  async listOwners(limit: number, cursor: string | null): Promise<Result<Page<OwnerRecord>, RegistryError>> {
    this.#sweepExpired(Date.now());
    return this.#parts.owners.list(limit, cursor);
  }

  async noteAction(note: AuditNote, context: WriteContext): Promise<WriteResult<null>> {
    return this.#write(context, (change) => {
      change.noteAction(note);
      return ok(null);
    });
  }

  async listAudit(
    filter: AuditFilter,
    limit: number,
    cursor: string | null,
  ): Promise<Result<Page<AuditEntry>, RegistryError>> {
    return listAudit(this.#parts.sql, filter, limit, cursor);
  }

  async verifyAudit(): Promise<AuditVerdict> {
    return verifyAudit(this.#parts.sql);
  }

  async recordUse(uses: readonly { readonly keyId: KeyId; readonly time: number }[]): Promise<void> {
    if (uses.length > MAX_USES) throw new RangeError(`at most ${MAX_USES} uses at once`);
    const latest = new Map<KeyId, EpochMs>();
    for (const use of uses) latest.set(use.keyId, Math.max(use.time, latest.get(use.keyId) ?? 0));
    this.ctx.storage.transactionSync(() => {
      for (const [id, time] of latest) moveLastUse(this.#parts.sql, id, time);
    });
  }

  async lineagesUsedSince(since: number, limit: number): Promise<readonly LineageId[]> {
    return lineagesSince(this.#parts.sql, since, Math.min(Math.max(limit, 0), MAX_LINEAGES));
  }

  async reminders(rules: ReminderRules, after: number): Promise<ReminderPage> {
    return pageOfReminders(this.#parts.sql, rules, after);
  }

  async watchedFacts(ids: readonly KeyId[]): Promise<readonly WatchedFacts[]> {
    return watchedFacts(this.#parts.sql, ids);
  }

  async status(): Promise<RegistryStatus> {
    const now = Date.now();
    this.#sweepExpired(now);
    const pending = this.#parts.outbox.pending(now);
    const keysByStatus = countKeys(this.#parts.sql, "");
    return {
      workspace: this.#workspace,
      keysByStatus,
      outboxPending: pending.count,
      outboxOldestSeconds: pending.oldestSeconds,
      revocationDelivery: this.#revocations,
      keysIssuedTotal: Object.values(keysByStatus).reduce((sum, count) => sum + count, 0),
    };
  }

  /** Tries what is in the outbox now, due or not; one run's worth. */
  async drain(): Promise<RegistryStatus> {
    await this.#delivery.deliver(this.#parts.outbox.metersDue(Infinity, DELIVERIES_PER_RUN));
    this.#schedule();
    return this.status();
  }

  /** One run's worth of what is due, and the sweeps. Safe to run twice: what is done is no longer there. */
  override async alarm(): Promise<void> {
    this.#alarmAt = null;
    const now = Date.now();
    sweepAnswers(this.#parts.sql, now);
    await this.#delivery.deliverStopsFirst(this.#parts.outbox.metersDue(now, DELIVERIES_PER_RUN));
    this.#schedule();
  }

  /** The first answer to the same Idempotency-Key, or a conflict; `null` when the write is new. */
  async #replay<T>(context: WriteContext): Promise<WriteResult<T> | null> {
    const answer = findAnswer<T>(this.#parts.sql, context, Date.now());
    if (!answer.ok) return answer;
    if (answer.value === null) return null;
    const { value, meters } = answer.value;
    return ok({ value, replayed: true, delivered: this.#areMetersTold(meters) });
  }

  async #claim(hashes: readonly KeyHash[], dryRun: boolean): Promise<Result<ReadonlySet<KeyHash>, RegistryError>> {
    const foreign = await claimHashes(this.env.HASH_CLAIMS, hashes, this.#workspace, dryRun);
    if (foreign.ok) return foreign;
    return fail("storage_unavailable", "Whether the key is free cannot be told right now; nothing was changed.");
  }

  /** One transaction, then delivery. The first answer is looked for again inside: a twin may have come in while we waited. */
  async #write<T>(context: WriteContext, apply: (change: Change) => Result<T, RegistryError>): Promise<WriteResult<T>> {
    const replayed = await this.#replay<T>(context);
    if (replayed !== null) return replayed;
    // No `await` from here to the end of the transaction: nothing else can come in between.
    const change = new Change(this.#parts, context, Date.now());
    const outcome = this.ctx.storage.transactionSync(() => {
      const result = apply(change);
      if (result.ok) keepAnswer(this.#parts.sql, context, { value: result.value, meters: change.meters }, change.now);
      return result;
    });
    if (!outcome.ok) return err(outcome.error);
    this.#schedule();
    await this.#deliverWithin(change.meters);
    return ok({ value: outcome.value, replayed: false, delivered: this.#areMetersTold(change.meters) });
  }

  /** Waits a bounded time; what takes longer goes on by itself, with the alarm behind it. */
  async #deliverWithin(meters: readonly string[]): Promise<void> {
    if (meters.length === 0) return;
    const delivery = this.#delivery.deliver(meters.slice(0, DELIVERIES_PER_RUN));
    this.ctx.waitUntil(delivery);
    try {
      await within(delivery, DELIVERY_WAIT_MS, "delivery");
    } catch (error) {
      if (!(error instanceof TimeOutError)) throw error;
    }
  }

  #areMetersTold(meters: readonly string[]): boolean {
    return meters.every((meter) => this.#parts.outbox.isMeterTold(meter));
  }

  /** Sets the alarm for the next thing to do, unless one is set that comes early enough. */
  #schedule(): void {
    const times = [this.#parts.outbox.nextTurn(), nextExpiry(this.#parts.sql)].filter((time) => time !== null);
    if (times.length === 0) return;
    const now = Date.now();
    const next = Math.max(Math.min(...times), now);
    if (this.#alarmAt !== null && this.#alarmAt <= next && this.#alarmAt > now) return;
    this.#alarmAt = next;
    // Not awaited: it is part of the same write, and fails with it.
    void this.ctx.storage.setAlarm(next);
  }

  #sweepExpired(now: EpochMs): void {
    sweepExpired(this.#parts.sql, now);
  }

  #countRevocation(lagMs: number): void {
    const seconds = Math.max(0, lagMs) / 1_000;
    const { maxSeconds, count } = this.#revocations;
    this.#revocations = { lastSeconds: seconds, maxSeconds: Math.max(seconds, maxSeconds ?? 0), count: count + 1 };
  }
}
