import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Webhook } from "standardwebhooks";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Edges, startEdges } from "../../scripts/lab/edges.ts";
import type { AlertsConfig } from "../../src/alerts/config.ts";
import { fnv1a } from "../../src/platform/fnv.ts";
import { control } from "../support/control.ts";
import { type Posted, type Receiver, startReceiver } from "../support/receiver.ts";

/** Alerts from what causes them to real receivers on this machine, in the form of each channel. */

const SECRETS = {
  NEW_SECRET: `whsec_${Buffer.from("n".repeat(32)).toString("base64")}`,
  OLD_SECRET: `whsec_${Buffer.from("o".repeat(32)).toString("base64")}`,
  PAGER_KEY: "routing-key-of-the-lab",
  MAIL_TOKEN: "token-of-the-lab",
};

const ALERTS: AlertsConfig = {
  publicUrl: "https://keys.example.com",
  runbookUrl: "https://wiki.example.com/operations",
  groupSeconds: 0,
  updateSeconds: 10,
  channels: {
    siem: { type: "webhook", urlFromEnv: "SIEM_URL", secretsFromEnv: ["NEW_SECRET", "OLD_SECRET"] },
    chat: { type: "slack", urlFromEnv: "CHAT_URL" },
    oncall: { type: "pagerduty", routingKeyFromEnv: "PAGER_KEY", urlFromEnv: "PAGER_URL" },
    owners: {
      type: "email",
      provider: "postmark",
      tokenFromEnv: "MAIL_TOKEN",
      urlFromEnv: "MAIL_URL",
      from: "Keys <keys@example.com>",
      to: "owner",
    },
  },
  routes: [
    { channels: ["siem"], continue: true },
    { match: { kinds: ["rotation_overlap_ending"] }, channels: ["chat", "oncall", "owners"] },
  ],
};

let receiver: Receiver;
let lab: Edges;
beforeAll(async () => {
  receiver = await startReceiver();
  lab = await startEdges({
    count: 0,
    entry: path.join(import.meta.dirname, "../support/alerts-worker.ts"),
    maxBatchTimeout: 0,
    variables: {
      ...SECRETS,
      LATCHKEY_LAB_ALERTS: JSON.stringify(ALERTS),
      LATCHKEY_ALERTS_TO_LOOPBACK: "true",
      SIEM_URL: `${receiver.url}/siem`,
      CHAT_URL: `${receiver.url}/chat`,
      PAGER_URL: `${receiver.url}/pager`,
      MAIL_URL: `${receiver.url}/mail`,
    },
  });
});
afterAll(async () => {
  await lab.stop();
  await receiver.stop();
});

const to = (place: string): readonly Posted[] => receiver.posted.filter((one) => one.path === place);
const bodyOf = (posted: Posted | undefined): Record<string, unknown> =>
  // What it holds is for assertions to say.
  JSON.parse(posted?.body ?? "null") as Record<string, unknown>;

async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if (await holds()) return;
    await sleep(200);
  }
  throw new Error(`${what}: not seen in 80 s`);
}

/** Workspaces that the cron looks through in this minute and the next: the test is through by then. */
function workspacesOfThisMinute(): readonly string[] {
  const minute = Math.floor(Date.now() / 60_000) % 60;
  const names: string[] = [];
  for (const wanted of [minute, (minute + 1) % 60]) {
    for (let index = 0; ; index++) {
      const name = `team-${index}`;
      if (fnv1a(name) % 60 !== wanted) continue;
      names.push(name);
      break;
    }
  }
  return names;
}

