/**
 * The log's tables; docs/storage-schema.md says what each column means. Migrations are numbered by their place and never edited after a
 * release. Long columns stand last: what stands before them is read without them.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE pack (
    place INTEGER PRIMARY KEY,
    batch_ids TEXT NOT NULL,
    facets TEXT NOT NULL,
    left_out TEXT NOT NULL,
    requests TEXT NOT NULL
  );
  CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  INSERT INTO state (name, value) VALUES ('retention_ms', 604800000), ('max_bytes', 1073741824);
  `,
];
