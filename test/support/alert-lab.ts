import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { vi } from "vitest";
import type { AlertWrite } from "../../durable-objects/alert-center/api.ts";
import { alertCenterOf } from "../../durable-objects/alert-center/client.ts";
import type { Condition } from "../../src/alerts/condition.ts";
import { settingsOf } from "../../src/alerts/config.ts";
import type { AlertsConfig } from "../../src/alerts/config.ts";
import { newWorkspace } from "./registry-lab.ts";

/** A workspace's real alert center, with the world outside as a function. */

export interface Sent {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export type Receiver = (sent: Sent, signal: AbortSignal | null) => Response | Promise<Response>;

/** Replaces `fetch` until mocks are restored; answers what was sent so far, oldest first. */
export function receive(receiver: Receiver = () => new Response("ok")): Sent[] {
  const sent: Sent[] = [];
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const request = new Request(input, init);
    const one = { url: request.url, headers: Object.fromEntries(request.headers), body: await request.text() };
    sent.push(one);
    return await receiver(one, init?.signal ?? null);
  });
  return sent;
}

export const HOOK_AND_DEAD: AlertsConfig = {
  publicUrl: "https://keys.example.com",
  channels: {
    hook: { type: "webhook", urlFromEnv: "TEST_HOOK_URL", secretsFromEnv: ["TEST_HOOK_SECRET"] },
    dead: { type: "slack", urlFromEnv: "TEST_DEAD_URL" },
  },
  defaultChannels: ["hook"],
};

export const AS_ROOT: AlertWrite = { by: "root", idempotency: null };

export function openAlerts(config: AlertsConfig = HOOK_AND_DEAD, workspace = newWorkspace()) {
  const stub = env.ALERT_CENTER.getByName(workspace);
  const api = alertCenterOf(env, workspace);
  return {
    workspace,
    api,
    report: (conditions: readonly Condition[]) => api.report({ conditions, settings: settingsOf(config) }),
    alarm: () => runDurableObjectAlarm(stub),
    evict: () => evictDurableObject(stub),
    sql: (query: string): Promise<Record<string, SqlStorageValue>[]> =>
      // The stub's class is that of the binding; the test plugin's types say less.
      runInDurableObject(stub as never, (_instance: unknown, state: DurableObjectState) =>
        state.storage.sql.exec(query).toArray(),
      ),
    alarmAt: (): Promise<number | null> =>
      // As above.
      runInDurableObject(stub as never, (_instance: unknown, state: DurableObjectState) => state.storage.getAlarm()),
  };
}
