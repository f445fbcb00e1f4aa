import type { Condition } from "../../src/alerts/condition.ts";
import type { ReminderRules } from "../../src/alerts/reminders.ts";
import type {
  Bindings,
  EdgeRecord,
  Environment,
  KeyHash,
  KeyId,
  KeyKind,
  LineageId,
  Policy,
  RevokedToken,
} from "../../src/keys/record.ts";
import type { KeyStatus } from "../../src/keys/status.ts";
import type { Limit } from "../../src/limits/limit.ts";
import type { Result } from "../../src/result.ts";

/** What the registry says over RPC: plain data both ways. Times are RFC 3339 UTC. */

export interface Actor {
  readonly kind: "root" | "admin_key" | "person" | "owner" | "holder" | "system";
  /**
   * `root`; the id of an admin key, or of the key that its holder presented; the e-mail address of who signed in to the pages through
   * an identity provider; the name of the owner that acted on its own page; or of the part of Latchkey that acted.
   */
  readonly id: string;
  readonly address: string | null;
  readonly requestId: string | null;
}

/** With every write. `fingerprint` is a digest of method, path and body: the same key with another fingerprint is a conflict. */
export interface WriteContext {
  readonly actor: Actor;
  readonly idempotency: { readonly key: string; readonly fingerprint: string } | null;
  /** `If-Match`: the generation that the caller saw, or `null` for any. */
  readonly ifGeneration: number | null;
  /** `GatewayConfig.publishableScopes`, for the rules that hold after a patch too; absent: the default. */
  readonly publishableScopes?: readonly string[] | undefined;
}

/** A key as the control API shows it. */
export interface KeyRecord {
  readonly id: KeyId;
  readonly lineageId: LineageId;
  readonly workspace: string;
  readonly name: string;
  readonly owner: string;
  readonly environment: Environment;
  readonly kind: KeyKind;
  readonly status: KeyStatus;
  /** Only while the owner is disabled, and the key is so because of it: what it is by itself, and will be again. */
  readonly ownStatus?: KeyStatus;
  readonly hint: string;
  readonly scopes: readonly string[];
  readonly plan: string | null;
  readonly limits: readonly Limit[];
  readonly bindings: Bindings;
  readonly policy: Policy;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly tags: readonly string[];
  readonly purpose: string | null;
  readonly createdAt: string;
  readonly createdBy: string;
  readonly updatedAt: string;
  readonly notBefore: string | null;
  readonly expiresAt: string | null;
  readonly notAfter: string | null;
  readonly rotatedFrom: KeyId | null;
  readonly revokedAt: string | null;
  readonly revokedReason: RevocationReason | null;
  readonly lastUsedAt: string | null;
  /** Tokens that were minted from this key up to here are dead. Absent: none are. */
  readonly tokensRevokedAt?: string;
  readonly generation: number;
}

export type RevocationReason = "leaked" | "retired" | "compromised" | "policy" | "other";

/** What the caller supplies at issuance. The raw key never reaches the registry: its hash and hint do. */
export interface NewKey {
  readonly hash: KeyHash;
  readonly hint: string;
  readonly name: string;
  readonly owner: string;
  readonly environment: Environment;
  readonly kind: KeyKind;
  readonly scopes: readonly string[];
  readonly plan: string | null;
  readonly limits: readonly Limit[];
  readonly bindings: Bindings;
  readonly policy: Policy;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly tags: readonly string[];
  readonly purpose: string | null;
  readonly notBefore: string | null;
  readonly expiresAt: string | null;
}

/** An identity as its trust rule wants it: see `src/tokens/workload-record.ts`. */
export interface NewWorkload extends Pick<
  NewKey,
  "hash" | "name" | "owner" | "environment" | "scopes" | "plan" | "limits" | "policy" | "metadata"
> {
  /** The rule's name. */
  readonly rule: string;
  /** How many identities the rule may bring into being. */
  readonly maxIdentities: number;
}

/** Everything but identity; absent fields stay. Merge-patch (RFC 7396) is applied by the registry to `metadata`, `bindings` and `policy`. */
export interface KeyPatch {
  readonly name?: string;
  readonly scopes?: readonly string[];
  readonly plan?: string | null;
  readonly limits?: readonly Limit[];
  readonly bindings?: Readonly<Record<string, unknown>> | null;
  readonly policy?: Readonly<Record<string, unknown>> | null;
  readonly metadata?: Readonly<Record<string, unknown>> | null;
  readonly tags?: readonly string[];
  readonly purpose?: string | null;
  readonly notBefore?: string | null;
  readonly expiresAt?: string | null;
}

