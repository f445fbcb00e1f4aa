import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from "jose";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { KeySetCopy } from "../../durable-objects/signing-keys/api.ts";
import { type KeyPair, makeKeyPair } from "../../durable-objects/signing-keys/key-pair.ts";
import {
  SIGNING_GRACE_MS,
  SIGNING_KEYS_KNOWN_MS,
  SIGNING_KEYS_RENEW_AHEAD_MS,
  SIGNING_KEYS_TTL_MS,
  SIGNING_UNREACHABLE_MEMORY_MS,
  UNKNOWN_KID_PAUSE_MS,
} from "../../src/constants.ts";
import { KeySet } from "../../src/tokens/key-set.ts";

/** What one isolate does with its copy of the signing keys, against an authority that a test plays. */

const START = Date.UTC(2026, 10, 23, 12);
const CLAIMS = { sub: "acme" };

let pairs: readonly [KeyPair, KeyPair, KeyPair];
beforeEach(async () => {
  pairs = [await makeKeyPair("ES256"), await makeKeyPair("ES256"), await makeKeyPair("Ed25519")];
  vi.useFakeTimers({ toFake: ["Date"], now: START });
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** The set with these keys, the first of which signs. */
function copyOf(version: number, ...keys: readonly KeyPair[]): KeySetCopy {
  const [first] = keys;
  return {
    validForMs: SIGNING_KEYS_TTL_MS,
    version,
    keys: keys.map(({ kid, alg, jwk }) => ({ kid, alg, jwk })),
    signing: first === undefined ? null : { kid: first.kid, alg: first.alg, pkcs8: first.pkcs8 },
    signingOff: first === undefined ? "secret_missing" : null,
  };
}

function isolate(first: KeySetCopy) {
  const authority = { copy: first, isDown: false, hangs: false, asked: 0, askedFresh: 0 };
  const background: Promise<unknown>[] = [];
  const set = new KeySet(
    async (_policy, fresh) => {
      authority.asked += 1;
      if (fresh) authority.askedFresh += 1;
      await (authority.hangs ? new Promise(() => undefined) : Promise.resolve());
      if (authority.isDown) throw new Error("down");
      return authority.copy;
    },
    { algorithm: "ES256", rotationDays: 30 },
  );
  const waitUntil = (work: Promise<unknown>): void => void background.push(work);
  return { authority, background, set, waitUntil };
}

function later(ms: number): void {
  vi.setSystemTime(Date.now() + ms);
}

function muted(): void {
  vi.spyOn(console, "error").mockImplementation(() => undefined);
}

describe("while the copy stands", () => {
  test("a thousand signatures and look-ups ask once", async () => {
    const { authority, set, waitUntil } = isolate(copyOf(1, pairs[0], pairs[1]));
    for (let index = 0; index < 1_000; index++) {
      expect((await set.find(pairs[0].kid, waitUntil)).ok).toBe(true);
      expect(set.stands(pairs[0].kid, Date.now(), waitUntil)).toBe(true);
    }
    const signed = await set.sign("at+jwt", CLAIMS, waitUntil);
    const published = await set.published(waitUntil);
    expect(authority.asked).toBe(1);
    if (!signed.ok || !published.ok) throw new Error("not available");
    expect(decodeProtectedHeader(signed.value)).toEqual({ alg: "ES256", kid: pairs[0].kid, typ: "at+jwt" });
    const { payload } = await jwtVerify(signed.value, createLocalJWKSet(published.value), { typ: "at+jwt" });
    expect(payload).toEqual(CLAIMS);
  });

  test("it is renewed ahead of its end, once, in the background: nobody waits", async () => {
    const { authority, background, set, waitUntil } = isolate(copyOf(1, pairs[0]));
    await set.find(pairs[0].kid, waitUntil);
    later(SIGNING_KEYS_TTL_MS - SIGNING_KEYS_RENEW_AHEAD_MS);
    expect(set.stands(pairs[0].kid, Date.now(), waitUntil)).toBe(true);
    expect(background).toHaveLength(0);
    later(1);
    for (let index = 0; index < 10; index++) expect(set.stands(pairs[0].kid, Date.now(), waitUntil)).toBe(true);
    expect(background).toHaveLength(1);
    await Promise.all(background);
    later(SIGNING_KEYS_RENEW_AHEAD_MS);
    expect(set.stands(pairs[0].kid, Date.now(), waitUntil)).toBe(true);
    expect(authority.asked).toBe(2);
  });

  test("a name that it does not know is asked for afresh, once in a while, whoever makes up how many", async () => {
    const { authority, set, waitUntil } = isolate(copyOf(1, pairs[0]));
    await set.find(pairs[0].kid, waitUntil);
    authority.copy = copyOf(2, pairs[1]);
    expect(await set.find(pairs[1].kid, waitUntil)).toMatchObject({ ok: true, value: { alg: "ES256" } });
    for (let index = 0; index < 100; index++)
      expect(await set.find(`made-up-${index}`, waitUntil)).toEqual({ ok: true, value: null });
    expect(authority.askedFresh).toBe(1);
    later(UNKNOWN_KID_PAUSE_MS);
    expect(await set.find("made-up", waitUntil)).toEqual({ ok: true, value: null });
    expect(authority.askedFresh).toBe(2);
  });
});

describe("a key that was dropped", () => {
  test("stands no more once the copy has ended", async () => {
    const { authority, set, waitUntil } = isolate(copyOf(1, pairs[0]));
    await set.find(pairs[0].kid, waitUntil);
    authority.copy = copyOf(2, pairs[1]);
    later(SIGNING_KEYS_TTL_MS);
    expect(set.stands(pairs[0].kid, Date.now(), waitUntil)).toBeNull();
    expect(await set.find(pairs[0].kid, waitUntil)).toEqual({ ok: true, value: null });
    expect(set.stands(pairs[0].kid, Date.now(), waitUntil)).toBe(false);
  });

  test("does not come back with an answer that was overtaken", async () => {
    const { authority, set, waitUntil } = isolate(copyOf(2, pairs[1]));
    await set.find(pairs[1].kid, waitUntil);
    later(SIGNING_KEYS_TTL_MS);
    authority.copy = copyOf(1, pairs[0]);
    expect(await set.find(pairs[0].kid, waitUntil)).not.toMatchObject({ value: { alg: "ES256" } });
    expect(set.stands(pairs[0].kid, Date.now(), waitUntil)).not.toBe(true);
  });

  test("does not stand by a clock that was set back", async () => {
    const { set, waitUntil } = isolate(copyOf(1, pairs[0]));
    await set.find(pairs[0].kid, waitUntil);
    later(-60_000);
    expect(set.stands(pairs[0].kid, Date.now(), waitUntil)).toBeNull();
  });
});

describe("when nobody can be asked", () => {
  test("known keys go on verifying, for an hour; signing ends after a short grace", async () => {
    muted();
    const { authority, set, waitUntil } = isolate(copyOf(1, pairs[0]));
    await set.find(pairs[0].kid, waitUntil);
    authority.isDown = true;
    later(SIGNING_KEYS_TTL_MS);
    expect(await set.find(pairs[0].kid, waitUntil)).toMatchObject({ ok: true, value: { alg: "ES256" } });
    expect((await set.published(waitUntil)).ok).toBe(true);
    expect((await set.sign("at+jwt", CLAIMS, waitUntil)).ok).toBe(true);
    later(SIGNING_GRACE_MS);
    expect(await set.sign("at+jwt", CLAIMS, waitUntil)).toEqual({ ok: false, error: "unavailable" });
    expect((await set.find(pairs[0].kid, waitUntil)).ok).toBe(true);
    later(SIGNING_KEYS_KNOWN_MS - SIGNING_GRACE_MS - 1);
    expect((await set.find(pairs[0].kid, waitUntil)).ok).toBe(true);
    later(1);
    expect(await set.find(pairs[0].kid, waitUntil)).toEqual({ ok: false, error: "unavailable" });
    expect(await set.published(waitUntil)).toEqual({ ok: false, error: "unavailable" });
    authority.isDown = false;
    later(SIGNING_UNREACHABLE_MEMORY_MS);
    expect((await set.sign("at+jwt", CLAIMS, waitUntil)).ok).toBe(true);
  });

  test("one request finds out and the others do not wait for it; an unknown key is not called wrong", async () => {
    muted();
    const { authority, set, waitUntil } = isolate(copyOf(1, pairs[0]));
    await set.find(pairs[0].kid, waitUntil);
    authority.isDown = true;
    later(SIGNING_KEYS_TTL_MS);
    expect(set.stands(pairs[0].kid, Date.now(), waitUntil)).toBeNull();
    await set.find(pairs[0].kid, waitUntil);
    const asked = authority.asked;
    for (let index = 0; index < 100; index++) {
      expect(set.stands(pairs[0].kid, Date.now(), waitUntil)).toBe(true);
      expect((await set.find(pairs[0].kid, waitUntil)).ok).toBe(true);
    }
    expect(set.stands(pairs[1].kid, Date.now(), waitUntil)).toBeNull();
    expect(await set.find(pairs[1].kid, waitUntil)).toEqual({ ok: false, error: "unavailable" });
    expect(authority.asked).toBe(asked);
    later(SIGNING_UNREACHABLE_MEMORY_MS);
    expect(set.stands(pairs[0].kid, Date.now(), waitUntil)).toBeNull();
  });

  test("from the start, nothing is verified and nothing is signed", async () => {
    muted();
    const { authority, set, waitUntil } = isolate(copyOf(1, pairs[0]));
    authority.isDown = true;
    expect(set.stands(pairs[0].kid, Date.now(), waitUntil)).toBeNull();
    expect(await set.find(pairs[0].kid, waitUntil)).toEqual({ ok: false, error: "unavailable" });
    expect(await set.sign("at+jwt", CLAIMS, waitUntil)).toEqual({ ok: false, error: "unavailable" });
  });

  test("a renewal that was cut off with its request is made up for at the copy's end", async () => {
    const { authority, background, set, waitUntil } = isolate(copyOf(1, pairs[0]));
    await set.find(pairs[0].kid, waitUntil);
    later(SIGNING_KEYS_TTL_MS - 1);
    authority.hangs = true;
    expect(set.stands(pairs[0].kid, Date.now(), waitUntil)).toBe(true);
    expect(background).toHaveLength(1);
    later(1);
    authority.hangs = false;
    expect((await set.find(pairs[0].kid, waitUntil)).ok).toBe(true);
    expect(set.stands(pairs[0].kid, Date.now(), waitUntil)).toBe(true);
  });
});

test("without a secret nothing is signed, and what is published is still known", async () => {
  const { set, waitUntil } = isolate({ ...copyOf(1, pairs[0]), signing: null, signingOff: "secret_unknown" });
  expect(await set.sign("at+jwt", CLAIMS, waitUntil)).toEqual({ ok: false, error: "unavailable" });
  expect((await set.find(pairs[0].kid, waitUntil)).ok).toBe(true);
});

test.each(["ES256", "Ed25519", "RS256"] as const)(
  "%s: what is signed verifies, and the private key cannot be taken out",
  async (alg) => {
    const pair = await makeKeyPair(alg);
    const importKey = vi.spyOn(crypto.subtle, "importKey");
    const { set, waitUntil } = isolate(copyOf(1, pair));
    const signed = await set.sign("at+jwt", CLAIMS, waitUntil);
    const published = await set.published(waitUntil);
    if (!signed.ok || !published.ok) throw new Error("not available");
    await jwtVerify(signed.value, createLocalJWKSet(published.value), { algorithms: [alg] });
    const privately = importKey.mock.calls.filter(([format]) => format === "pkcs8");
    expect(privately.map(([, , , extractable]) => extractable)).toEqual([false]);
  },
);
