/** Numbered by place, never edited. Documented in `docs/storage-schema.md`. */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE alerts (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    kind TEXT NOT NULL,
    severity TEXT NOT NULL,
    phase TEXT NOT NULL,
    open INTEGER NOT NULL,
    resolved_at INTEGER,
    body TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE UNIQUE INDEX one_alert_at_a_time ON alerts (owner, kind) WHERE phase <> 'resolved';
  CREATE INDEX alerts_by_key ON alerts (owner, kind, resolved_at);
  CREATE INDEX alerts_open ON alerts (open) WHERE open = 1;
  CREATE INDEX alerts_by_resolution ON alerts (resolved_at) WHERE resolved_at IS NOT NULL;
  CREATE TABLE history (
    seq INTEGER PRIMARY KEY,
    alert_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    event TEXT NOT NULL,
    actor TEXT NOT NULL,
    severity TEXT NOT NULL
  );
  CREATE INDEX history_by_alert ON history (alert_id, seq);
  CREATE TABLE quiets (
    id TEXT PRIMARY KEY, type TEXT NOT NULL, ends_at INTEGER NOT NULL, body TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX quiets_by_end ON quiets (ends_at);
  CREATE TABLE deliveries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    channel TEXT NOT NULL,
    incident TEXT NOT NULL,
    action TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    next_at INTEGER,
    finished_at INTEGER,
    last_status INTEGER,
    last_error TEXT,
    replay_of TEXT,
    message TEXT NOT NULL
  );
  CREATE INDEX deliveries_pending ON deliveries (channel, next_at) WHERE state = 'pending';
  CREATE INDEX deliveries_finished ON deliveries (finished_at) WHERE finished_at IS NOT NULL;
  CREATE TABLE channels (
    name TEXT PRIMARY KEY, failing_since INTEGER NOT NULL, pause_until INTEGER NOT NULL, failures INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE answers (
    key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, answer TEXT NOT NULL, expires_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  `,
];