export interface Rotation {
  readonly hash: KeyHash;
  readonly hint: string;
  readonly overlapSeconds: number;
  /** Of the new key; `null`: never. Absent: the old key's lifetime anew, counted from now (never, where that one had none). */
  readonly expiresAt?: string | null | undefined;
}

export interface TokenRevocation {
  /** `null`: all of the key's. */
  readonly token: RevokedToken | null;
  /** The first token of its line, where it was derived: ended in its place once the list is full. */
  readonly root: RevokedToken | null;
}

export interface KeyFilter {
  readonly owner?: string;
  readonly environment?: Environment;
  readonly status?: KeyStatus;
  readonly kind?: KeyKind;
  readonly scope?: string;
  readonly tag?: string;
  readonly plan?: string;
  readonly expiresBefore?: string;
  readonly lastUsedBefore?: string;
  readonly createdAfter?: string;
  /** Words looked for at the start of words of name, owner, purpose, or in the id or hint. */
  readonly q?: string;
}

export interface Page<T> {
  readonly data: readonly T[];
  readonly nextCursor: string | null;
}

export interface OwnerContacts {
  readonly email?: string | undefined;
  /** As routes of alerts name it. */
  readonly team?: string | undefined;
}

export interface OwnerRecord {
  readonly id: string;
  readonly workspace: string;
  readonly name: string | null;
  readonly limits: readonly Limit[];
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly generation: number;
  /** Whom alerts about the owner's keys go to. Absent: nobody is named. */
  readonly contacts?: OwnerContacts;
  /** Since when the owner is disabled, and its keys with it. Absent: it is not. */
  readonly disabledAt?: string;
  readonly keys: { readonly active: number; readonly total: number };
}

export interface AuditEntry {
  readonly id: string;
  readonly sequence: number;
  readonly time: string;
  readonly action: string;
  readonly actor: Actor;
  readonly subject: { readonly kind: "key" | "owner" | "workspace" | "alert"; readonly id: string };
  /** Records without secrets; `null` where there was or is nothing. */
  readonly before: unknown;
  readonly after: unknown;
  readonly note: string | null;
  readonly previousHash: string;
  readonly hash: string;
}

export type AuditNote = Pick<AuditEntry, "action" | "subject" | "after" | "note">;

export interface AuditFilter {
  readonly subject?: string;
  readonly actor?: string;
  readonly action?: string;
  readonly from?: string;
  readonly to?: string;
}

export interface RegistryError {
  readonly code:
    | "not_found"
    | "conflict"
    | "idempotency_conflict"
    | "precondition_failed"
    | "request_invalid"
    /** The change reaches an admin key that may do more than the caller. */
    | "scope_insufficient"
    /** Another part that the write needs cannot be reached; nothing was changed. Try again. */
    | "storage_unavailable";
  readonly detail: string;
  /** JSON pointer into the request body, for `request_invalid`. */
  readonly pointer?: string;
}

/** The answer to a write. */
export interface Written<T> {
  readonly value: T;
  /** An earlier answer to the same `Idempotency-Key`: the secret is not shown again. */
  readonly replayed: boolean;
  /** The meter (the authority) has it. When false, the outbox goes on trying. */
  readonly delivered: boolean;
}

export type WriteResult<T> = Result<Written<T>, RegistryError>;

export interface ImportOutcome {
  readonly index: number;
  readonly result: Result<KeyRecord, RegistryError>;
}

