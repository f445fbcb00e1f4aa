import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { AlertsConfig } from "../../src/alerts/config.ts";
import { HOOK_AND_DEAD, openAlerts, receive } from "../support/alert-lab.ts";
import { condition } from "../support/alert-makers.ts";
import { openControl } from "../support/control-lab.ts";

/** Alerts as operators and programs see and change them. */

beforeEach(() => {
  vi.spyOn(console, "error").mockImplementation(() => {});
});
afterEach(() => {
  vi.restoreAllMocks();
});

function open(alerts: AlertsConfig = HOOK_AND_DEAD) {
  const control = openControl({ config: { upstreams: {}, alerts } });
  const center = openAlerts(alerts, control.workspace);
  const report = (...owners: string[]) => center.report(owners.map((owner) => condition({ owner, at: Date.now() })));
  return { ...control, center, report };
}

const inHours = (hours: number): string => new Date(Date.now() + hours * 3_600_000).toISOString();

async function idOf(control: ReturnType<typeof open>, owner: string): Promise<string> {
  return (await control.call("GET", `/alerts?owner=${owner}`)).body["data"][0].id;
}

describe("GET /alerts", () => {
  test("pages through what fires, filtered by state, kind, severity and owner", async () => {
    const control = open();
    await control.report("a", "b", "c", "d", "e");
    const seen: string[] = [];
    let cursor: string | null = "";
    while (cursor !== null) {
      const page = await control.call("GET", `/alerts?limit=2${cursor === "" ? "" : `&cursor=${cursor}`}`);
      expect(page.status).toBe(200);
      seen.push(...page.body["data"].map(({ owner }: { owner: string }) => owner));
      cursor = page.body["nextCursor"];
    }
    expect(new Set(seen)).toEqual(new Set(["a", "b", "c", "d", "e"]));
    expect(seen).toHaveLength(5);
    for (const [query, found] of [
      ["state=firing", 5],
      ["state=resolved", 0],
      ["kind=spike", 5],
      ["kind=new_place", 0],
      ["severity=ticket&owner=a", 1],
      ["severity=page", 0],
    ] as const) {
      const page = await control.call("GET", `/alerts?${query}`);
      expect([query, page.body["data"].length]).toEqual([query, found]);
    }
    expect((await control.call("GET", "/alerts?kind=nothing")).status).toBe(400);
    expect((await control.call("GET", "/alerts?cursor=nonsense")).status).toBe(400);
  });

  test("shows one with its history, its evidence and its runbook; another workspace has none of it", async () => {
    const control = open();
    await control.report("acme");
    const id = await idOf(control, "acme");
    const shown = await control.call("GET", `/alerts/${id}`);
    expect(shown.body).toMatchObject({
      id,
      state: "firing",
      title: "A key is used far more than at this hour of the week",
      runbook: "docs/operations.md#alert-spike",
      subjects: [{ subject: "key_a", evidence: { numbers: { requests: 900 } } }],
      history: [{ event: "began", by: "system" }],
    });
    const other = openControl();
    expect((await other.call("GET", `/alerts/${id}`)).status).toBe(404);
    expect((await other.call("GET", "/alerts")).body["data"]).toEqual([]);
    expect((await control.call("GET", "/alerts/alt_no")).status).toBe(404);
  });
});

describe("scopes", () => {
  test("usage:read and alerts:read silence nothing; alerts:write does", async () => {
    const control = open();
    await control.report("acme");
    const id = await idOf(control, "acme");
    const [usage, reads, writes] = [
      await control.admin("usage:read"),
      await control.admin("alerts:read"),
      await control.admin("alerts:write"),
    ];
    const silence = { match: {}, until: inHours(1), reason: "r" };
    const status = async (token: string, method: string, path: string, body?: unknown) =>
      (await control.call(method, path, { token, ...(body === undefined ? {} : { body }) })).status;
    for (const { key } of [usage, reads]) {
      expect(await status(key, "POST", "/alert-silences", silence)).toBe(403);
      expect(await status(key, "POST", `/alerts/${id}/acknowledge`)).toBe(403);
      expect(await status(key, "POST", "/alert-channels/hook/test", {})).toBe(403);
    }
    expect(await status(usage.key, "GET", "/alerts")).toBe(403);
    expect(await status(reads.key, "GET", "/alerts")).toBe(200);
    expect(await status(writes.key, "POST", "/alert-silences", silence)).toBe(201);
  });
});

