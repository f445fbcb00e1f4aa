/** Every bound of the product, with its reason. Units stand last in the name. */

/** The public promise: a revoked key stops everywhere within this time of the answer to `revoke`. */
export const REVOCATION_BOUND_SECONDS = 5;

/** How long an admission stands without asking the meter. Half a second under the bound pays for the way from the check to the wire. */
export const LEASE_TTL_MS = 4_500;

/** A lease is renewed in the background once less than this is left, so that a warm request never waits. */
export const LEASE_RENEW_AHEAD_MS = 1_500;

/** One call to a meter; longer and the request is better served by the policy for an unreachable meter. */
export const METER_TIMEOUT_MS = 2_000;

/** After a failed call nobody waits for that meter, or that broker, for this long. */
export const METER_UNREACHABLE_MEMORY_MS = 1_000;

/** One call to a lease broker, which may have to ask a meter on the other side of the world; past this the meter is asked at once. */
export const BROKER_TIMEOUT_MS = 1_000;
/** A broker renews its own lease this long before the end: those who ask it shall get one that is worth having. */
export const BROKER_RENEW_AHEAD_MS = 2_000;
/** Accounts that one broker holds leases for; an account is about 1 KB. Several brokers may share one isolate's 128 MB … */
export const BROKER_ACCOUNTS = 20_000;
/** … so one that was idle for this long makes room: its lease is long over. */
export const BROKER_ACCOUNT_IDLE_MS = 60_000;
/** Brokers of a location, each for a part of the keys: two bear some 1,000 to 2,000 requests a second that meet a cold isolate, and few brokers know more keys each. */
export const DEFAULT_BROKER_SHARDS = 2;
export const MAX_BROKER_SHARDS = 256;

/** One KV read: p99 of a cold read is about 250 ms; past this the policy for an unreachable store applies. */
export const KV_TIMEOUT_MS = 3_000;

/** KV caches a read this long at a location; 30 s is the least it allows. The lease corrects what is stale. */
export const KV_CACHE_TTL_SECONDS = 30;

/** How long an isolate trusts a record that no lease has confirmed. */
export const RECORD_TTL_MS = 60_000;

/** How long an isolate remembers that a hash is unknown. Short: the key may be imported in the next second. */
export const RECORD_MISS_TTL_MS = 5_000;

/** An isolate has 128 MB; a record of the largest allowed size is about 8 KB, a usual one 600 B. */
export const RECORD_CACHE_ENTRIES = 10_000;
export const LEASE_BOOK_ENTRIES = 20_000;

/** Grace on a known-good record while the meter cannot be reached, when the policy does not say. */
export const DEFAULT_GRACE_SECONDS = 30;
export const MAX_GRACE_SECONDS = 300;

/** A presented credential: own keys have at most 12 + 6 + 38 characters; imported ones may be longer. */
export const MIN_PRESENTED_KEY_CHARACTERS = 8;
export const MAX_PRESENTED_KEY_CHARACTERS = 512;

