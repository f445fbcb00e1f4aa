import { env } from "cloudflare:workers";
import { afterEach, describe, expect, test, vi } from "vitest";
import { SIGNING_KEY_AHEAD_SECONDS } from "../../src/constants.ts";
import { openControl } from "../support/control-lab.ts";

/** The signing keys as operators see and rotate them. */

const control = openControl();
const AT_HOME = { workspace: "default" };
const POLICY = { algorithm: "ES256", rotationDays: 30 } as const;

afterEach(() => {
  vi.useRealTimers();
});

async function published(): Promise<readonly string[]> {
  const copy = await env.SIGNING_KEYS.getByName("home").copy(POLICY, true);
  return copy?.keys.map(({ kid }) => kid) ?? [];
}

describe("GET /signing-keys", () => {
  test("shows states, times and changes, and no private part", async () => {
    const answered = await control.call("GET", "/signing-keys", AT_HOME);
    expect(answered.status).toBe(200);
    expect(answered.headers.get("Cache-Control")).toBe("no-store");
    expect(answered.body).toMatchObject({ signing: "on", algorithm: "ES256", rotationDays: 30 });
    expect(answered.body["keys"].map(({ state }: { state: string }) => state).toSorted()).toEqual(["current", "next"]);
    expect(answered.body["keys"].map(({ kid }: { kid: string }) => kid).toSorted()).toEqual(
      (await published()).toSorted(),
    );
    expect(answered.body["log"].at(-1)).toMatchObject({ action: "keys.create", actor: { kind: "system" } });
    expect(JSON.stringify(answered.body)).not.toMatch(/"d"|pkcs8|wrapped|PRIVATE/i);
  });

  test("is there in the workspace default alone", async () => {
    for (const [method, path] of [
      ["GET", "/signing-keys"],
      ["POST", "/signing-keys/rotate"],
    ] as const) {
      const answered = await control.call(method, path, method === "POST" ? { body: { emergency: true } } : {});
      expect([path, answered.status, answered.body["code"]]).toEqual([path, 404, "not_found"]);
    }
  });
});

describe("POST /signing-keys/rotate", () => {
  test("409 with a time before the next key has been published for long enough, and then it starts", async () => {
    const before = await published();
    const early = await control.call("POST", "/signing-keys/rotate", AT_HOME);
    expect([early.status, early.body["code"]]).toEqual([409, "conflict"]);
    const { mayRotateFrom } = (await control.call("GET", "/signing-keys", AT_HOME)).body;
    expect(early.body["detail"]).toContain(mayRotateFrom);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + SIGNING_KEY_AHEAD_SECONDS * 1_000 });
    const rotated = await control.call("POST", "/signing-keys/rotate", { ...AT_HOME, body: { reason: "Exercise" } });
    expect(rotated.status).toBe(200);
    expect(rotated.body["effectiveBy"]).toBeNull();
    expect(rotated.body["log"][0]).toMatchObject({
      action: "keys.rotate",
      reason: "Exercise",
      actor: { kind: "root", address: "203.0.113.7" },
    });
    expect((await published()).slice(0, 2)).toEqual(before);
  });

  test("an emergency drops all; a repeat of the same call changes nothing more", async () => {
    const before = await published();
    const call = { ...AT_HOME, headers: { "Idempotency-Key": "emergency-1" }, body: { emergency: true } };
    const first = await control.call("POST", "/signing-keys/rotate", call);
    expect(first.status).toBe(200);
    expect(Date.parse(first.body["effectiveBy"])).toBeGreaterThan(Date.now());
    const after = await published();
    for (const kid of before) expect(after).not.toContain(kid);
    const second = await control.call("POST", "/signing-keys/rotate", call);
    expect([second.status, second.headers.get("Idempotent-Replayed")]).toEqual([200, "true"]);
    expect(second.body).toEqual(first.body);
    expect(await published()).toEqual(after);
    const other = await control.call("POST", "/signing-keys/rotate", { ...call, body: { emergency: false } });
    expect([other.status, other.body["code"]]).toEqual([409, "idempotency_conflict"]);
  });

  test.each([{ emergency: "yes" }, { emergncy: true }, { reason: 1 }])("%j is 400", async (body) => {
    expect((await control.call("POST", "/signing-keys/rotate", { ...AT_HOME, body })).status).toBe(400);
  });

  test("503 when the object is not reached", async () => {
    vi.spyOn(console, "error").mockReturnValue();
    const broken = () => Promise.reject(new Error("down"));
    const cut = openControl({ signingKeys: { status: broken, rotate: broken } });
    expect((await cut.call("GET", "/signing-keys", AT_HOME)).status).toBe(503);
    const write = await cut.call("POST", "/signing-keys/rotate", AT_HOME);
    expect([write.status, write.body["code"]]).toEqual([503, "storage_unavailable"]);
    expect(write.body["detail"]).toContain("may or may not");
  });
});
