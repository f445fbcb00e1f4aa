import type { LimitView } from "../limits/limit.ts";
import type { UsageEvent } from "../usage/event.ts";

/**
 * What is kept of a request beside its event: what each check was given and what it stood on. Plain data, never a secret: of a key its
 * hint, of an address what the policy for addresses lets through. It travels with the event's batch and is no part of what is billed.
 */

/** `refused`: whatever is not `allowed`. `sampled`: by the end of its id. `traced`: the client's own trace is sampled. */
export type KeptFor = "refused" | "sampled" | "traced";

export interface RequestDetail {
  readonly v: 1;
  /** Of the event in the same batch. */
  readonly eventId: string;
  readonly why: KeptFor;
  /** The key's; where none is known, the one that the route's upstream is for. */
  readonly workspace: string;
  /** 32 hex digits of `traceparent`; `null`: none came, or none went to the origin. */
  readonly traceId: string | null;
  readonly via: "bearer" | "dpop" | "header" | "basic" | "query" | null;
  readonly form: "own" | "foreign" | "token" | "garbage" | null;
  /** What a refused client was told. */
  readonly told: string | null;
  readonly retryAfterSeconds: number | null;
  /** Names of the limits that refused. */
  readonly violated: readonly string[];
  readonly limits: readonly LimitView[];
  /** `null`: nobody knew the key, or nobody had looked yet. */
  readonly key: KeyDetail | null;
  readonly asked: AskedDetail | null;
  /** Where the record was read, and how long ago it was known to be the newest. `miss`: nobody knew one. `null`: not looked for. */
  readonly record: { readonly from: "isolate" | "broker" | "kv" | "meter" | "miss"; readonly ageMs: number } | null;
  readonly lease: LeaseDetail | null;
  /** `Origin`, where it is one. */
  readonly origin: string | null;
  /** A client certificate was shown, and verified. */
  readonly certificate: boolean;
}

export interface KeyDetail {
  readonly hint: string;
  readonly kind: string;
  readonly state: "active" | "disabled" | "revoked";
  readonly generation: number;
  /** Some of them; `scopeCount`: how many there are. */
  readonly scopes: readonly string[];
  readonly scopeCount: number;
  readonly notBefore: number | null;
  readonly expiresAt: number | null;
  readonly notAfter: number | null;
  readonly exchangeOnly: boolean;
  /** The algorithm that its requests must be signed by. */
  readonly signature: string | null;
  readonly bindings: {
    readonly ips?: readonly string[];
    readonly origins?: readonly string[];
    readonly countries?: readonly string[];
    /** How many. */
    readonly certificates?: number;
  };
}

/** What the place that was called asks for. */
export interface AskedDetail {
  readonly scopes: readonly string[];
  readonly environments: readonly string[];
  /** Whose keys may come; `*`: every workspace's. */
  readonly workspace: string;
  readonly cost: number;
  readonly strict: boolean;
  readonly timeoutMs: number | null;
  readonly maxBodyBytes: number | null;
}

export interface LeaseDetail {
  /** Whose word it is: the lease in hand (`isolate`), a refusal that is remembered, whoever was asked, grace, or nobody who answered. `null`: nobody was asked. */
  readonly from: "isolate" | "remembered" | "broker" | "meter" | "grace" | "unreachable" | null;
  /** Who had granted the lease in hand. */
  readonly by: "broker" | "meter" | null;
  /** It was granted for this request. */
  readonly granted: boolean;
  /** Since it was granted, ms; `null`: there was none. */
  readonly ageMs: number | null;
  /** Below 0: since when it was over. */
  readonly leftMs: number | null;
}

/** One request as it is stored and searched. */
export interface KeptRequest {
  readonly event: UsageEvent;
  readonly detail: RequestDetail;
}

/** Requests that would have been kept and were not: past the bounds of their minute. */
export interface LeftOut {
  readonly workspace: string;
  readonly keyId: string | null;
  readonly code: string;
  /** Of the first of them, epoch ms. */
  readonly time: number;
  readonly count: number;
}

/** What a batch of events carries beside them. */
export interface BatchRequests {
  readonly kept: readonly RequestDetail[];
  readonly left: readonly LeftOut[];
}
