/** Numbered, never edited. Each is run once, in order, in one transaction. Documented in `docs/storage-schema.md`. */
export const MIGRATIONS: readonly string[] = [
  `CREATE TABLE records (key_id TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
   CREATE TABLE state (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;`,
];