/** What the control API accepts. */
export const MAX_NAME_CHARACTERS = 128;
export const MAX_SCOPES = 64;
export const MAX_SCOPE_CHARACTERS = 128;
export const MAX_LIMITS = 8;
export const MAX_LIMIT_UNITS = 1_000_000_000_000;
export const MAX_TAGS = 32;
export const MAX_METADATA_BYTES = 4_096;
export const MAX_BINDING_ENTRIES = 64;
export const MAX_IMPORT_KEYS = 1_000;
export const MAX_LIST_LIMIT = 200;
export const DEFAULT_LIST_LIMIT = 50;
export const MAX_VERIFY_BATCH = 100;
export const MAX_CONTROL_BODY_BYTES = 2 * 1_048_576;
export const IDEMPOTENCY_TTL_SECONDS = 86_400;
export const DEFAULT_OVERLAP_SECONDS = 86_400;
export const MAX_OVERLAP_SECONDS = 90 * 86_400;
/** A year of 366 days: longer windows never end within the life of a key. */
export const MAX_WINDOW_SECONDS = 366 * 86_400;
export const MAX_LIMIT_NAME_CHARACTERS = 64;
export const MAX_TAG_CHARACTERS = 64;
export const MAX_PURPOSE_CHARACTERS = 512;
export const MAX_NOTE_CHARACTERS = 1_024;
export const MAX_SEARCH_CHARACTERS = 128;
export const MAX_CURSOR_CHARACTERS = 1_024;
/** An origin or CIDR: a DNS name has at most 253 characters; scheme and port fit in the rest. */
export const MAX_BINDING_CHARACTERS = 300;
/** What Stripe and the IETF draft's implementers settled on. */
export const MAX_IDEMPOTENCY_KEY_CHARACTERS = 255;
/** Deadlines further away than this are slips of the pen, not plans. */
export const MAX_DEADLINE_DAYS = 36_525;
/** An answer names at most this many faults of one request: a body of a thousand keys could have thousands. */
export const MAX_REPORTED_ERRORS = 100;

/** 24 random characters of base62 carry 142 bits; a shorter root token is taken for a placeholder and switches root off. */
export const MIN_ROOT_TOKEN_CHARACTERS = 24;
/** Period of the `CONTROL_RATE` binding in wrangler.toml: what `Retry-After` can honestly say. */
export const CONTROL_RATE_PERIOD_SECONDS = 10;

/** Calls to the registry. A write tells the meter before it answers (METER_TIMEOUT_MS), so it takes longer; an import does so 1,000 times. */
export const REGISTRY_READ_TIMEOUT_MS = 5_000;
export const REGISTRY_WRITE_TIMEOUT_MS = 10_000;
export const REGISTRY_IMPORT_TIMEOUT_MS = 25_000;

/** A token lives so long where nobody says, and never longer than the most (RFC 9068 leaves it open; the origin that verifies offline bears it). */
export const DEFAULT_TOKEN_TTL_SECONDS = 300;
export const MAX_TOKEN_TTL_SECONDS = 3_600;
/** Clocks of two locations may differ by this much; tokens are minted and used at different ones. */
export const TOKEN_SKEW_SECONDS = 5;
/** A token of ours has about 700 characters, with the longest scopes and four actors about 10,000; headers hold 16,384 in all. */
export const MAX_TOKEN_CHARACTERS = 12_288;
/** Verified tokens that an isolate remembers: about 1 KB each. */
export const TOKEN_CACHE_ENTRIES = 5_000;
/** Revoked one by one and not expired yet, of one key: about 40 bytes each in its record. */
export const MAX_REVOKED_TOKENS = 100;
/** Of a token's `jti`. */
export const TOKEN_ID_PREFIX = "tok_";
/** Exchanges of one lineage where the configuration does not say: ten a second are a client that keeps no tokens. */
export const DEFAULT_EXCHANGE_LIMIT = 600;
export const DEFAULT_EXCHANGE_WINDOW_SECONDS = 60;
/** RFC 8693 §4.1 sets no bound to how often one acts for another; nobody needs more. */
export const MAX_TOKEN_HOPS = 4;

/** Cost units of one request. */
export const MAX_COST = 1_000_000;

/** The event buffer of an isolate; a queue message holds 128 KB. */
export const EVENT_FLUSH_MS = 1_000;
export const EVENT_FLUSH_COUNT = 100;
export const EVENT_FLUSH_BYTES = 96 * 1_024;
/** Past this many unsent events the oldest are dropped, counted and reported. */
export const EVENT_BUFFER_MAX = 10_000;

