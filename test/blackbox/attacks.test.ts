import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { exchangeOctets, openTarget } from "../support/contract.ts";
import type { Target } from "../support/contract.ts";

/** What was tried against a running Latchkey and did not work, where no other test tries it. */

let target: Target;
beforeAll(async () => {
  target = await openTarget();
});
afterAll(() => target.stop());

interface Batch {
  readonly results: readonly { readonly valid: boolean; readonly code: string }[];
}

async function validOf(key: string, times: number): Promise<number> {
  const keys = Array.from({ length: times }, () => ({ key }));
  const answer = await target.api.call<Batch>("POST", "/verify/batch", { body: { keys } });
  expect(answer.status).toBe(200);
  return answer.body.results.filter(({ valid }) => valid).length;
}

describe("more than a limit, by asking about one key many times at once", () => {
  const limits = (limit: number) => [{ name: "once", limit, window: "month", kind: "quota" }];

  test("a batch that names one key a hundred times gets what is left and no more", async () => {
    const { key } = await target.api.issue({ limits: limits(10) });
    expect(await validOf(key, 100)).toBe(10);
  });

  test("twenty such batches at once get the limit exactly", async () => {
    const { key } = await target.api.issue({ limits: limits(1_000) });
    const valid = await Promise.all(Array.from({ length: 20 }, () => validOf(key, 100)));
    expect(valid.reduce((sum, each) => sum + each, 0)).toBe(1_000);
  });
});

/** One request in these very octets; all that comes back, latin1. */
function send(lines: readonly string[]): Promise<string> {
  return exchangeOctets(target.server.port, lines.join("\r\n"));
}

describe("a key without scopes, in front of a path that asks for one", () => {
  test.each(["anyone@api.example/reports", "api.example/reports", "api.example/x/../reports", "api.example/reports?"])(
    "the path cannot be moved into the Host field: %s",
    async (host) => {
      const { key } = await target.api.issue({ scopes: ["nothing:read"] });
      const answer = await send([
        "GET /today HTTP/1.1",
        `Host: ${host}`,
        `Authorization: Bearer ${key}`,
        "Connection: close",
        "",
        "",
      ]);
      expect(answer).toMatch(/^HTTP\/1\.1 4\d\d /);
      expect(answer).not.toContain(`"method"`);
    },
  );

  test("an identity sent as a trailer does not reach the origin", async () => {
    const { key } = await target.api.issue({ owner: "acme", scopes: ["nothing:read"] });
    const answer = await send([
      "POST /trailed HTTP/1.1",
      "Host: api.example",
      `Authorization: Bearer ${key}`,
      "Transfer-Encoding: chunked",
      "Trailer: X-Latchkey-Owner",
      "Connection: close",
      "",
      "1",
      "a",
      "0",
      "X-Latchkey-Owner: mallory",
      "",
      "",
    ]);
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    expect(answer).toContain(`"x-latchkey-owner": "acme"`);
    expect(answer).not.toContain("mallory");
  });
});

describe("an admin key that wants to be root", () => {
  test("a batch import smuggles no stronger admin key in beside good ones", async () => {
    const writer = await target.api.issue({ kind: "admin", owner: "ops", scopes: ["keys:write"] });
    const hash = (text: string) => ({ algorithm: "sha256", encoding: "hex", value: text.repeat(32) });
    const key = { name: "In", owner: "acme", environment: "live", scopes: ["a:read"] };
    const keys = [
      { ...key, hash: hash("a1") },
      { ...key, kind: "admin", scopes: ["admin:*"], hash: hash("a2") },
      { ...key, kind: "admin", scopes: ["keys:write", "keys:verify"], hash: hash("a3") },
    ];
    const answer = await target.api.call<{ results: readonly { ok: boolean; code?: string }[] }>(
      "POST",
      "/keys/import",
      { body: { keys }, token: writer.key },
    );
    expect(answer.body.results.map(({ ok, code }) => [ok, code])).toEqual([
      [true, undefined],
      [false, "scope_insufficient"],
      [false, "scope_insufficient"],
    ]);
  });

  test("clearing the policy of an admin key leaves it strict", async () => {
    const writer = await target.api.issue({ kind: "admin", owner: "ops", scopes: ["keys:write"] });
    const answer = await target.api.call("PATCH", `/keys/${writer.id}`, { body: { policy: null }, token: writer.key });
    expect([answer.status, answer.body]).toEqual([200, expect.objectContaining({ policy: { strict: true } })]);
  });
});

/** Sends a request and resets the connection before the origin has answered. */
function sendAndLeave(head: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(target.server.port, "127.0.0.1", () => {
      socket.write(head);
      setTimeout(() => {
        socket.resetAndDestroy();
        resolve();
      }, 150);
    });
    socket.once("error", reject);
  });
}

describe("a client that leaves before its answer", () => {
  test("is charged and recorded all the same", async () => {
    const { id, key, lineageId } = await target.api.issue({
      limits: [{ name: "daily", limit: 100, window: "day", kind: "quota" }],
    });
    const head = `POST /slow/400 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ${key}\r\nContent-Length: 0\r\n\r\n`;
    for (let index = 0; index < 10; index++) await sendAndLeave(head);
    const usage = async () => {
      const answer = await target.api.call<{ totals: { requests: number; cost: number } }>(
        "GET",
        `/usage?lineage=${lineageId}`,
      );
      return answer.body.totals;
    };
    await expect.poll(usage, { timeout: 20_000, interval: 500 }).toMatchObject({ requests: 10, cost: 10 });
    // Units that a broker holds look used to those who ask another one.
    const look = async () => (await target.send("/_latchkey/v1/whoami", { key })).text;
    await expect.poll(look, { timeout: 15_000, interval: 500 }).toContain(`"remaining":90`);
    expect(id).toMatch(/^key_/);
  });
});

describe("the raw key in a URL", () => {
  test.each([
    (key: string) => `/x?k[]=a${key}`,
    (key: string) => `/x?k=%25${key}`,
    (key: string) => `/files/${key}`,
    (key: string) => `/x?k=${key.replaceAll("_", "%5F")}`,
  ])("beside the same key in a header, it never reaches the origin: %#", async (path) => {
    const { key } = await target.api.issue();
    const answer = await target.send(path(key), { key });
    expect(answer.status).toBe(400);
    expect(answer.text).toContain("credential_in_query");
  });
});

test("what claims to come from the platform with underscores never reaches the origin", async () => {
  const { key } = await target.api.issue();
  const answer = await send([
    "GET /x HTTP/1.1",
    "Host: h",
    `Authorization: Bearer ${key}`,
    "CF_Connecting_IP: 198.51.100.6",
    "Client-IP: 198.51.100.6",
    "Connection: close",
    "",
    "",
  ]);
  expect(answer).toMatch(/^HTTP\/1\.1 200 /);
  expect(answer).not.toContain("198.51.100.6");
});
