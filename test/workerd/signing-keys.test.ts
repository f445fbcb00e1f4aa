import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { calculateJwkThumbprint, createLocalJWKSet, importPKCS8, type JWK, jwtVerify, SignJWT } from "jose";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { KeySetCopy, RotateCall, SigningPolicy } from "../../durable-objects/signing-keys/api.ts";
import { replicaName } from "../../durable-objects/signing-keys/client.ts";
import { SigningHome } from "../../durable-objects/signing-keys/home.ts";
import { MIGRATIONS } from "../../durable-objects/signing-keys/migrations.ts";
import { migrate } from "../../durable-objects/migrate.ts";
import { SIGNING_KEY_AHEAD_SECONDS, SIGNING_KEY_RETIRED_SECONDS, SIGNING_KEYS_TTL_MS } from "../../src/constants.ts";

/** The signing keys' objects: what is published when, and what becomes of private parts. */

const ES256: SigningPolicy = { algorithm: "ES256", rotationDays: 30 };
const DAY_MS = 86_400_000;
const START = Date.UTC(2026, 10, 23, 12);
const SECRETS = { first: "1".repeat(32), second: "2".repeat(32), third: "3".repeat(32) };

const ACTOR = { kind: "root", id: "root", address: null, requestId: null } as const;

function rotation(changes: Partial<RotateCall> = {}): RotateCall {
  return { emergency: false, reason: null, policy: ES256, actor: ACTOR, idempotency: null, ...changes };
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: START });
});
afterEach(() => {
  vi.useRealTimers();
});

function later(ms: number): void {
  vi.setSystemTime(Date.now() + ms);
}

let made = 0;
/** An authority over the storage of an object that is its own, as if it had just started with these secrets. */
function homeOver() {
  made += 1;
  // Any object has SQLite; a replica's is empty.
  const stub = env.SIGNING_KEYS.getByName(`test/${made}`);
  let alarmAt: number | null = null;
  const inObject = <T>(secrets: Secrets, work: (home: SigningHome, storage: DurableObjectStorage) => Promise<T>) =>
    runInDurableObject(stub, async (_instance, { storage }) => {
      migrate(storage, MIGRATIONS);
      const parts = { sql: storage.sql, transactionSync: storage.transactionSync.bind(storage) };
      const setAlarm = (at: number | Date): Promise<void> => {
        alarmAt = Number(at);
        return Promise.resolve();
      };
      return await work(new SigningHome({ storage: { ...parts, setAlarm }, ...secrets }), storage);
    });
  return { inObject, alarmAt: () => alarmAt };
}

interface Secrets {
  readonly secret: string | undefined;
  readonly previousSecret: string | undefined;
}

const FIRST: Secrets = { secret: SECRETS.first, previousSecret: undefined };

async function signWith(copy: KeySetCopy): Promise<string> {
  if (copy.signing === null) throw new Error("nothing to sign with");
  const { kid, alg, pkcs8 } = copy.signing;
  const pem = `-----BEGIN PRIVATE KEY-----\n${Buffer.from(pkcs8).toString("base64")}\n-----END PRIVATE KEY-----`;
  return await new SignJWT({ sub: "acme" }).setProtectedHeader({ alg, kid }).sign(await importPKCS8(pem, alg));
}

async function verifies(token: string, copy: KeySetCopy): Promise<boolean> {
  const keys = copy.keys.map(({ jwk }): JWK => ({ ...jwk }));
  try {
    await jwtVerify(token, createLocalJWKSet({ keys }));
    return true;
  } catch {
    return false;
  }
}

function states(keys: readonly { readonly kid: string; readonly state: string }[]): Record<string, string> {
  return Object.fromEntries(keys.map(({ kid, state }) => [kid, state]));
}

