import type { RotateCall, Rotated, RotateRefusal, SigningStatus } from "../../durable-objects/signing-keys/api.ts";
import type { Comparison, ComparisonQuery } from "../../durable-objects/usage-ledger/api.ts";
import type { LogPage, LogSearch } from "../../durable-objects/request-log/api.ts";
import type { GatewayConfig } from "../config.ts";
import type { ProblemCode } from "../http/codes.ts";
import type { EdgeRecord } from "../keys/record.ts";
import type { MeasureQuestion, MeasuresRead } from "../measures/collect.ts";
import type { KeptRequest } from "../request-log/kept-request.ts";
import type { Result } from "../result.ts";
import type { UsageAnswer, UsageQuery } from "../usage/query.ts";
import type { Outcome } from "./problem.ts";

/** What the control API is given. Made once per isolate: nothing here belongs to one request. */
export interface ControlDependencies {
  readonly env: ControlEnv;
  readonly config: GatewayConfig;
  /**
   * Checks a presented key exactly as the gateway checks keys, strictly: its status, deadlines, bindings and limits, without
   * reusing a lease. Failures are budgeted per address there.
   */
  readonly authenticate: (request: Request, presentedKey: string) => Promise<Result<EdgeRecord, AuthenticationRefusal>>;
  /** The client's address; `null` when unknown. */
  readonly clientIp: (request: Request) => string | null;
  /** The id of a request: the same one for every call with the same `Request`. */
  readonly requestId: (request: Request) => string;
  /** `request_invalid` when the answer would be too large, `storage_unavailable` when the ledger cannot be asked in time. */
  readonly usage: (workspace: string, query: UsageQuery) => Promise<Outcome<UsageAnswer>>;
  /** How the ledger of a range compares with the meters. Fails as `usage` does. */
  readonly comparison: (workspace: string, of: ComparisonQuery) => Promise<Outcome<Comparison>>;
  readonly requests: RequestCalls;
  /** `storage_unavailable` when registry or ledger cannot be asked in time. */
  readonly measures: (workspace: string, question: MeasureQuestion) => Promise<Outcome<MeasuresRead>>;
  readonly signingKeys: SigningKeyCalls;
  /** Epoch ms. */
  readonly now: () => number;
}

/** Kept requests of a workspace. `storage_unavailable` when a log cannot be asked in time. */
export interface RequestCalls {
  readonly find: (workspace: string, requestId: string) => Promise<Outcome<readonly KeptRequest[]>>;
  readonly search: (workspace: string, search: LogSearch) => Promise<Outcome<LogPage>>;
}

/** The keys that sign tokens. Both reject when they are not reached in time. */
export interface SigningKeyCalls {
  readonly status: () => Promise<SigningStatus>;
  readonly rotate: (call: Omit<RotateCall, "policy">) => Promise<Result<Rotated, RotateRefusal>>;
}

/** The bindings that the control API uses. `Env` of the Worker fits. */
export interface ControlEnv {
  readonly KEY_REGISTRY: DurableObjectNamespace;
  readonly ALERT_CENTER: { getByName(name: string): unknown };
  readonly WATCH: { getByName(name: string): unknown };
  readonly CONTROL_RATE: RateLimit;
  /** A secret; absent, there is no root. */
  readonly LATCHKEY_ROOT_TOKEN?: string | undefined;
  /** A secret; absent, no key can demand signatures by HMAC. */
  readonly LATCHKEY_TOKEN_SECRET?: string | undefined;
}

export interface AuthenticationRefusal {
  readonly code: ProblemCode;
  readonly detail: string;
  readonly retryAfterSeconds?: number;
}
