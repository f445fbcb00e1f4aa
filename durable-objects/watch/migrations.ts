/** The watch's tables; docs/storage-schema.md says what each column means. Numbered by place, never edited after a release. */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE minute (
    minute INTEGER NOT NULL,
    part INTEGER NOT NULL,
    rows TEXT NOT NULL,
    PRIMARY KEY (minute, part)
  ) WITHOUT ROWID;
  CREATE TABLE watched_key (
    key_id TEXT PRIMARY KEY,
    last_hour INTEGER NOT NULL,
    recent TEXT NOT NULL,
    state BLOB NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE key_facts (key_id TEXT PRIMARY KEY, facts TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE key_hours (
    hour INTEGER NOT NULL,
    part INTEGER NOT NULL,
    rows TEXT NOT NULL,
    PRIMARY KEY (hour, part)
  ) WITHOUT ROWID;
  CREATE TABLE snapshot (
    key_id TEXT NOT NULL,
    hour INTEGER NOT NULL,
    state BLOB NOT NULL,
    PRIMARY KEY (key_id, hour)
  ) WITHOUT ROWID;
  CREATE TABLE finding (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    subject_type TEXT NOT NULL,
    subject TEXT NOT NULL,
    owner TEXT,
    team TEXT,
    severity TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    evidence TEXT NOT NULL,
    place TEXT NOT NULL,
    reported INTEGER NOT NULL DEFAULT 0
  );
  CREATE INDEX finding_by_subject ON finding (subject, kind);
  CREATE INDEX finding_unreported ON finding (id) WHERE reported = 0;
  CREATE TABLE state (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  `,
];
