/** Numbered by place, never edited. Documented in `docs/storage-schema.md`. */
export const MIGRATIONS: readonly string[] = [
  `CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
   CREATE TABLE signatures (slot INTEGER PRIMARY KEY, id TEXT NOT NULL, at INTEGER NOT NULL, forgotten INTEGER NOT NULL);`,
];