describe("a new home", () => {
  test.each(["ES256", "Ed25519", "RS256"] as const)(
    "makes two %s keys: one that signs, one that is published ahead",
    async (algorithm) => {
      const copy = await homeOver().inObject(FIRST, (home) => home.copy({ algorithm, rotationDays: 30 }));
      expect(copy.keys).toHaveLength(2);
      expect(copy.signing?.kid).toBe(copy.keys[0]?.kid);
      expect(copy.signingOff).toBeNull();
      expect(copy.validForMs).toBe(SIGNING_KEYS_TTL_MS);
      for (const { kid, alg, jwk } of copy.keys) {
        expect(alg).toBe(algorithm);
        // RFC 7638, and RFC 7517 §4: the name, the use, nothing private.
        expect(kid).toBe(await calculateJwkThumbprint({ ...jwk }));
        expect(jwk).toMatchObject({ kid, alg: algorithm, use: "sig" });
        for (const secretMember of ["d", "p", "q", "dp", "dq", "qi", "k"]) expect(jwk).not.toHaveProperty(secretMember);
      }
      expect(await verifies(await signWith(copy), copy)).toBe(true);
    },
  );

  test("asked by many at once makes two keys, and no more", async () => {
    const { inObject } = homeOver();
    const copies = await inObject(FIRST, (home) => Promise.all(Array.from({ length: 20 }, () => home.copy(ES256))));
    expect(new Set(copies.map(({ signing }) => signing?.kid)).size).toBe(1);
    const { keys, log } = await inObject(FIRST, (home) => home.status(ES256));
    expect(keys.map(({ state }) => state).toSorted()).toEqual(["current", "next"]);
    expect(log.map(({ action }) => action)).toEqual(["keys.create"]);
  });
});

