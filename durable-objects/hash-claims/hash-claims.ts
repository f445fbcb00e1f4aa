import { DurableObject } from "cloudflare:workers";
import { MAX_IMPORT_KEYS } from "../../src/constants.ts";
import { migrate } from "../migrate.ts";

/** Numbered by place, never edited. Documented in `docs/storage-schema.md`. */
const MIGRATIONS: readonly string[] = [
  "CREATE TABLE claims (hash TEXT PRIMARY KEY, workspace TEXT NOT NULL) WITHOUT ROWID;",
];

/**
 * Which workspace a key's hash belongs to, across the whole installation: no workspace can take over another's key
 * by importing its hash. One object per first character of the hash (64 of them); a claim is for good.
 */
export class HashClaims extends DurableObject<Env> {
  readonly #sql: SqlStorage;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    migrate(ctx.storage, MIGRATIONS);
  }

  /** Claims each hash that is free. `true` where the hash is now (or was already) this workspace's. */
  claim(hashes: readonly string[], workspace: string): boolean[] {
    assertBounded(hashes);
    return this.ctx.storage.transactionSync(() =>
      hashes.map((hash) => {
        this.#sql.exec("INSERT INTO claims (hash, workspace) VALUES (?, ?) ON CONFLICT DO NOTHING", hash, workspace);
        return this.#ownerOf(hash) === workspace;
      }),
    );
  }

  /** Like `claim`, but changes nothing: `true` where a claim would succeed now. For dry runs. */
  check(hashes: readonly string[], workspace: string): boolean[] {
    assertBounded(hashes);
    return hashes.map((hash) => (this.#ownerOf(hash) ?? workspace) === workspace);
  }

  #ownerOf(hash: string): string | null {
    const row = this.#sql.exec<{ workspace: string }>("SELECT workspace FROM claims WHERE hash = ?", hash).toArray()[0];
    return row?.workspace ?? null;
  }
}

function assertBounded(hashes: readonly string[]): void {
  if (hashes.length > MAX_IMPORT_KEYS) throw new RangeError(`at most ${MAX_IMPORT_KEYS} hashes at once`);
}