/** A flush whose owner ended early is taken over by the next request once it is this late. */
export const EVENT_OVERDUE_MS = 1_000;
/** Batches on their way at once, per isolate; more wait their turn, so that a stalled queue cannot fill the memory. */
export const EVENT_SENDS_MAX = 6;
/** One attempt at the queue or the ledger. A queue that does not answer is not tried twice; one that refuses is. */
export const EVENT_SEND_TIMEOUT_MS = 5_000;
export const EVENT_SEND_ATTEMPTS = 3;
export const EVENT_SEND_BACKOFF_MS = 200;
/** A batch that nobody reported on for this long was cut off with its request (`waitUntil` ends after 30 s): it is sent again. */
export const EVENT_SEND_LOST_MS = 35_000;
/** Pause after a batch was refused everywhere, and how long one request goes on trying. With a last attempt it fits in the 30 s. */
export const EVENT_RESEND_PAUSE_MS = 2_000;
export const EVENT_RESEND_BUDGET_MS = 8_000;

/** The consumer's calls. A ledger call carries up to 2 MB of events in one transaction. */
export const LEDGER_TIMEOUT_MS = 10_000;
export const REGISTRY_TIMEOUT_MS = 5_000;
/** The ledger remembers a batch this long: 4 d in the queue, 4 d in the dead-letter queue, and 2 d for whoever sends it again. */
export const BATCH_MEMORY_DAYS = 10;
/** A message that failed this often is ingested in a call of its own, so that a bad one cannot hold up its neighbours. */
export const QUEUE_ALONE_AFTER_ATTEMPTS = 3;
export const QUEUE_RETRY_DELAY_MAX_SECONDS = 300;
/** A key's last use is written again when it moved by this much: three rows each time, which an hour makes cheap. */
export const LAST_USE_STEP_MS = 3_600_000;
/** Comparing with the meters: a slice each minute, so that 30,000 lineages are through within the hour. */
export const RECONCILE_LINEAGES_MAX = 500;
export const RECONCILE_CONCURRENCY = 10;
/** One part of a scrape of the metrics; scrapers give up after 10 s. */
export const METRICS_TIMEOUT_MS = 3_000;
/** Workspaces that one run of the cron visits. */
export const MAX_LISTED_WORKSPACES = 200;
/** Records that a part of Latchkey asks the registry for in one call: about 1 MB. */
export const MAX_KEYS_AT_ONCE = 500;
/** The watch: what it is told is for what it judges, and nobody waits for it. */
export const WATCH_TIMEOUT_MS = 5_000;
/** Rows of one `GET /usage` answer: about 2 MB of JSON. */
export const MAX_USAGE_ROWS = 10_000;

/** Kept requests: as long as an incident is looked back at, and as much as a shard may store (an object holds 10 GB). */
export const DEFAULT_REQUEST_LOG_DAYS = 7;
export const MAX_REQUEST_LOG_DAYS = 90;
export const DEFAULT_REQUEST_LOG_MEGABYTES = 1_024;
export const MAX_REQUEST_LOG_MEGABYTES = 4_096;
/** One call to a request log. A search reads some MB at the most. */
export const REQUEST_LOG_TIMEOUT_MS = 5_000;
/** A message is tried so often for the sake of its kept requests; then they are given up, and what is billed is counted long since. */
export const REQUEST_LOG_ATTEMPTS = 5;

/** Upstream defaults: overridden by route. */
export const UPSTREAM_TIMEOUT_SECONDS = 30;
/** An upload may take this long on top of the upstream's time: the slowest link that is worth serving, 0.5 Mbit/s. */
export const MIN_UPLOAD_BYTES_PER_SECOND = 64 * 1_024;
/** A request whose body has no stated length is an event once the body ends, or after this long with what went by until then. */
export const STREAM_EVENT_WAIT_MS = 20_000;
export const MAX_REQUEST_BODY_BYTES = 100 * 1_048_576;
export const MAX_URI_BYTES = 16 * 1_024;
export const MAX_HEADER_BYTES = 64 * 1_024;