/** RPC methods of the `KeyRegistry` object; one object per workspace, named by it. */
export interface KeyRegistryApi {
  create(input: NewKey, context: WriteContext): Promise<WriteResult<KeyRecord>>;
  get(id: KeyId): Promise<Result<KeyRecord, RegistryError>>;
  list(filter: KeyFilter, limit: number, cursor: string | null): Promise<Result<Page<KeyRecord>, RegistryError>>;
  patch(id: KeyId, patch: KeyPatch, context: WriteContext): Promise<WriteResult<KeyRecord>>;
  /** The new key is the value; the old one's `notAfter` is now + overlap. */
  rotate(id: KeyId, rotation: Rotation, context: WriteContext): Promise<WriteResult<KeyRecord>>;
  revoke(
    id: KeyId,
    reason: RevocationReason,
    note: string | null,
    context: WriteContext,
  ): Promise<WriteResult<KeyRecord>>;
  setDisabled(id: KeyId, disabled: boolean, context: WriteContext): Promise<WriteResult<KeyRecord>>;
  /** One token and what was derived from it, or with `null` all that were minted until now. The key itself goes on. */
  revokeTokens(id: KeyId, revocation: TokenRevocation, context: WriteContext): Promise<WriteResult<KeyRecord>>;
  import(
    inputs: readonly NewKey[],
    dryRun: boolean,
    context: WriteContext,
  ): Promise<WriteResult<readonly ImportOutcome[]>>;
  /** The record of a workload's identity, made or brought up to date if need be. Asking again changes nothing. */
  ensureWorkload(input: NewWorkload, context: WriteContext): Promise<WriteResult<KeyRecord>>;
  getOwner(id: string): Promise<Result<OwnerRecord, RegistryError>>;
  listOwners(limit: number, cursor: string | null): Promise<Result<Page<OwnerRecord>, RegistryError>>;
  putOwner(
    id: string,
    owner: {
      readonly name: string | null;
      readonly limits: readonly Limit[];
      readonly metadata: Readonly<Record<string, unknown>>;
      readonly contacts?: OwnerContacts | undefined;
    },
    context: WriteContext,
  ): Promise<WriteResult<OwnerRecord>>;
  /** Stops all keys of the owner, reversibly, or ends that. `scopes`: what the caller holds. `delivered`: all keys' meters have it. */
  setOwnerDisabled(
    id: string,
    disabled: boolean,
    scopes: readonly string[],
    context: WriteContext,
  ): Promise<WriteResult<OwnerRecord>>;
  /** An entry in the audit chain for a change that another object makes. With the same Idempotency-Key it is one entry. */
  noteAction(note: AuditNote, context: WriteContext): Promise<WriteResult<null>>;
  listAudit(
    filter: AuditFilter,
    limit: number,
    cursor: string | null,
  ): Promise<Result<Page<AuditEntry>, RegistryError>>;
  verifyAudit(): Promise<{
    readonly valid: boolean;
    readonly entries: number;
    readonly head: string;
    readonly firstBadSequence: number | null;
  }>;
  /** From the usage consumer: last use per key, epoch ms. Never from the hot path. */
  recordUse(uses: readonly { readonly keyId: KeyId; readonly time: number }[]): Promise<void>;
  /** For health, metrics and the cron: how much is still to be delivered, and a push to deliver it. */
  status(): Promise<RegistryStatus>;
  drain(): Promise<RegistryStatus>;
  /** For the cron: what is to be said of deadlines and idle keys. `after`: 0, or `next` of the page before. */
  reminders(rules: ReminderRules, after: number): Promise<ReminderPage>;
  /** For the watch: those of these keys that there are, in no order. At most `MAX_KEYS_AT_ONCE`. */
  watchedFacts(ids: readonly KeyId[]): Promise<readonly WatchedFacts[]>;
  /** For reconciliation: lineages with a change or use since `since` (epoch ms). */
  lineagesUsedSince(since: number, limit: number): Promise<readonly LineageId[]>;
}

export interface WatchedFacts extends Pick<KeyRecord, "id" | "environment" | "owner" | "plan" | "tags" | "limits"> {
  /** Of its owner. */
  readonly team: string | null;
}

export interface ReminderPage {
  readonly conditions: readonly Condition[];
  /** `null`: that was all. */
  readonly next: number | null;
}

export interface RegistryStatus {
  readonly workspace: string;
  readonly keysByStatus: Readonly<Record<KeyStatus, number>>;
  readonly outboxPending: number;
  readonly outboxOldestSeconds: number;
  /** Seconds from a revocation's commit to the meter's acknowledgement: of the last one, and the longest since start. */
  readonly revocationDelivery: {
    readonly lastSeconds: number | null;
    readonly maxSeconds: number | null;
    readonly count: number;
  };
  readonly keysIssuedTotal: number;
}

/** What the registry asks of a meter (see `durable-objects/key-meter`). */
export interface MeterPublisher {
  /** Idempotent. Takes newer records; answers with those of which it holds something else that is as new or newer. */
  publish(records: readonly EdgeRecord[]): Promise<readonly HeldRecord[]>;
  /** Answers with the generation that it holds: more than was sent, when it holds something newer. */
  setOwnerLimits(generation: number, limits: readonly Limit[]): Promise<number>;
}

/** What a meter holds, where the registry is behind it: after the registry was restored from a backup. */
export interface HeldRecord {
  readonly keyId: KeyId;
  readonly generation: number;
}
