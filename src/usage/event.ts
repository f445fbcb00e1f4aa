import type { BatchRequests } from "../request-log/kept-request.ts";

/** One request, as the queue, the ledger and every sink see it. No query strings, bodies, headers or keys. */
export interface UsageEvent {
  /** `evt_…`, derived from the request id: the same request always gives the same id. */
  readonly id: string;
  readonly requestId: string;
  /** The moment of the decision, epoch ms. The hour of this moment is the hour in which the meter counted it. */
  readonly time: number;
  readonly workspace: string;
  readonly keyId: string | null;
  readonly lineageId: string | null;
  readonly owner: string | null;
  readonly environment: "live" | "test" | null;
  readonly method: string;
  readonly upstream: string | null;
  /** The route's template, never the path; `null` where no route matched. */
  readonly route: string | null;
  /** HTTP status that the client saw; 499 when it went away first. */
  readonly status: number;
  /** `allowed`, or the problem code. */
  readonly code: string;
  /** Units that were charged; 0 for refusals and refunds. */
  readonly cost: number;
  readonly latencyMs: number;
  readonly authMs: number;
  readonly upstreamMs: number | null;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly country: string | null;
  readonly asn: number | null;
  readonly colo: string | null;
  /** Whole, truncated or hashed, by policy. */
  readonly clientIp: string | null;
  readonly userAgentFamily: string | null;
  readonly degraded: boolean;
  /** `jti` of the token that was presented in the key's place, once it was verified. Not there where a key itself was. */
  readonly tokenId?: string;
  /** `jti` of the token that came of an exchange: what leads from a token's requests to the key's. */
  readonly mintedTokenId?: string;
  /**
   * 32 bits of a salted digest of a credential that is nobody's: tells how many different ones were tried from a network. Stays
   * within Latchkey: no sink is given it.
   */
  readonly credentialTag?: number;
}

/** One queue message. `batchId` is made once, when the buffer is cut; a redelivery carries the same one. */
export interface UsageBatch {
  readonly v: 1;
  readonly batchId: string;
  readonly events: readonly UsageEvent[];
  /** What some of these requests were decided on. No part of what is counted, and mostly not there. */
  readonly requests?: BatchRequests;
}