test("a replaced key that is still used reaches all four kinds of channel, verified by the scheme's own library, and its end too", async () => {
  const names = workspacesOfThisMinute();
  const keys = new Map<string, string>();
  for (const workspace of names) {
    const asRoot = { headers: { "X-Latchkey-Workspace": workspace } };
    const api = control(lab.home);
    const call = async (method: string, target: string, body?: object) => {
      const answer = await api.call(method, target, { ...asRoot, ...(body === undefined ? {} : { body }) });
      expect(answer.status, JSON.stringify(answer.body)).toBeLessThan(300);
      return answer.body as Record<string, string>; // ids and keys are texts
    };
    await call("PUT", "/owners/acme", { contacts: { email: "team@acme.example" } });
    const made = await call("POST", "/keys", {
      name: "Old",
      owner: "acme",
      environment: "live",
      scopes: ["reports:read"],
    });
    await call("POST", `/keys/${made["id"]}/rotate`, { overlapSeconds: 3_600 });
    keys.set(workspace, made["key"] ?? "");
    const used = await lab.home.fetch("/hello", { headers: { authorization: `Bearer ${made["key"]}` } });
    expect(used.status).toBe(200);
    await until(async () => (await call("GET", `/keys/${made["id"]}`))["lastUsedAt"] !== null, "the key's last use");
  }
  await until(async () => {
    await lab.runScheduled();
    return to("/mail").length > 0;
  }, "an alert");
  await until(() => to("/siem").length > 0 && to("/chat").length > 0 && to("/pager").length > 0, "all four channels");

  const [siem] = to("/siem");
  for (const secret of [SECRETS.NEW_SECRET, SECRETS.OLD_SECRET]) {
    expect(new Webhook(secret).verify(siem?.body ?? "", { ...siem?.headers })).toMatchObject({
      type: "alerts.notify",
      data: { severity: "ticket", items: [{ kind: "rotation_overlap_ending", owner: "acme", need: "new" }] },
    });
  }
  const data = bodyOf(siem)["data"] as {
    readonly workspace: string;
    readonly items: readonly Record<string, string>[];
  };
  expect(data.items[0]?.["runbookUrl"]).toBe("https://wiki.example.com/operations#alert-rotation_overlap_ending");
  expect(data.items[0]?.["evidenceUrl"]).toMatch(/^https:\/\/keys\.example\.com\/_latchkey\/keys\/key_/);
  expect(bodyOf(to("/chat")[0])).toMatchObject({ blocks: [{ type: "header" }, { type: "section" }] });
  const trigger = bodyOf(to("/pager")[0]);
  expect(trigger).toMatchObject({
    routing_key: SECRETS.PAGER_KEY,
    event_action: "trigger",
    payload: { severity: "warning", class: "rotation_overlap_ending", source: `latchkey/${data.workspace}` },
    links: [{ href: expect.stringContaining("/_latchkey/keys/") }, { href: expect.stringContaining("#alert-") }],
  });
  const [mail] = to("/mail");
  expect(mail?.headers["x-postmark-server-token"]).toBe(SECRETS.MAIL_TOKEN);
  expect(bodyOf(mail)).toMatchObject({ From: "Keys <keys@example.com>", To: "team@acme.example" });
  expect(String(bodyOf(mail)["TextBody"])).toContain("was replaced, is still used, and stops on");

  // Resolved by hand: each of them hears so, PagerDuty under the same incident.
  const api = control(lab.home);
  const asRoot = { headers: { "X-Latchkey-Workspace": data.workspace } };
  const resolved = await api.call("POST", `/alerts/${data.items[0]?.["alertId"]}/resolve`, asRoot);
  expect(resolved.status).toBe(200);
  await until(() => to("/pager").some((one) => bodyOf(one)["event_action"] === "resolve"), "the end at PagerDuty");
  const end = to("/pager").find((one) => bodyOf(one)["event_action"] === "resolve");
  expect(bodyOf(end)["dedup_key"]).toBe(trigger["dedup_key"]);
  await until(() => to("/mail").length > 1, "the end at the owner's");

  // No key anywhere, and no secret of a channel but where it belongs.
  const all = JSON.stringify(receiver.posted);
  for (const key of keys.values()) expect(all).not.toContain(key);
  for (const secret of [SECRETS.NEW_SECRET, SECRETS.OLD_SECRET]) expect(all).not.toContain(secret.slice(6));
  const listed = JSON.stringify((await api.call("GET", "/alert-deliveries", asRoot)).body);
  for (const secret of [...Object.values(SECRETS), receiver.url]) expect(listed).not.toContain(secret);
});

test("a receiver that is killed in the middle gets its message when it is back, after a SIGKILL of the whole runtime too", async () => {
  const before = to("/siem").length;
  receiver.answer = 503;
  const tested = await control(lab.home).call("POST", "/alert-channels/siem/test", { body: {} });
  expect(tested.status).toBe(201);
  await until(() => to("/siem").length > before, "a first attempt");
  await lab.restart();
  receiver.answer = 200;
  const delivered = async () => {
    const { body } = await control(lab.home).call("GET", "/alert-deliveries?channel=siem&state=delivered");
    return JSON.stringify(body).includes(String(Reflect.get(Object(tested.body), "id")));
  };
  await until(delivered, "the delivery");
  const ids = to("/siem")
    .slice(before)
    .map(({ headers }) => headers["webhook-id"]);
  expect(ids.length).toBeGreaterThan(1);
  expect(new Set(ids).size).toBe(1);
});
