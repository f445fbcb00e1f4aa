import type { Alert } from "../../src/alerts/alert.ts";
import type { Condition } from "../../src/alerts/condition.ts";
import type { AlertSettings } from "../../src/alerts/config.ts";
import type { AlertKind, Severity } from "../../src/alerts/kinds.ts";
import type { AlertMessage } from "../../src/alerts/message.ts";
import type { AlertMatcher, Quiet } from "../../src/alerts/silence.ts";
import type { EpochMs } from "../../src/keys/record.ts";
import type { Result } from "../../src/result.ts";
import type { Page, RegistryError } from "../key-registry/api.ts";

/** What a workspace's alert center says over RPC: plain data both ways. Times are epoch ms. */

export interface ReportCall {
  /** At most `MAX_CONDITIONS`. */
  readonly conditions: readonly Condition[];
  /** What the deployment's configuration says now; `null`: who reports does not see it, and what was said before stands. */
  readonly settings: AlertSettings | null;
}

export interface Reported {
  readonly accepted: number;
  /** Those that are no sound conditions, with the member that is not; at most 20 are named. */
  readonly refused: readonly { readonly index: number; readonly member: string }[];
}

export type AlertState = "firing" | "acknowledged" | "silenced" | "resolved";

export interface ShownAlert extends Omit<Alert, "rest" | "seen" | "revision" | "revisedAt"> {
  readonly state: AlertState;
  /** Subjects that are not named, about. */
  readonly moreSubjects: number;
  /** What silences it now. */
  readonly quiet: Pick<Quiet, "id" | "type" | "endsAt"> | null;
}

export interface HistoryEntry {
  readonly at: EpochMs;
  readonly event: "began" | "worse" | "acknowledged" | "resolved";
  readonly by: string;
  readonly severity: Severity;
}

export interface AlertFilter {
  readonly state?: AlertState | undefined;
  readonly severity?: Severity | undefined;
  readonly kind?: AlertKind | undefined;
  readonly owner?: string | undefined;
}

export interface NewQuiet {
  /** Drawn by the caller, who has it in the audit trail already. */
  readonly id: string;
  readonly type: Quiet["type"];
  readonly matcher: AlertMatcher;
  readonly startsAt: EpochMs;
  readonly endsAt: EpochMs;
  readonly reason: string;
}

export type DeliveryState = "pending" | "delivered" | "failed" | "dropped";

export interface Delivery {
  readonly id: string;
  readonly channel: string;
  readonly state: DeliveryState;
  readonly attempts: number;
  readonly createdAt: EpochMs;
  /** Of the next attempt; `null` once it is finished. */
  readonly nextAt: EpochMs | null;
  readonly finishedAt: EpochMs | null;
  /** HTTP status of the last answer; `null`: there was none. */
  readonly lastStatus: number | null;
  /** What went wrong last; never an address or a secret. */
  readonly lastError: string | null;
  readonly replayOf: string | null;
  readonly message: AlertMessage;
}

export interface DeliveryFilter {
  readonly channel?: string | undefined;
  readonly state?: DeliveryState | undefined;
}

/** With every write. `idempotency.key` is the caller's alone. */
export interface AlertWrite {
  readonly by: string;
  readonly idempotency: { readonly key: string; readonly fingerprint: string } | null;
}

export type AlertRefusal = Pick<RegistryError, "detail" | "pointer"> & {
  readonly code: "not_found" | "conflict" | "idempotency_conflict" | "request_invalid";
};

export type AlertWritten<T> = Result<{ readonly value: T; readonly replayed: boolean }, AlertRefusal>;

/** RPC methods of the `AlertCenter` object; one object per workspace, named by it. */
export interface AlertCenterApi {
  report(call: ReportCall): Promise<Reported>;
  list(filter: AlertFilter, limit: number, cursor: string | null): Promise<Result<Page<ShownAlert>, RegistryError>>;
  get(id: string): Promise<{ readonly alert: ShownAlert; readonly history: readonly HistoryEntry[] } | null>;
  acknowledge(id: string, write: AlertWrite): Promise<AlertWritten<ShownAlert>>;
  resolve(id: string, write: AlertWrite): Promise<AlertWritten<ShownAlert>>;
  listQuiets(type: Quiet["type"], limit: number, cursor: string | null): Promise<Result<Page<Quiet>, RegistryError>>;
  getQuiet(type: Quiet["type"], id: string): Promise<Quiet | null>;
  addQuiet(quiet: NewQuiet, write: AlertWrite): Promise<AlertWritten<Quiet>>;
  endQuiet(type: Quiet["type"], id: string, write: AlertWrite): Promise<AlertWritten<Quiet>>;
  listDeliveries(
    filter: DeliveryFilter,
    limit: number,
    cursor: string | null,
  ): Promise<Result<Page<Delivery>, RegistryError>>;
  getDelivery(id: string): Promise<Delivery | null>;
  replay(deliveryId: string, write: AlertWrite): Promise<AlertWritten<Delivery>>;
  /** Sends a message that says it is a test. `owner`: whose address, where the channel is for owners. */
  testChannel(
    channel: string,
    owner: string | null,
    settings: AlertSettings,
    write: AlertWrite,
  ): Promise<AlertWritten<Delivery>>;
}
