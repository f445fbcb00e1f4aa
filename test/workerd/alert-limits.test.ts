import { evictDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { KeyRecord } from "../../durable-objects/key-registry/api.ts";
import type { Limit } from "../../src/limits/limit.ts";
import { hourOf } from "../../src/limits/window.ts";
import { fnv1a } from "../../src/platform/fnv.ts";
import { reportLimits } from "../../src/usage/limit-reports.ts";
import { openAlerts } from "../support/alert-lab.ts";
import { context, created, done, openRegistry } from "../support/registry-lab.ts";

/** Near-limit notices, from the meters themselves. */

const MINUTE = 60_000;
const DAILY: Limit = { name: "daily", limit: 100, window: "day", kind: "quota" };
const PLANS = { pro: [{ name: "monthly", limit: 50, window: "month", kind: "quota" }] } as const;

beforeEach(() => {
  vi.spyOn(console, "warn").mockImplementation(() => {});
  // In the middle of a day: no window turns.
  vi.useFakeTimers({ toFake: ["Date"], now: Math.ceil(Date.now() / 86_400_000) * 86_400_000 + 12 * 3_600_000 });
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

async function use(key: KeyRecord, cost: number, meter: string, limits: readonly Limit[] | null): Promise<void> {
  const answer = await env.KEY_METER.getByName(meter).acquire({
    holder: "isolate-1",
    keyId: limits === null ? null : key.id,
    generation: key.generation,
    limits,
    cost,
    hour: hourOf(Date.now()),
    want: 0,
    urgent: 0,
    holdings: [],
    returned: [],
    spent: [],
    ttlMs: 4_500,
  });
  expect(answer.outcome).toBe("granted");
}

/** The cron's look at the minute of this lineage. */
async function lookAt(workspace: string, { lineageId }: KeyRecord): Promise<void> {
  const minute = fnv1a(lineageId) % 60;
  while (Math.floor(Date.now() / MINUTE) % 60 !== minute) vi.setSystemTime(Date.now() + MINUTE);
  await reportLimits(env, workspace, PLANS, Date.now());
}

test("a key is told of at 80 % and at 100 % of its own limits and its plan's, and not before, over an eviction of its meter", async () => {
  const registry = openRegistry();
  const alerts = openAlerts(undefined, registry.workspace);
  const listed = async () => {
    const page = await alerts.api.list({ state: "firing" }, 10, null);
    if (!page.ok) throw new Error(page.error.detail);
    // Two of one moment come in either order.
    const byKind = page.value.data.toSorted((one, other) => (one.kind < other.kind ? -1 : 1));
    return byKind.map(({ kind, subjects }) => [kind, subjects.map(({ subject }) => subject)]);
  };
  const key = await created(registry, { limits: [DAILY], plan: "pro" });
  const meter = `${registry.workspace}/${key.lineageId}`;
  const limits = [DAILY, ...PLANS.pro];
  await use(key, 30, meter, limits);
  await lookAt(registry.workspace, key);
  expect(await listed()).toEqual([]);
  await use(key, 12, meter, limits);
  await evictDurableObject(env.KEY_METER.getByName(meter));
  await lookAt(registry.workspace, key);
  expect(await listed()).toEqual([["near_limit", [`${key.id}/monthly`]]]);
  await use(key, 8, meter, limits);
  await lookAt(registry.workspace, key);
  expect(await listed()).toEqual([
    ["limit_reached", [`${key.id}/monthly`]],
    ["near_limit", [`${key.id}/monthly`]],
  ]);
});

test("a limit that all keys of an owner share is told of once, as the owner's", async () => {
  const registry = openRegistry();
  const alerts = openAlerts(undefined, registry.workspace);
  const owner = { name: null, limits: [{ ...DAILY, name: "shared" }], metadata: {} };
  await done(registry.api.putOwner("acme", owner, context()));
  const key = await created(registry);
  await use(key, 90, `${registry.workspace}/owner/acme`, null);
  await lookAt(registry.workspace, key);
  expect(await alerts.api.list({}, 10, null)).toMatchObject({
    value: {
      data: [
        {
          kind: "near_limit",
          owner: "acme",
          subjects: [{ subject: "shared", summary: expect.stringContaining("The owner acme has used 90 %") }],
        },
      ],
    },
  });
});
