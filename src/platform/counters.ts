/**
 * What this isolate did since it started. Plain numbers that the gateway's path raises in place
 * (`counters.recordHits++`); `/_latchkey/metrics` shows them as the figures of the one isolate that answered.
 */
export const counters = {
  /** Records found in, or missed by, the isolate's cache. */
  recordHits: 0,
  recordMisses: 0,
  kvReads: 0,
  /** Admissions that stood on a lease at hand; the rest asked a meter. */
  leaseHits: 0,
  meterCalls: 0,
  meterFailures: 0,
  /** Calls to lease brokers, in place of a meter's or a read of KV. */
  brokerCalls: 0,
  brokerFailures: 0,
  eventsBuffered: 0,
  eventsDropped: 0,
  queueMessages: 0,
  queueFailures: 0,
  /** Questions to trusted issuers for their keys. */
  issuerCalls: 0,
  issuerFailures: 0,
  /** Tokens of others that were refused: not verified, or met by no trust rule. */
  foreignTokensRefused: 0,
  /** Failed checks that the per-address shield turned away. */
  shieldRefusals: 0,
};