describe("acknowledge and resolve", () => {
  test("change the alert, once for each Idempotency-Key, and stand in the audit chain, which stays whole", async () => {
    const control = open();
    await control.report("acme");
    const id = await idOf(control, "acme");
    const headers = { "Idempotency-Key": "first" };
    const first = await control.call("POST", `/alerts/${id}/acknowledge`, { headers });
    const again = await control.call("POST", `/alerts/${id}/acknowledge`, { headers });
    expect([first.status, first.body["state"], first.body["acknowledged"].by]).toEqual([200, "acknowledged", "root"]);
    expect(again.headers.get("Idempotent-Replayed")).toBe("true");
    expect((await control.call("POST", `/alerts/${id}/resolve`, { headers })).status).toBe(409);
    expect((await control.call("POST", `/alerts/${id}/resolve`)).body["state"]).toBe("resolved");
    expect((await control.call("POST", `/alerts/${id}/acknowledge`)).status).toBe(409);
    expect((await control.call("POST", `/alerts/alt_${"0".repeat(26)}/resolve`)).status).toBe(404);
    const audit = await control.call("GET", `/audit?subject=${id}`);
    expect(audit.body["data"].map(({ action }: { action: string }) => action)).toEqual([
      // What was refused in the end was wanted all the same.
      "alert.acknowledge",
      "alert.resolve",
      "alert.acknowledge",
    ]);
    expect((await control.call("GET", "/audit/verify")).body).toMatchObject({ valid: true });
  });
});

describe("silences and maintenance windows", () => {
  test("are made, listed, ended, and stand in the audit chain with their reason", async () => {
    const control = open();
    await control.report("acme");
    const body = { match: { owners: ["acme"], kinds: ["spike"] }, until: inHours(2), reason: "Case 4711" };
    const made = await control.call("POST", "/alert-silences", { body, headers: { "Idempotency-Key": "s" } });
    const again = await control.call("POST", "/alert-silences", { body, headers: { "Idempotency-Key": "s" } });
    expect(made.status).toBe(201);
    expect(again.body).toEqual(made.body);
    expect(made.body).toMatchObject({ match: body.match, reason: "Case 4711", createdBy: "root" });
    expect((await control.call("GET", "/alerts?state=silenced")).body["data"]).toMatchObject([
      { state: "silenced", silencedBy: { id: made.body["id"], type: "silence" } },
    ]);
    expect((await control.call("GET", "/alert-silences")).body["data"]).toHaveLength(1);
    expect((await control.call("GET", "/maintenance-windows")).body["data"]).toEqual([]);
    expect((await control.call("DELETE", `/maintenance-windows/mnt_${"0".repeat(26)}`)).status).toBe(404);
    expect((await control.call("DELETE", `/alert-silences/${made.body["id"]}`)).status).toBe(200);
    expect((await control.call("GET", "/alerts?state=silenced")).body["data"]).toEqual([]);
    const audit = await control.call("GET", `/audit?subject=${made.body["id"]}`);
    expect(audit.body["data"]).toMatchObject([
      { action: "alert.silence_end" },
      { action: "alert.silence", note: "Case 4711", subject: { kind: "alert" }, after: { match: body.match } },
    ]);
  });

  test.each([
    ["in the past", { match: {}, until: "2020-01-01T00:00:00Z", reason: "r" }, "/until"],
    ["without end", { match: {}, until: inHours(24 * 29), reason: "r" }, "/until"],
    ["without a reason", { match: {}, until: inHours(1) }, "/reason"],
    ["of everything by mistake", { until: inHours(1), reason: "r" }, "/match"],
    ["of no kind", { match: { kinds: [] }, until: inHours(1), reason: "r" }, "/match/kinds"],
    ["with a misspelt member", { match: { owner: ["a"] }, until: inHours(1), reason: "r" }, "/match/owner"],
  ])("a silence %s is refused at its place", async (_name, body, pointer) => {
    const answered = await open().call("POST", "/alert-silences", { body });
    expect(answered.status).toBe(400);
    expect(answered.body["errors"].map((fault: { pointer: string }) => fault.pointer)).toEqual([pointer]);
  });

  test("a maintenance window is planned ahead, and ends after it begins", async () => {
    const control = open();
    const window = (startsAt: string, endsAt: string) =>
      control.call("POST", "/maintenance-windows", { body: { match: {}, startsAt, endsAt, reason: "Move" } });
    expect((await window(inHours(24), inHours(26))).status).toBe(201);
    expect((await window(inHours(26), inHours(24))).status).toBe(400);
    expect((await window(inHours(24), inHours(24 * 40))).status).toBe(400);
    expect((await window(inHours(24 * 400), inHours(24 * 401))).status).toBe(400);
    await control.report("acme");
    expect((await control.call("GET", "/alerts?state=silenced")).body["data"]).toEqual([]);
  });
});