/** A foreign token as presented: GitHub's are about 2 KB, those with many groups 8; whoever sends more sends something else. */
export const MAX_FOREIGN_TOKEN_CHARACTERS = 16 * 1_024;
/** A subject: SPIFFE ids have at most 2,048 octets, all others far fewer; it is stored with each identity. */
export const MAX_FOREIGN_SUBJECT_CHARACTERS = 1_024;
/** Clocks of issuers are set by NTP; this is for those that drift until the next look. */
export const FOREIGN_CLOCK_SKEW_SECONDS = 30;
/** The longest that a foreign token may live: Kubernetes gives out a day's on request, and nobody needs more to be exchanged. */
export const MAX_FOREIGN_TOKEN_LIFE_SECONDS = 86_400;

/** One answer of an issuer: discovery, or its keys. The exchange waits for both at worst. */
export const ISSUER_TIMEOUT_MS = 3_000;
/** The largest key sets in use (all keys of a cloud's regions) have some 50 KB. */
export const MAX_ISSUER_ANSWER_BYTES = 256 * 1_024;
export const MAX_ISSUER_KEYS = 100;
/** An issuer's `max-age` is kept within these: not asked at every turn, and a key that it took back is gone within a day. */
export const MIN_ISSUER_KEYS_TTL_SECONDS = 300;
export const MAX_ISSUER_KEYS_TTL_SECONDS = 86_400;
/** Keys are used this long after they were read while their issuer does not answer. */
export const ISSUER_KEYS_KEPT_MS = 24 * 3_600_000;
/** Keys that are older than their time by less than this are renewed behind the request's back; older ones before they are used. */
export const ISSUER_KEYS_LATE_MS = 300_000;
/** After an unknown key id, or a failure, one issuer is not asked again by an isolate for this long. */
export const ISSUER_COOL_DOWN_MS = 30_000;
/** Questions to one issuer at once, by one isolate that has no keys yet: nothing in flight is shared between requests. */
export const ISSUER_QUESTIONS_MAX = 4;

/** Identities that one trust rule may bring into being: a subject that differs with each build must not fill the registry. */
export const DEFAULT_WORKLOADS_PER_RULE = 10_000;
export const MAX_WORKLOADS_PER_RULE = 1_000_000;
/** What an isolate remembers of identities, so that an exchange is no call to the registry each time. An entry has some 200 B. */
export const WORKLOAD_MEMORY_ENTRIES = 5_000;
export const WORKLOAD_MEMORY_MS = 300_000;

/** A DPoP proof's `iat` may be this far from now (RFC 9449 §11.1: seconds, or minutes at the most). */
export const PROOF_WINDOW_SECONDS = 60;
/** The replay guard, which has another clock than the isolate that asks, remembers a little more. */
export const PROOF_GUARD_WINDOW_MS = 75_000;
/** How far ahead the guard's mark is kept: one row in this time for proofs without a nonce, and a nonce for those that come within it after a restart. */
export const PROOF_MARK_STEP_MS = 60_000;
/** A proof with an RSA key of 4,096 bits, whose signature and modulus are 683 characters each, is about 2 KB. */
export const MAX_PROOF_CHARACTERS = 4_096;
export const MAX_PROOF_ID_CHARACTERS = 256;
export const MAX_PROOF_NONCE_CHARACTERS = 256;
/** Client keys that an isolate keeps ready, so that a warm proof needs no import; one is about 1 KB. */
export const PROOF_KEY_CACHE_ENTRIES = 1_000;
/** A hash of 132 bits in base64url has 22. */
export const MAX_REPLAY_ID_CHARACTERS = 64;
/** Ids that one guard remembers, about 130 bytes each; an object bears 1,000 uses a second for a window at the most. When it is full it refuses. */
export const REPLAY_MEMORY_IDS = 200_000;
/** One nearby call. Past it nothing is let in: the guard is what keeps a proof from being used twice. */
export const REPLAY_GUARD_TIMEOUT_MS = 1_000;
/** Clocks of those who sign. */
export const SIGNATURE_SKEW_MS = 30_000;
/** The oldest signature that any policy takes; a request is signed when it is sent. */
export const MAX_SIGNATURE_AGE_SECONDS = 300;
export const DEFAULT_SIGNATURE_AGE_SECONDS = 60;
/** What a policy may name beyond what is covered always. */
export const MAX_SIGNATURE_COMPONENTS = 16;
/** A body is read whole before its digest is known to be right, and only then does anybody act on it. An isolate has 128 MB for all its requests. */
export const MAX_SIGNED_BODY_BYTES = 1_048_576;
/** For that reading, at the slowest link that is worth serving. */
export const SIGNED_BODY_TIMEOUT_MS = 20_000;
/** Keys whose signatures an isolate can check without deriving or importing anything; one is about 1 KB. */
export const SIGNATURE_KEY_CACHE_ENTRIES = 1_000;
/** All signatures are remembered as long as the longest policy asks: a policy may change between two uses. */
export const SIGNATURE_MEMORY_MS = MAX_SIGNATURE_AGE_SECONDS * 1_000 + 2 * SIGNATURE_SKEW_MS;

