import { env } from "cloudflare:workers";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Sinks } from "../../src/sinks/config.ts";
import { reportSinks } from "../../src/usage/sink-report.ts";
import { HOOK_AND_DEAD, openAlerts, receive } from "../support/alert-lab.ts";

/** What the cron sees of sinks, by what their queues say. */

const MINUTE = 60_000;

beforeEach(() => {
  vi.spyOn(console, "error").mockImplementation(() => {});
  vi.useFakeTimers({ toFake: ["Date"] });
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

function newQueue() {
  return {
    backlogCount: 0,
    ageMs: 0,
    isDown: false,
    async metrics() {
      if (this.isDown) throw new Error("queue is down");
      const oldestMessageTimestamp = new Date(Date.now() - this.ageMs);
      return {
        backlogCount: this.backlogCount,
        backlogBytes: 0,
        ...(this.backlogCount > 0 ? { oldestMessageTimestamp } : {}),
      };
    },
  };
}

test("a sink whose events wait too long, or were refused, is a ticket that names it; it ends when they are gone, and not when nobody can say", async () => {
  receive();
  const [siem, siemDead, lake, lakeDead] = [newQueue(), newQueue(), newQueue(), newQueue()];
  const shaken = { ...env, SIEM: siem, SIEM_DEAD: siemDead, LAKE: lake, LAKE_DEAD: lakeDead } as unknown as Env; // with the sinks' own
  const sinks: Sinks = {
    siem: { type: "ndjson", workspaces: "*", queue: "SIEM", deadQueue: "SIEM_DEAD", urlFromEnv: "SIEM_URL" },
    lake: { type: "r2", workspaces: "*", queue: "LAKE", deadQueue: "LAKE_DEAD", bucket: "EVENTS" },
  };
  const alerts = openAlerts(HOOK_AND_DEAD, "default");
  const look = async () => {
    vi.setSystemTime(Date.now() + MINUTE);
    await reportSinks(shaken, sinks, HOOK_AND_DEAD);
    const listed = await alerts.api.list({ kind: "sink_behind" }, 10, null);
    if (!listed.ok) throw new Error("not listed");
    return listed.value.data.map(({ state, severity, subjects }) => [state, severity, subjects[0]?.summary]);
  };
  Object.assign(siem, { backlogCount: 500, ageMs: 14 * MINUTE });
  expect(await look()).toEqual([]);
  siem.ageMs = 20 * MINUTE;
  const summary = "Sink siem: 500 messages wait, the oldest for 20 min; 0 are in its dead-letter queue.";
  expect(await look()).toEqual([["firing", "ticket", summary]]);
  siem.isDown = true;
  expect(await look()).toMatchObject([["firing", "ticket", summary]]);
  Object.assign(siem, { isDown: false, backlogCount: 0 });
  expect((await look()).map(([state]) => state)).toEqual(["resolved"]);
  lakeDead.backlogCount = 1;
  expect(await look()).toContainEqual([
    "firing",
    "ticket",
    "Sink lake: 0 messages wait, the oldest for 0 min; 1 are in its dead-letter queue.",
  ]);
});