describe("channels", () => {
  test("are tested by name, and the delivery says what came of it; it can be replayed", async () => {
    const sent = receive();
    const control = open();
    const tested = await control.call("POST", "/alert-channels/hook/test", { body: {} });
    expect([tested.status, tested.body["state"]]).toEqual([201, "pending"]);
    await control.center.alarm();
    expect(JSON.parse(sent[0]?.body ?? "")).toMatchObject({
      type: "alerts.notify",
      data: { channel: "hook", items: [] },
    });
    const listed = await control.call("GET", "/alert-deliveries?channel=hook&state=delivered");
    expect(listed.body["data"]).toMatchObject([{ id: tested.body["id"], lastStatus: 200, attempts: 1 }]);
    const replayed = await control.call("POST", `/alert-deliveries/${tested.body["id"]}/replay`);
    expect([replayed.status, replayed.body["replayOf"]]).toEqual([201, tested.body["id"]]);
    await control.center.alarm();
    expect(sent).toHaveLength(2);
    expect(sent[1]?.headers["webhook-id"]).toBe(sent[0]?.headers["webhook-id"]);
    expect((await control.call("POST", "/alert-channels/none/test", { body: {} })).status).toBe(404);
    expect((await control.call("POST", "/alert-channels/constructor/test", { body: {} })).status).toBe(404);
    expect((await control.call("POST", "/alert-channels/hook/test", { body: { owner: "a" } })).status).toBe(400);
  });

  test("for owners go to the address that the owner record has, and to nobody where it has none", async () => {
    const sent = receive();
    const control = open({
      channels: {
        owners: {
          type: "email",
          provider: "resend",
          tokenFromEnv: "TEST_HOOK_SECRET",
          urlFromEnv: "TEST_HOOK_URL",
          from: "keys@example.com",
          to: "owner",
        },
      },
      defaultChannels: ["owners"],
    });
    const contacts = { email: "team@acme.example", team: "payments" };
    const put = await control.call("PUT", "/owners/acme", { body: { contacts } });
    expect(put.body["contacts"]).toEqual(contacts);
    expect((await control.call("PUT", "/owners/acme", { body: { contacts: { email: "none" } } })).status).toBe(400);
    await control.call("PUT", "/owners/quiet", { body: {} });
    await control.report("acme", "quiet", "unknown");
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 60_000 });
    await control.center.alarm();
    vi.useRealTimers();
    expect(sent.map(({ body }) => JSON.parse(body).to)).toEqual([["team@acme.example"]]);
    const told = await control.call("GET", "/alerts");
    expect(told.body["data"].filter((alert: { told: unknown[] }) => alert.told.length > 0)).toMatchObject([
      { owner: "acme", told: [{ destination: "owners/acme" }] },
    ]);
    expect((await control.call("POST", "/alert-channels/owners/test", { body: {} })).status).toBe(400);
    expect((await control.call("POST", "/alert-channels/owners/test", { body: { owner: "acme" } })).status).toBe(201);
    await control.center.alarm();
    // The audit trail has who may be told, as it has the rest of the record.
    const audit = await control.call("GET", "/audit?subject=acme&action=owner.put");
    expect(audit.body["data"][0].after).toMatchObject({ contacts });
  });
});

test("an alert center that cannot be reached is 503, and a write says that it may have been done", async () => {
  const broken = { getByName: () => ({ list: () => Promise.reject(new Error("gone")) }) };
  const down = openControl({
    env: {
      KEY_REGISTRY: env.KEY_REGISTRY,
      ALERT_CENTER: broken,
      WATCH: env.WATCH,
      CONTROL_RATE: env.CONTROL_RATE,
      LATCHKEY_ROOT_TOKEN: `lkroot_${"t".repeat(43)}`,
    },
  });
  const answered = await down.call("GET", "/alerts");
  expect([answered.status, answered.body["code"]]).toEqual([503, "storage_unavailable"]);
});