/**
 * A copy of the signing keys stands as long as a lease, so that an emergency rotation keeps the same promise as a revocation. A replica
 * hands on what is left of its own copy, and renews it so long before the end; an isolate, nearer to its end, does not wait either.
 */
export const SIGNING_KEYS_TTL_MS = 4_500;
export const SIGNING_KEYS_REPLICA_RENEW_AHEAD_MS = 2_000;
export const SIGNING_KEYS_RENEW_AHEAD_MS = 1_500;
/** One call to the replica nearby, which may have to ask the home object on the other side of the world; then the latter itself. */
export const SIGNING_REPLICA_TIMEOUT_MS = 1_000;
export const SIGNING_HOME_TIMEOUT_MS = 2_000;
/** After a failed call nobody waits for the signing keys for this long. */
export const SIGNING_UNREACHABLE_MEMORY_MS = 1_000;
/** Known keys go on verifying for this long when nobody can be asked: each token still needs its parent's lease. */
export const SIGNING_KEYS_KNOWN_MS = 3_600_000;
/** And go on signing for this long: a token by a key that was dropped meanwhile would be refused wherever that is known. */
export const SIGNING_GRACE_MS = 10_000;
/** Key names that are not known are asked for once in this time by an isolate, and by a replica: anyone can make some up. */
export const UNKNOWN_KID_PAUSE_MS = 1_000;
/** How long caches may keep the public keys. */
export const JWKS_MAX_AGE_SECONDS = 300;
/** A key is published this long before it signs: a cache may have been filled from another cache. */
export const SIGNING_KEY_AHEAD_SECONDS = 2 * JWKS_MAX_AGE_SECONDS;
/** And for this long after: until the last token has expired, by a clock that is ten minutes behind. */
export const SIGNING_KEY_RETIRED_SECONDS = MAX_TOKEN_TTL_SECONDS + 600;
export const DEFAULT_ROTATION_DAYS = 30;
export const MAX_ROTATION_DAYS = 365;
/** Keys that are gone, and entries of the log, that the object keeps to tell of. */
export const SIGNING_KEYS_REMEMBERED = 50;
export const SIGNING_LOG_ENTRIES = 1_000;
/** 32 characters of base64url carry 192 bits; what is shorter is taken for a placeholder and switches tokens off. */
export const MIN_TOKEN_SECRET_CHARACTERS = 32;

/** Signature-Input and Signature, each: room for a few signatures of RSA, and far from what a parser would feel. */
export const MAX_SIGNATURE_FIELD_CHARACTERS = 4_096;
/** The client's, and those of what stands between. */
export const MAX_SIGNATURES = 4;
export const MAX_COVERED_COMPONENTS = 32;
export const MAX_SIGNATURE_NONCE_CHARACTERS = 256;

/** An assertion to the origin is for one hop: a minute is more than any clock that is set should need. */
export const MAX_ASSERTION_TTL_SECONDS = 60;
export const DEFAULT_ASSERTION_TTL_SECONDS = 30;