describe("rotation", () => {
  test("by age: the published next key starts, its successor is published, the old one verifies until its last token is over", async () => {
    const { inObject, alarmAt } = homeOver();
    const before = await inObject(FIRST, (home) => home.copy(ES256));
    const [current = "", next = ""] = before.keys.map(({ kid }) => kid);
    const token = await signWith(before);
    expect(alarmAt()).toBe(START + 30 * DAY_MS);

    later(30 * DAY_MS - 1);
    await inObject(FIRST, (home) => home.tend());
    expect((await inObject(FIRST, (home) => home.copy(ES256))).signing?.kid).toBe(current);

    later(1);
    await inObject(FIRST, (home) => home.tend());
    const after = await inObject(FIRST, (home) => home.copy(ES256));
    expect(after.signing?.kid).toBe(next);
    expect(after.keys).toHaveLength(3);
    expect(after.version).toBeGreaterThan(before.version);
    expect(await verifies(token, after)).toBe(true);
    expect(alarmAt()).toBe(Date.now() + SIGNING_KEY_RETIRED_SECONDS * 1_000);

    later(SIGNING_KEY_RETIRED_SECONDS * 1_000);
    // Twice: an alarm may run again.
    await inObject(FIRST, (home) => home.tend());
    await inObject(FIRST, (home) => home.tend());
    const cleared = await inObject(FIRST, (home) => home.copy(ES256));
    expect(cleared.keys.map(({ kid }) => kid)).not.toContain(current);
    expect(await verifies(token, cleared)).toBe(false);
    const { keys, log } = await inObject(FIRST, (home) => home.status(ES256));
    expect(states(keys)[current]).toBe("removed");
    expect(log.map(({ action }) => action)).toEqual(["keys.remove", "keys.rotate", "keys.create"]);
  });

  test("a key that signs no more has no private part in storage", async () => {
    const { inObject } = homeOver();
    await inObject(FIRST, (home) => home.copy(ES256));
    later(SIGNING_KEY_AHEAD_SECONDS * 1_000);
    await inObject(FIRST, (home) => home.rotate(rotation()));
    const rows = await inObject(FIRST, (_home, storage) =>
      Promise.resolve(
        storage.sql.exec<{ state: string }>("SELECT state FROM keys WHERE wrapped IS NOT NULL").toArray(),
      ),
    );
    expect(rows.map(({ state }) => state).toSorted()).toEqual(["current", "next"]);
  });

  test("by hand: not before the next key has been published for as long as caches keep, and then at once", async () => {
    const { inObject } = homeOver();
    const before = await inObject(FIRST, (home) => home.copy(ES256));
    later(SIGNING_KEY_AHEAD_SECONDS * 1_000 - 1);
    expect(await inObject(FIRST, (home) => home.rotate(rotation()))).toEqual({
      ok: false,
      error: { code: "too_early", from: START + SIGNING_KEY_AHEAD_SECONDS * 1_000 },
    });
    later(1);
    const rotated = await inObject(FIRST, (home) => home.rotate(rotation({ reason: "drill" })));
    expect(rotated).toMatchObject({ ok: true, value: { effectiveBy: null, replayed: false } });
    const after = await inObject(FIRST, (home) => home.copy(ES256));
    expect(after.signing?.kid).toBe(before.keys[1]?.kid);
    const { log } = await inObject(FIRST, (home) => home.status(ES256));
    expect(log[0]).toMatchObject({ action: "keys.rotate", actor: ACTOR, reason: "drill", time: Date.now() });
  });

  test("in an emergency: all keys are dropped at once, and two new ones made", async () => {
    const { inObject } = homeOver();
    const before = await inObject(FIRST, (home) => home.copy(ES256));
    const token = await signWith(before);
    const rotated = await inObject(FIRST, (home) => home.rotate(rotation({ emergency: true })));
    expect(rotated).toMatchObject({ ok: true, value: { effectiveBy: Date.now() + SIGNING_KEYS_TTL_MS } });
    const after = await inObject(FIRST, (home) => home.copy(ES256));
    expect(after.keys).toHaveLength(2);
    expect(await verifies(token, after)).toBe(false);
    expect(await verifies(await signWith(after), after)).toBe(true);
  });

  test("repeated with the same idempotency key changes nothing more; with another request it is a conflict", async () => {
    const { inObject } = homeOver();
    const call = rotation({ emergency: true, idempotency: { key: "root/1", fingerprint: "a" } });
    const first = await inObject(FIRST, (home) => home.rotate(call));
    later(60_000);
    const second = await inObject(FIRST, (home) => home.rotate(call));
    expect(second).toEqual(first.ok ? { ok: true, value: { ...first.value, replayed: true } } : null);
    const other = { ...call, idempotency: { key: "root/1", fingerprint: "b" } };
    expect(await inObject(FIRST, (home) => home.rotate(other))).toEqual({
      ok: false,
      error: { code: "idempotency_conflict" },
    });
  });

  test("to another algorithm: a next key of it is published first, and starts as soon as caches have heard of it", async () => {
    const { inObject } = homeOver();
    const before = await inObject(FIRST, (home) => home.copy(ES256));
    const policy: SigningPolicy = { algorithm: "Ed25519", rotationDays: 30 };
    later(DAY_MS);
    const announced = await inObject(FIRST, (home) => home.copy(policy));
    expect(announced.signing?.alg).toBe("ES256");
    expect(announced.keys.map(({ alg }) => alg)).toEqual(["ES256", "Ed25519"]);
    // A deployment of before, still about for a moment, does not replace it again.
    expect((await inObject(FIRST, (home) => home.copy(ES256))).keys).toEqual(announced.keys);
    later(SIGNING_KEY_AHEAD_SECONDS * 1_000);
    const changed = await inObject(FIRST, (home) => home.copy(policy));
    expect(changed.signing?.alg).toBe("Ed25519");
    expect(await verifies(await signWith(before), changed)).toBe(true);
    expect(await verifies(await signWith(changed), announced)).toBe(true);
  });
});

