import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bearer } from "../support/control.ts";
import { startServer } from "../support/server.ts";
import type { Server } from "../support/server.ts";

/** `latchkey` against the real control API: what it sends is understood, and what comes back is printed. */

const PROGRAM = path.resolve(import.meta.dirname, "../../scripts/latchkey.mjs");

let server: Server;
let directory: string;
beforeAll(async () => {
  server = await startServer();
  directory = await mkdtemp(path.join(tmpdir(), "latchkey-cli-"));
});
afterAll(async () => {
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function latchkey(...args: readonly string[]): Promise<Ran> {
  const env = { ...process.env, NO_COLOR: "1", LATCHKEY_URL: server.url, LATCHKEY_TOKEN: server.rootToken };
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [PROGRAM, ...args],
      { env, cwd: directory, timeout: 20_000 },
      (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
      },
    );
  });
}

/** The API's own JSON, of a command that must succeed. */
async function json(...args: readonly string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await latchkey(...args, "--json");
  expect(code, `${args.join(" ")}: ${stderr}`).toBe(0);
  return JSON.parse(stdout) as Record<string, unknown>; // what it holds is for assertions to say
}

const statusOf = async (key: string) => (await fetch(`${server.url}/x`, { headers: bearer(key) })).status;
const NEW = ["--owner", "acme", "-e", "live", "--name", "By hand", "--scope", "reports:read"];

test("a key is issued, found, changed, rotated, stopped, started and revoked by hand", async () => {
  const made = await json("keys", "create", ...NEW, "--limit", "burst=100/minute", "--tag", "cli", "--expires", "90d");
  expect(made).toMatchObject({ owner: "acme", environment: "live", status: "active", tags: ["cli"] });
  expect(made["limits"]).toEqual([{ name: "burst", limit: 100, window: "minute", kind: "rate" }]);
  const [id, key] = [String(made["id"]), String(made["key"])];
  expect(await statusOf(key)).toBe(200);

  expect((await json("keys", "list", "--tag", "cli"))["data"]).toMatchObject([{ id }]);
  expect(await json("keys", "update", id, "--name", "Renamed")).toMatchObject({ name: "Renamed", generation: 2 });
  expect(await json("keys", "show", id)).toMatchObject({ id, name: "Renamed" });

  const fresh = await json("keys", "rotate", id, "--overlap", "1h");
  expect(fresh).toMatchObject({ rotatedFrom: id, lineageId: made["lineageId"] });
  expect(await json("keys", "show", id)).toMatchObject({ status: "rotating" });
  expect(await statusOf(String(fresh["key"]))).toBe(200);

  expect(await json("keys", "disable", String(fresh["id"]))).toMatchObject({ status: "disabled" });
  expect(await json("keys", "enable", String(fresh["id"]))).toMatchObject({ status: "active" });
  expect(await json("keys", "revoke", id, "--reason", "retired", "--yes")).toMatchObject({ status: "revoked" });
  await expect.poll(() => statusOf(key), { timeout: 6_000 }).toBe(401);
  expect(await statusOf(String(fresh["key"]))).toBe(200);
});

test("into a pipe a new key goes alone, and a table never holds one", async () => {
  const { code, stdout } = await latchkey("keys", "create", ...NEW);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^lk_live_[0-9A-Za-z]{38}\n$/);
  expect(await statusOf(stdout.trim())).toBe(200);
  const listed = await latchkey("keys", "list");
  expect(listed.stdout).toContain("By hand");
  expect(listed.stdout).not.toMatch(/lk_live_[0-9A-Za-z]{38}/);
});

test("a file of hashes is imported, after a dry run that changes nothing", async () => {
  const foreign = `legacy-${randomBytes(12).toString("hex")}`;
  const file = path.join(directory, "keys.csv");
  const hash = createHash("sha256").update(foreign).digest("hex");
  await writeFile(file, `hash,name,owner,environment,scopes\n${hash},Old one,acme,live,reports:read charges:write\n`);
  await json("keys", "import", file, "--dry-run");
  expect(await statusOf(foreign)).toBe(401);
  await json("keys", "import", file);
  // It was tried before: at most 30 s, as the contract says.
  await expect.poll(() => statusOf(foreign), { timeout: 31_000, interval: 500 }).toBe(200);
});

test("owners, usage and the audit trail are shown, and the trail's chain holds", async () => {
  await json("owners", "set", "acme", "--limit", "owner-daily=1000/day:quota");
  expect(await json("owners", "show", "acme")).toMatchObject({ id: "acme", limits: [{ name: "owner-daily" }] });
  expect(await json("owners", "disable", "acme")).toMatchObject({ delivery: "delivered", keys: { active: 0 } });
  expect((await latchkey("owners", "list")).stdout).toMatch(/DISABLED\n(?:.*\n)*acme .* \d{4}-\d{2}-\d{2}T/);
  const started = await json("owners", "enable", "acme");
  expect(started).toMatchObject({ delivery: "delivered", limits: [{ name: "owner-daily" }] });
  expect(started).not.toHaveProperty("disabledAt");
  const usage = await json("usage", "--group-by", "owner", "--owner", "acme");
  expect(usage).toHaveProperty("totals.requests");
  const trail = await json("audit", "--action", "owner.put");
  expect(Array.isArray(trail["data"])).toBe(true);
  expect(await json("audit", "verify")).toMatchObject({ valid: true });
});

test("what the API refuses ends with 1, its code and its request; a server that is not there with 3", async () => {
  const refused = await latchkey("keys", "show", "key_00000000000000000000000000");
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(/not_found/);
  expect(refused.stderr).toMatch(/req_/);
  const bad = await latchkey("keys", "create", ...NEW, "--plan", "huge");
  expect(bad.code).toBe(1);
  expect(bad.stderr).toContain("plan");
  const nobody = await latchkey("keys", "list", "--url", "http://127.0.0.1:1");
  expect(nobody.code).toBe(3);
});

test("the use of each key format is reported: by prefix, and of imported keys", async () => {
  const legacy = `legacy-${randomBytes(16).toString("hex")}`;
  const file = path.join(directory, "legacy.json");
  const value = createHash("sha256").update(legacy).digest("hex");
  const one = { name: "Old", owner: "formats", environment: "live", scopes: ["reports:read"] };
  await writeFile(file, JSON.stringify([{ ...one, hash: { algorithm: "sha256", encoding: "hex", value } }]));
  expect((await latchkey("keys", "import", file)).code).toBe(0);
  const own = String((await json("keys", "create", ...NEW))["key"]);
  for (const key of [legacy, legacy, legacy, own]) expect(await statusOf(key)).toBe(200);
  const imported = async () => {
    const { formats } = (await json("usage", "formats")) as { formats: Record<string, unknown>[] };
    expect(formats.find(({ format }) => format === "lk")).toMatchObject({ keysUsed: expect.any(Number) });
    return formats.find(({ format }) => format === "imported");
  };
  // Other tests of this file use an imported key too.
  await expect
    .poll(async () => Number((await imported())?.["allowed"]), { timeout: 15_000, interval: 500 })
    .toBeGreaterThanOrEqual(3);
  expect((await latchkey("usage", "formats")).stdout).toMatch(/^FORMAT +KEYS +KEYS USED +REQUESTS/);
});
