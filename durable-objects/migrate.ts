/**
 * Brings an object's SQLite schema up to date. `migrations` are numbered by their place, never edited, only added to.
 * Call it in the constructor: it is synchronous and all or nothing.
 */
export function migrate(storage: DurableObjectStorage, migrations: readonly string[]): void {
  storage.transactionSync(() => {
    storage.sql.exec("CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY)");
    const { version } = storage.sql
      .exec<{ version: number }>("SELECT COALESCE(MAX(version), 0) AS version FROM migrations")
      .one();
    migrations.slice(version).forEach((statements, index) => {
      storage.sql.exec(statements);
      storage.sql.exec("INSERT INTO migrations (version) VALUES (?)", version + index + 1);
    });
  });
}
