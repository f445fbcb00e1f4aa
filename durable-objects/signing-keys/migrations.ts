/** Numbered by place, never edited. Documented in `docs/storage-schema.md`. */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE keys (
    kid TEXT PRIMARY KEY,
    alg TEXT NOT NULL,
    jwk TEXT NOT NULL,
    state TEXT NOT NULL,
    published_at INTEGER NOT NULL,
    started_at INTEGER,
    retired_at INTEGER,
    removed_at INTEGER,
    wrapped BLOB,
    iv BLOB,
    secret TEXT
  );
  CREATE UNIQUE INDEX one_key_of_a_state ON keys (state) WHERE state IN ('next', 'current');
  CREATE TABLE log (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    action TEXT NOT NULL,
    actor TEXT NOT NULL,
    kids TEXT NOT NULL,
    reason TEXT
  );
  CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE answers (key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, answer TEXT NOT NULL, expires_at INTEGER NOT NULL) WITHOUT ROWID;
  `,
];
