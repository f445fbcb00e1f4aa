/**
 * The ledger's tables; docs/storage-schema.md says what each column means. Migrations are numbered by their place and never
 * edited after a release. WITHOUT ROWID where rows are found by their primary key: one row written each, no index beside it.
 */

const SUM_COLUMNS = `
  bucket INTEGER NOT NULL,
  series INTEGER NOT NULL,
  requests INTEGER NOT NULL,
  allowed INTEGER NOT NULL,
  refused INTEGER NOT NULL,
  cost INTEGER NOT NULL,
  bytes_in INTEGER NOT NULL,
  bytes_out INTEGER NOT NULL,
  latency_ms INTEGER NOT NULL,
  PRIMARY KEY (bucket, series)`;

export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE batch (batch_id TEXT PRIMARY KEY) WITHOUT ROWID;
  CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    key_id TEXT,
    lineage_id TEXT,
    owner TEXT,
    environment TEXT,
    route TEXT,
    status INTEGER NOT NULL,
    code TEXT NOT NULL,
    country TEXT
  );
  CREATE TABLE usage_minute (${SUM_COLUMNS}) WITHOUT ROWID;
  CREATE TABLE usage_hour (${SUM_COLUMNS}) WITHOUT ROWID;
  CREATE TABLE usage_day (${SUM_COLUMNS}) WITHOUT ROWID;
  CREATE TABLE outcome_total (
    code TEXT NOT NULL,
    status_class INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    degraded INTEGER NOT NULL,
    latency_ms INTEGER NOT NULL,
    PRIMARY KEY (code, status_class)
  ) WITHOUT ROWID;
  CREATE TABLE key_use (
    key_id TEXT PRIMARY KEY,
    last_used INTEGER NOT NULL,
    told INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE reconciled_hour (
    hour INTEGER PRIMARY KEY,
    cursor TEXT NOT NULL,
    done INTEGER NOT NULL,
    unchecked INTEGER NOT NULL,
    checked_at INTEGER NOT NULL
  );
  CREATE TABLE reconciliation (
    hour INTEGER NOT NULL,
    lineage_id TEXT NOT NULL,
    meter INTEGER NOT NULL,
    ledger INTEGER NOT NULL,
    PRIMARY KEY (hour, lineage_id)
  ) WITHOUT ROWID;
  CREATE TABLE workspace (name TEXT PRIMARY KEY) WITHOUT ROWID;
  CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  `,
  `CREATE TABLE journal (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, entry TEXT NOT NULL)`,
  // Rows of many series, keys and batches. The journal moves at once; `key_use` when the object wakes (`uses.ts`); tables that may
  // be large are read beside the new ones until they are swept: `batch`, `usage_minute`, `usage_hour`, `usage_day`.
  `
  CREATE TABLE usage_pack (
    grain INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    low INTEGER NOT NULL,
    high INTEGER NOT NULL,
    sums TEXT NOT NULL,
    PRIMARY KEY (grain, bucket, low)
  ) WITHOUT ROWID;
  CREATE TABLE use_pack (
    low INTEGER PRIMARY KEY,
    high INTEGER NOT NULL,
    uses TEXT NOT NULL
  );
  CREATE TABLE batch_ids (
    head TEXT NOT NULL,
    part INTEGER NOT NULL,
    rests TEXT NOT NULL,
    PRIMARY KEY (head, part)
  ) WITHOUT ROWID;
  CREATE TABLE journal_slot (
    slot INTEGER PRIMARY KEY,
    round INTEGER NOT NULL,
    at INTEGER NOT NULL,
    batch_ids TEXT NOT NULL,
    uses TEXT NOT NULL,
    entry TEXT NOT NULL
  );
  INSERT INTO journal_slot (slot, round, at, batch_ids, uses, entry)
    SELECT ROW_NUMBER() OVER (ORDER BY seq), 1, at, '', '[]', entry FROM journal;
  DROP TABLE journal;
  ALTER TABLE series ADD COLUMN seen INTEGER NOT NULL DEFAULT 0;
  UPDATE series SET seen = COALESCE((SELECT value FROM state WHERE name = 'hour_mark'), 0);
  `,
  // Networks and upstreams of series; how times and addresses are spread. What was counted before has none.
  `
  ALTER TABLE series ADD COLUMN asn INTEGER;
  ALTER TABLE series ADD COLUMN upstream TEXT;
  ALTER TABLE usage_pack ADD COLUMN distributions TEXT NOT NULL DEFAULT '[]';
  `,
  // What was seen of keys after they were revoked.
  `
  CREATE TABLE revocation (
    key_id TEXT PRIMARY KEY,
    first_refusal INTEGER NOT NULL,
    last_acceptance INTEGER NOT NULL
  ) WITHOUT ROWID;
  `,
  // How well checks went, by minute. What was counted before is not there.
  `CREATE TABLE health (hour INTEGER PRIMARY KEY, minutes TEXT NOT NULL)`,
];