describe("the secret", () => {
  test("is nowhere in storage, nor is an opened private part", async () => {
    const { inObject } = homeOver();
    const copy = await inObject(FIRST, (home) => home.copy(ES256));
    const dump = await inObject(FIRST, (_home, { sql }) => {
      const tables = sql.exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table'").toArray();
      const rows = tables
        .filter(({ name }) => !name.startsWith("_cf_"))
        .flatMap(({ name }) => sql.exec(`SELECT * FROM ${name}`).toArray());
      return Promise.resolve(
        rows
          .flatMap((row) => Object.values(row))
          .map(toLatin1)
          .join("\n"),
      );
    });
    const pkcs8 = Buffer.from(copy.signing?.pkcs8 ?? new ArrayBuffer(0));
    expect(pkcs8.length).toBeGreaterThan(60);
    expect(dump).not.toContain(SECRETS.first);
    // The scalar of RFC 5915 stands from byte 36 on.
    expect(dump).not.toContain(pkcs8.subarray(36, 68).toString("latin1"));
    expect(dump).toContain(copy.signing?.kid);
  });

  test.each([undefined, "", "s".repeat(31)])(
    "missing or too short (%s): nothing is made, signing is off",
    async (secret) => {
      const { inObject } = homeOver();
      const copy = await inObject({ secret, previousSecret: undefined }, (home) => home.copy(ES256));
      expect(copy).toMatchObject({ keys: [], signing: null, signingOff: "secret_missing" });
      const refused = await inObject({ secret, previousSecret: undefined }, (home) =>
        home.rotate(rotation({ emergency: true })),
      );
      expect(refused).toEqual({ ok: false, error: { code: "signing_off", why: "secret_missing" } });
      // It heals as soon as there is one.
      expect((await inObject(FIRST, (home) => home.copy(ES256))).signing).not.toBeNull();
    },
  );

  test("replaced: what the previous one wrapped goes on, is wrapped anew, and needs the previous one no more", async () => {
    const { inObject } = homeOver();
    const before = await inObject(FIRST, (home) => home.copy(ES256));
    const both = { secret: SECRETS.second, previousSecret: SECRETS.first };
    const during = await inObject(both, (home) => home.copy(ES256));
    expect(during.signing?.kid).toBe(before.signing?.kid);
    const alone = { secret: SECRETS.second, previousSecret: undefined };
    const after = await inObject(alone, (home) => home.copy(ES256));
    expect(after.signing?.kid).toBe(before.signing?.kid);
    expect(await verifies(await signWith(after), before)).toBe(true);
    const { log } = await inObject(alone, (home) => home.status(ES256));
    expect(log.map(({ action }) => action)).toEqual(["keys.rewrap", "keys.create"]);
    // The first one opens nothing any more.
    expect((await inObject(FIRST, (home) => home.copy(ES256))).signingOff).toBe("secret_unknown");
  });

  test("replaced halfway: signing stops, what is published stays, nothing is lost; the old secret heals it", async () => {
    const { inObject } = homeOver();
    const before = await inObject(FIRST, (home) => home.copy(ES256));
    const lost = { secret: SECRETS.second, previousSecret: SECRETS.third };
    const during = await inObject(lost, (home) => home.copy(ES256));
    expect(during).toMatchObject({ keys: before.keys, signing: null, signingOff: "secret_unknown" });
    expect(await inObject(lost, (home) => home.rotate(rotation()))).toMatchObject({
      ok: false,
      error: { code: "signing_off" },
    });
    // Not even when it is time: a key that cannot sign must not become the one that does.
    later(40 * DAY_MS);
    await inObject(lost, (home) => home.tend());
    expect((await inObject(lost, (home) => home.copy(ES256))).keys).toEqual(before.keys);
    vi.setSystemTime(START);
    expect((await inObject(FIRST, (home) => home.copy(ES256))).signing?.kid).toBe(before.signing?.kid);
  });

  test("replaced halfway: an emergency rotation makes keys under the present one", async () => {
    const { inObject } = homeOver();
    await inObject(FIRST, (home) => home.copy(ES256));
    const lost = { secret: SECRETS.second, previousSecret: undefined };
    expect((await inObject(lost, (home) => home.rotate(rotation({ emergency: true })))).ok).toBe(true);
    const after = await inObject(lost, (home) => home.copy(ES256));
    expect(after.signingOff).toBeNull();
    expect(await verifies(await signWith(after), after)).toBe(true);
  });

  test.each([
    [
      "its bytes changed",
      "UPDATE keys SET wrapped = CAST(substr(wrapped, 1, 60) || x'00' || substr(wrapped, 62) AS BLOB)",
    ],
    ["its nonce changed", "UPDATE keys SET iv = x'000000000000000000000000'"],
    [
      "taken from another row",
      "UPDATE keys SET wrapped = o.wrapped, iv = o.iv FROM keys AS o WHERE o.state = 'next' AND keys.state = 'current'",
    ],
  ])("does not open a private part with %s", async (_what, tamper) => {
    const { inObject } = homeOver();
    await inObject(FIRST, (home) => home.copy(ES256));
    const copy = await inObject(FIRST, (home, { sql }) => {
      sql.exec(tamper);
      return home.copy(ES256);
    });
    expect(copy).toMatchObject({ signing: null, signingOff: "damaged" });
  });
});

