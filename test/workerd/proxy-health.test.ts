import { env } from "cloudflare:workers";
import { beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { missingBindings } from "../../src/platform/bindings.ts";
import { checkReadiness, healthz, readyz } from "../../src/platform/health.ts";

beforeEach(() => {
  vi.spyOn(console, "warn").mockReturnValue();
});

/** The real bindings, but for some. */
function without(changes: Readonly<Record<string, unknown>>): Env {
  return { ...env, ...changes }; // deliberately not what Env promises
}

const broken = { get: () => Promise.reject(new Error("secret words of the store")) };
const silent = { get: () => new Promise(() => undefined) };
const failingObjects = { getByName: () => new Proxy({}, { get: () => () => Promise.reject(new Error("down")) }) };

describe("readiness", () => {
  // Objects that wake for the first time load their code, which may take longer than a check waits.
  beforeAll(() => checkReadiness(env));

  test("asks each dependency, with its latency", async () => {
    const { status, checks } = await checkReadiness(env);
    expect(status).toBe("ok");
    expect(Object.keys(checks).sort()).toEqual(["keys", "ledger", "meter", "queue", "registry", "signing"]);
    for (const { state, latencyMs } of Object.values(checks)) {
      expect(state).toBe("up");
      expect(latencyMs).toBeGreaterThanOrEqual(0);
    }
  });

  test.each([
    ["KEYS", "keys", broken, "down"],
    ["KEY_METER", "meter", failingObjects, "down"],
    ["KEY_REGISTRY", "registry", failingObjects, "degraded"],
    ["USAGE_LEDGER", "ledger", failingObjects, "degraded"],
    ["USAGE", "queue", {}, "degraded"],
    ["SIGNING_KEYS", "signing", failingObjects, "degraded"],
  ] as const)("%s down is told, and the rest is still up", async (binding, check, stand, status) => {
    const readiness = await checkReadiness(without({ [binding]: stand }));
    expect(readiness.status).toBe(status);
    for (const [name, { state }] of Object.entries(readiness.checks))
      expect(state, name).toBe(name === check ? "down" : "up");
    expect(JSON.stringify(readiness)).not.toContain("secret words");
  });

  test.each([
    ["secret_missing", 0, "off", "ok"],
    ["secret_missing", 2, "down", "degraded"],
    ["secret_unknown", 2, "down", "degraded"],
  ] as const)("signing off for %s with %i keys is “%s”", async (signingOff, keys, state, status) => {
    const health = () => Promise.resolve({ signingOff, keys });
    const readiness = await checkReadiness(without({ SIGNING_KEYS: { getByName: () => ({ health }) } }));
    expect([readiness.checks.signing.state, readiness.status]).toEqual([state, status]);
  });

  test("a dependency that is silent costs a second, not the answer", async () => {
    const before = Date.now();
    const readiness = await checkReadiness(without({ KEYS: silent }));
    expect(readiness.checks.keys.state).toBe("down");
    expect(Date.now() - before).toBeLessThan(1_900);
  });

  test("asks at most once a second, however often it is asked; 503 when down", async () => {
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 60_000 });
    const get = vi.fn(broken.get);
    const down = without({ KEYS: { get } });
    const answers = [await readyz(down), await readyz(down), await readyz(env)];
    expect(answers.map(({ status }) => status)).toEqual([503, 503, 503]);
    expect(get).toHaveBeenCalledTimes(1);
    vi.setSystemTime(Date.now() + 1_000);
    expect((await readyz(env)).status).toBe(200);
    vi.useRealTimers();
  });

  test("liveness needs nothing", async () => {
    const answer = healthz();
    expect(answer.status).toBe(200);
    expect(answer.headers.get("cache-control")).toBe("no-store");
    expect(await answer.json()).toEqual({ status: "ok" });
  });
});

describe("bindings", () => {
  test("of the shipped wrangler.toml are complete", () => {
    expect(missingBindings(env)).toEqual([]);
  });

  test.each([
    "KEYS",
    "USAGE",
    "KEY_REGISTRY",
    "KEY_METER",
    "USAGE_LEDGER",
    "HASH_CLAIMS",
    "REPLAY_GUARD",
    "REQUEST_LOG",
    "SIGNING_KEYS",
    "ALERT_CENTER",
    "FAILURE_SHIELD",
    "CONTROL_RATE",
  ])("%s is named when it is missing or something else", (name) => {
    for (const value of [undefined, null, "text", {}]) {
      const missing = missingBindings(without({ [name]: value }));
      expect(missing).toHaveLength(1);
      expect(missing[0]).toMatch(new RegExp(`^${name} \\(`));
    }
  });
});
