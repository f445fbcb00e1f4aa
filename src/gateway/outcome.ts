import type { ProblemCode } from "../http/codes.ts";
import type { EdgeRecord } from "../keys/record.ts";
import type { LimitView } from "../limits/limit.ts";
import type { VerifiedToken } from "../tokens/verified-token.ts";

/** What the check says of one request, to whoever asked: the proxy, `verify`, `authorize`, RPC, the control API. */

/** The facts about a request that bindings and routes look at. */
export interface RequestFacts {
  /** The client's address, from `CF-Connecting-IP` alone; `null` when unknown. */
  readonly ip: string | null;
  readonly origin: string | null;
  readonly country: string | null;
  /** SHA-256 of the verified client certificate, lower-case hex; `null` without one. */
  readonly certificateSha256: string | null;
}

/** Why a request goes no further. `record` is there when the key is known, for the event and the log, never for the client. */
export interface Refusal {
  readonly code: ProblemCode;
  readonly detail: string;
  readonly record: EdgeRecord | null;
  /** What was presented in the key's place, where that was good in itself. */
  readonly token?: VerifiedToken;
  /** What tells one unknown credential from another, for the event: 32 bits of a digest. */
  readonly credentialTag?: number;
  readonly retryAfterSeconds?: number;
  /** Names of the limits that refused. */
  readonly violated?: readonly string[];
  /** With `dpop_nonce_required`. */
  readonly dpopNonce?: string;
  /** With `signature_required` and `signature_invalid`: the field `Accept-Signature`. */
  readonly acceptSignature?: string;
  /** With `scope_insufficient`. */
  readonly requiredScopes?: readonly string[];
  /** Limits to show with a 429. Empty on 401 and 403. */
  readonly limits?: readonly LimitView[];
}

export interface Admission {
  readonly record: EdgeRecord;
  readonly cost: number;
  readonly limits: readonly LimitView[];
  /** What was presented in the key's place; `record` has its scopes. */
  readonly token: VerifiedToken | null;
  /** Admitted by policy while the meter could not be asked. */
  readonly degraded: boolean;
  /** Gives the cost back, for an upstream that failed. Does nothing the second time. */
  readonly refund: () => void;
}
