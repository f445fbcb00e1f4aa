/** The registry's schema: numbered by place, never edited after a release. Documented in `docs/storage-schema.md`. */
export const MIGRATIONS: readonly string[] = [
  // 1: keys and what lists need. `seq` is the order of creation: rows are never deleted, so it never repeats.
  `
  CREATE TABLE keys (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    hash TEXT NOT NULL UNIQUE,
    lineage_id TEXT NOT NULL,
    name TEXT NOT NULL,
    owner TEXT NOT NULL,
    environment TEXT NOT NULL,
    kind TEXT NOT NULL,
    hint TEXT NOT NULL,
    scopes TEXT NOT NULL,
    plan TEXT,
    limits TEXT NOT NULL,
    owner_limited INTEGER NOT NULL,
    bindings TEXT NOT NULL,
    policy TEXT NOT NULL,
    metadata TEXT NOT NULL,
    tags TEXT NOT NULL,
    purpose TEXT,
    state TEXT NOT NULL,
    phase TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    not_before INTEGER,
    expires_at INTEGER,
    not_after INTEGER,
    rotated_at INTEGER,
    rotated_from TEXT,
    revoked_at INTEGER,
    revoked_reason TEXT,
    last_used_at INTEGER NOT NULL DEFAULT 0,
    generation INTEGER NOT NULL,
    end_at INTEGER GENERATED ALWAYS AS (
      min(ifnull(expires_at, 9000000000000000), ifnull(not_after, 9000000000000000))
    ) VIRTUAL
  );
  CREATE INDEX keys_by_lineage ON keys (lineage_id);
  CREATE INDEX keys_by_owner ON keys (owner);
  CREATE INDEX keys_by_environment ON keys (environment);
  CREATE INDEX keys_by_kind ON keys (kind);
  CREATE INDEX keys_by_phase ON keys (phase);
  CREATE INDEX keys_by_plan ON keys (plan) WHERE plan IS NOT NULL;
  CREATE INDEX keys_by_created ON keys (created_at);
  CREATE INDEX keys_by_updated ON keys (updated_at);
  CREATE INDEX keys_by_expiry ON keys (expires_at) WHERE expires_at IS NOT NULL;
  CREATE INDEX keys_by_last_use ON keys (last_used_at);
  CREATE INDEX keys_by_end ON keys (end_at) WHERE phase IN ('active', 'rotating', 'disabled');

  CREATE TABLE key_scopes (
    scope TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (scope, seq)
  ) WITHOUT ROWID;
  CREATE TABLE key_tags (
    tag TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (tag, seq)
  ) WITHOUT ROWID;
  CREATE VIRTUAL TABLE key_words USING fts5 (
    words, content = '', contentless_delete = 1, detail = none, prefix = '2 3',
    tokenize = "unicode61 remove_diacritics 2"
  );

  CREATE TABLE key_counts (
    owner TEXT NOT NULL, phase TEXT NOT NULL, keys INTEGER NOT NULL, PRIMARY KEY (owner, phase)
  ) WITHOUT ROWID;
  CREATE TRIGGER keys_counted AFTER INSERT ON keys BEGIN
    INSERT INTO key_counts (owner, phase, keys) VALUES ('', new.phase, 1), (new.owner, new.phase, 1)
      ON CONFLICT (owner, phase) DO UPDATE SET keys = keys + 1;
  END;
  CREATE TRIGGER keys_recounted AFTER UPDATE OF phase ON keys WHEN old.phase <> new.phase BEGIN
    UPDATE key_counts SET keys = keys - 1 WHERE phase = old.phase AND owner IN ('', old.owner);
    INSERT INTO key_counts (owner, phase, keys) VALUES ('', new.phase, 1), (new.owner, new.phase, 1)
      ON CONFLICT (owner, phase) DO UPDATE SET keys = keys + 1;
  END;
  `,
  // 2: owners.
  `
  CREATE TABLE owners (
    id TEXT PRIMARY KEY,
    name TEXT,
    limits TEXT NOT NULL,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    generation INTEGER NOT NULL
  ) WITHOUT ROWID;
  `,
  // 3: the audit chain. Append-only: the triggers stop mistakes, the chain shows malice.
  `
  CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    time INTEGER NOT NULL,
    action TEXT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    address TEXT,
    request_id TEXT,
    subject_kind TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    note TEXT,
    previous_hash TEXT NOT NULL,
    hash TEXT NOT NULL
  );
  CREATE INDEX audit_by_time ON audit (time);
  CREATE INDEX audit_by_subject ON audit (subject_id);
  CREATE INDEX audit_by_actor ON audit (actor_id);
  CREATE INDEX audit_by_action ON audit (action);
  CREATE TABLE audit_head (
    one INTEGER PRIMARY KEY CHECK (one = 1), sequence INTEGER NOT NULL, hash TEXT NOT NULL
  );
  CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
  END;
  CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
  END;
  `,
  // 4: what is still to be told to meters and KV: one row a key or owner, so an older state can never follow a newer one.
  `
  CREATE TABLE outbox (
    target TEXT PRIMARY KEY,
    meter TEXT NOT NULL,
    generation INTEGER NOT NULL,
    meter_generation INTEGER NOT NULL DEFAULT 0,
    kv_generation INTEGER NOT NULL DEFAULT 0,
    priority INTEGER NOT NULL,
    since INTEGER NOT NULL,
    revoked_at INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX outbox_by_turn ON outbox (priority, next_at);
  CREATE INDEX outbox_by_meter ON outbox (meter);
  CREATE INDEX outbox_by_age ON outbox (since);
  `,
  // 5: first answers to writes with an Idempotency-Key, in parts that fit a value.
  `
  CREATE TABLE idempotency (
    key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, expires_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX idempotency_by_expiry ON idempotency (expires_at);
  CREATE TABLE idempotency_answers (
    key TEXT NOT NULL, part INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (key, part)
  ) WITHOUT ROWID;
  `,
  // 6: how many identities each trust rule has brought into being.
  `
  CREATE TABLE workload_counts (rule TEXT PRIMARY KEY, keys INTEGER NOT NULL) WITHOUT ROWID;
  `,
  // 7: tokens that were revoked before they ended.
  `
  ALTER TABLE keys ADD COLUMN tokens_revoked_at INTEGER;
  ALTER TABLE keys ADD COLUMN revoked_tokens TEXT;
  `,
  // 8: owners that are stopped, and with them their keys.
  `
  ALTER TABLE owners ADD COLUMN disabled_at INTEGER;
  ALTER TABLE keys ADD COLUMN owner_disabled INTEGER NOT NULL DEFAULT 0;
  UPDATE outbox SET priority = 2 WHERE priority = 1;
  `,
  // 9: whom alerts about an owner's keys go to.
  `
  ALTER TABLE owners ADD COLUMN contacts TEXT;
  `,
];
