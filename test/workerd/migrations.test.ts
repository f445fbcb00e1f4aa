import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { MIGRATIONS as METER } from "../../durable-objects/key-meter/migrations.ts";
import { MIGRATIONS as REGISTRY } from "../../durable-objects/key-registry/migrations.ts";
import { migrate } from "../../durable-objects/migrate.ts";
import { MIGRATIONS as LEDGER } from "../../durable-objects/usage-ledger/migrations.ts";
import { created, hashOf, newKey, openRegistry } from "../support/registry-lab.ts";

/** An object that was written by an older version is brought up to date when it wakes, and keeps what it holds. */

/** What a table or index is made of, as SQLite keeps it. */
type Schema = readonly { readonly name: string; readonly sql: string }[];

function schemaOf(storage: DurableObjectStorage): Schema {
  return storage.sql
    .exec<{ name: string; sql: string }>(
      "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE '\\_cf%' ESCAPE '\\' ORDER BY name",
    )
    .toArray();
}

function versionsOf(storage: DurableObjectStorage): number[] {
  const rows = storage.sql.exec<{ version: number }>("SELECT version FROM migrations ORDER BY version").toArray();
  return rows.map(({ version }) => version);
}

/** Makes the object what the first `count` migrations alone would have left: with nothing in it. */
async function setBack(storage: DurableObjectStorage, migrations: readonly string[], count: number): Promise<void> {
  await storage.deleteAlarm();
  await storage.deleteAll();
  migrate(storage, migrations.slice(0, count));
}

/** A class's name, a fresh object of it, and its migrations. */
const CLASSES = [
  ["KeyRegistry", () => env.KEY_REGISTRY.getByName(crypto.randomUUID()), REGISTRY],
  ["KeyMeter", () => env.KEY_METER.getByName(crypto.randomUUID()), METER],
  ["UsageLedger", () => env.USAGE_LEDGER.getByName(`${crypto.randomUUID()}/0`), LEDGER],
] as const;

describe.each(CLASSES)("%s", (_name, open, migrations) => {
  test("from any older version reaches the schema of a new object, each step once", async () => {
    // The stubs' classes are those of the bindings; the test plugin's types say less.
    await runInDurableObject(open() as never, async (_instance: unknown, { storage }: DurableObjectState) => {
      const wanted = schemaOf(storage);
      expect(wanted.length).toBeGreaterThan(1);
      const all = migrations.map((_, index) => index + 1);
      for (let count = 0; count <= migrations.length; count++) {
        await setBack(storage, migrations, count);
        expect(versionsOf(storage)).toEqual(all.slice(0, count));
        migrate(storage, migrations);
        expect(schemaOf(storage)).toEqual(wanted);
        migrate(storage, migrations);
        expect(versionsOf(storage)).toEqual(all);
      }
    });
  });
});

test("a registry of the first version wakes with its keys, and they can be listed, rotated and revoked", async () => {
  const lab = openRegistry();
  const key = await created(lab, { name: "From the first days", hash: hashOf("first") });
  await lab.inside(async (_instance, { storage }) => {
    const first = schemaOf(storage).length;
    const tables = ["keys", "key_scopes", "key_words"] as const;
    const rows = storage.sql.exec("SELECT * FROM keys").toArray();
    await setBack(storage, REGISTRY, 1);
    expect(schemaOf(storage).length).toBeLessThan(first);
    // Without the generated columns, which cannot be written, and those of later versions.
    const columns = storage.sql.exec<{ name: string }>("SELECT name FROM pragma_table_info('keys')").toArray();
    for (const row of rows) {
      const names = columns.map(({ name }) => name);
      const holes = names.map(() => "?").join(", ");
      storage.sql.exec(`INSERT INTO keys (${names.join(", ")}) VALUES (${holes})`, ...names.map((name) => row[name]));
    }
    expect(tables.map((table) => storage.sql.exec(`SELECT * FROM ${table}`).toArray().length)[0]).toBe(1);
  });
  await evictDurableObject(lab.stub);
  const listed = await lab.api.get(key.id);
  expect(listed).toMatchObject({ ok: true, value: { id: key.id, name: "From the first days", status: "active" } });
  // What the later tables are for works as well: a new key, with its owner, its audit entry and its outbox row.
  const second = await created(lab, newKey({ owner: "newcomer" }));
  expect(await lab.api.get(second.id)).toMatchObject({ ok: true });
  expect((await lab.api.status()).keysByStatus).toMatchObject({ active: 2 });
});

test("a step that fails leaves the object as it was, and says so", async () => {
  const lab = openRegistry();
  await lab.inside((_instance, { storage }) => {
    const before = schemaOf(storage);
    const bad = [...REGISTRY, "CREATE TABLE later (x INTEGER); INSERT INTO nowhere VALUES (1);"];
    expect(() => migrate(storage, bad)).toThrow(/nowhere/);
    expect(schemaOf(storage)).toEqual(before);
    expect(versionsOf(storage)).toHaveLength(REGISTRY.length);
  });
});