function toLatin1(value: unknown): string {
  return value instanceof ArrayBuffer ? Buffer.from(value).toString("latin1") : String(value);
}

describe("the object", () => {
  test("home and its replicas answer alike, a replica writes nothing, and an eviction loses nothing", async () => {
    vi.useRealTimers();
    const home = env.SIGNING_KEYS.getByName("home");
    const replica = env.SIGNING_KEYS.getByName(replicaName("FRA"));
    const [fromHome, fromReplica] = [await home.copy(ES256, false), await replica.copy(ES256, false)];
    expect(fromReplica?.keys).toEqual(fromHome?.keys);
    expect(fromReplica?.signing?.kid).toBe(fromHome?.signing?.kid);
    expect(fromReplica?.validForMs).toBeLessThanOrEqual(SIGNING_KEYS_TTL_MS);
    const tables = await runInDurableObject(replica, (_instance, { storage }) =>
      storage.sql.exec("SELECT name FROM sqlite_master WHERE name NOT LIKE '\\_cf%' ESCAPE '\\'").toArray(),
    );
    expect(tables).toEqual([]);
    await evictDurableObject(home);
    await evictDurableObject(replica);
    expect((await replica.copy(ES256, false))?.keys).toEqual(fromHome?.keys);
  });

  test("an emergency rotation reaches a replica when its copy ends, and at once when it is asked for a fresh one", async () => {
    const home = env.SIGNING_KEYS.getByName("home");
    const replica = env.SIGNING_KEYS.getByName(replicaName("CDG"));
    const before = await replica.copy(ES256, false);
    await home.rotate(rotation({ emergency: true }));
    later(1_000);
    expect((await replica.copy(ES256, false))?.keys).toEqual(before?.keys);
    const fresh = await replica.copy(ES256, true);
    expect(fresh?.keys).not.toEqual(before?.keys);
    await home.rotate(rotation({ emergency: true }));
    later(SIGNING_KEYS_TTL_MS);
    expect((await replica.copy(ES256, false))?.keys).not.toEqual(fresh?.keys);
  });

  test("its alarm rotates, and may run twice", async () => {
    const home = env.SIGNING_KEYS.getByName("home");
    const before = await home.copy(ES256, false);
    later(31 * DAY_MS);
    expect(await runDurableObjectAlarm(home)).toBe(true);
    await runDurableObjectAlarm(home);
    const after = await home.copy(ES256, false);
    expect(after?.signing?.kid).toBe(before?.keys.at(-1)?.kid);
  });
});
