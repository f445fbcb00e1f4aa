/** The registry's own bounds, each with its reason. */

/** How long a write waits for the meter and KV before it answers; what is left is the alarm's. */
export const DELIVERY_WAIT_MS = 3_000;
/** One publication to a meter, one KV write. */
export const PUBLISH_TIMEOUT_MS = 2_000;
export const KV_PUT_TIMEOUT_MS = 3_000;
/** A KV write that never settles blocks later writes of its key for this long, so that it cannot land after them. */
export const KV_PUT_SETTLE_MS = 30_000;
/** Deliveries at once. */
export const DELIVERY_CONCURRENCY = 20;
/** Records delivered in one invocation: KV allows 1,000 operations in each, and a meter is told besides. */
export const DELIVERIES_PER_RUN = 400;
/** The alarm that stands behind an immediate delivery: after this the first try is over, or the object died. */
export const DELIVERY_SAFETY_MS = 5_000;
/** Back-off of one record: 1 s (KV's limit for one key), doubled, at most a minute, jittered down to a half. */
export const BACKOFF_FIRST_MS = 1_000;
export const BACKOFF_MAX_MS = 60_000;
/** Keys whose deadline passed and whose stored phase is brought up to date in one go. */
export const EXPIRY_SWEEP_ROWS = 20_000;
/** Old idempotency answers deleted in one go. */
export const IDEMPOTENCY_SWEEP_ROWS = 5_000;
/** A value may hold 2 MB; the answer to an import of 1,000 keys is longer, and is cut into parts. */
export const ANSWER_PART_BYTES = 1_000_000;
/** Rows of the audit chain that are in memory at once while it is verified. */
export const AUDIT_CHUNK_ROWS = 500;
/** A filter that matches fewer rows than this is followed to its end and sorted: some 5 ms. See `key-query.ts`. */
export const SELECTIVE_ROWS = 4_000;
/** Words of a search: each is a look-up of its own. */
export const MAX_QUERY_WORDS = 8;
/** Uses in one call: two full queue batches of events. */
export const MAX_USES = 5_000;
/** Keys looked through in one call for reminders: some 10 ms. */
export const REMINDER_SCAN_ROWS = 2_000;
export const MAX_LINEAGES = 10_000;
