/** The alert center's own bounds, each with its reason. */

/** Conditions in one call: some 500 KB at the very most, and a few dozen milliseconds. */
export const MAX_CONDITIONS = 500;
/** Named in an answer: the first ones show what is wrong. */
export const MAX_REFUSED_SHOWN = 20;
/** Alerts that are not resolved, some 1 KB each in memory. Past it an owner's alerts of a kind go into one of all owners. */
export const MAX_ACTIVE_ALERTS = 5_000;
/** Entries of one alert's history. */
export const MAX_HISTORY = 100;
/** Silences and maintenance windows that are not over: each is held against each alert. */
export const MAX_QUIETS = 200;
/** The longest silence: it must end well before what it hides is forgotten. */
export const MAX_SILENCE_DAYS = 28;
/** How far ahead a maintenance window may be planned. */
export const MAX_AHEAD_DAYS = 366;
/** Messages that wait for one channel; past it the oldest is dropped, which the log of deliveries says. */
export const MAX_PENDING_PER_CHANNEL = 200;
/** Finished deliveries and resolved alerts are kept this long, and so many of them at the most. */
export const RETENTION_DAYS = 30;
export const MAX_FINISHED_DELIVERIES = 5_000;
export const MAX_RESOLVED_ALERTS = 20_000;
/** Rows deleted in one go. */
export const SWEEP_ROWS = 2_000;
export const SWEEP_EVERY_MS = 3_600_000;

/** One attempt. */
export const SEND_TIMEOUT_MS = 10_000;
/** An attempt that nobody reported on for this long was cut off with the object. */
export const SEND_CLAIM_MS = 15_000;
/** The alarm waits so long for its attempts: most are done by then, and no other channel waits for one that is slow. */
export const ALARM_WAIT_MS = 2_000;
/** A channel that failed is left alone for so long at the most, however long a single message waits. */
export const CHANNEL_PAUSE_MAX_MS = 300_000;
/** A channel that has failed for so long is an alert by itself. */
export const CHANNEL_FAILING_MS = 3_600_000;
/** The registry is asked for addresses of owners, so many at once. */
export const CONTACT_TIMEOUT_MS = 2_000;
/** What an owner's address was is remembered for so long. */
export const CONTACT_MEMORY_MS = 600_000;
export const MAX_CONTACTS_REMEMBERED = 2_000;
