import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openTarget } from "../support/contract.ts";
import type { Target } from "../support/contract.ts";

/** `GET /usage` as a table and by time zones; `GET /owners/{id}/statement`. */

let target: Target;
let keyId = "";
const OWNER = "billed";
const MONTH = new Date().toISOString().slice(0, 7);

const root = (path: string) => target.send(`/_latchkey/v1${path}`, { key: target.server.rootToken });

beforeAll(async () => {
  target = await openTarget();
  const issued = await target.api.issue({ owner: OWNER, name: '=HYPERLINK("https://evil.example")' });
  keyId = issued.id;
  const other = await target.api.issue({ owner: "somebody-else" });
  for (let sent = 0; sent < 5; sent++) expect((await target.send("/anything", { key: issued.key })).status).toBe(200);
  expect((await target.send("/anything", { key: other.key })).status).toBe(200);
  for (let tries = 0; (await countedRequests()) < 6; tries++) {
    if (tries === 100) throw new Error("the requests are not counted");
    await sleep(100);
  }
});
afterAll(() => target.stop());

async function countedRequests(): Promise<number> {
  const answer = (await root(`/usage?owner=${OWNER}&owner=somebody-else`)).json();
  return (answer["totals"] as { requests: number }).requests; // as the contract has it
}

function rowsOf(text: string): readonly string[][] {
  return text
    .trimEnd()
    .split("\r\n")
    .map((line) => line.split(","));
}

describe("usage as a table", () => {
  test("has a column for each group and sum, and is a download", async () => {
    const answer = await root(`/usage?format=csv&groupBy=key,status&owner=${OWNER}`);
    expect(answer.status).toBe(200);
    expect(answer.headers["content-type"]).toBe("text/csv; charset=utf-8; header=present");
    expect(answer.headers["content-disposition"]).toBe('attachment; filename="usage.csv"');
    const [head = [], ...rows] = rowsOf(answer.text);
    expect(head.slice(0, 5)).toEqual(["start", "key", "status", "requests", "allowed"]);
    const all = rows.reduce((sum, row) => sum + Number(row[3]), 0);
    expect([new Set(rows.map((row) => row[1])), all]).toEqual([new Set([keyId]), 5]);
  });

  test("has quantiles where they are asked for", async () => {
    const [head = [], row = []] = rowsOf((await root("/usage?format=csv&distributions=true")).text);
    expect(Number(row[head.indexOf("latencyMs_p99")])).toBeGreaterThanOrEqual(0);
    expect(Number(row[head.indexOf("distinctAddresses")])).toBe(1);
  });

  test("days and months of a time zone hold the same requests, and nonsense is refused by name", async () => {
    for (const granularity of ["day", "month"]) {
      const answer = (await root(`/usage?granularity=${granularity}&timeZone=Europe/Berlin&owner=${OWNER}`)).json();
      expect(answer).toMatchObject({ granularity, timeZone: "Europe/Berlin", totals: { requests: 5 } });
    }
    for (const query of ["granularity=day&timeZone=Mars/Base", "granularity=hour&timeZone=Europe/Berlin"]) {
      const answer = await root(`/usage?${query}`);
      expect(answer.status).toBe(400);
      expect(answer.json()).toMatchObject({ code: "request_invalid", errors: [{ pointer: "/timeZone", in: "query" }] });
    }
  });
});

describe("a statement", () => {
  test("has the units of each key of the owner and of nobody else", async () => {
    const answer = await root(`/owners/${OWNER}/statement?timeZone=America/New_York`);
    expect(answer.status).toBe(200);
    expect(answer.json()).toMatchObject({
      owner: OWNER,
      timeZone: "America/New_York",
      state: "open",
      currency: null,
      lines: [{ key: keyId, environment: "live", requests: 5, units: 5, amount: null }],
      totals: { requests: 5, units: 5, payable: null },
      reconciliation: { differenceUnits: 0 },
    });
  });

  test("as a table shows what a customer named a key as text, not as a formula", async () => {
    const answer = await root(`/owners/${OWNER}/statement?format=csv&month=${MONTH}`);
    expect(answer.headers["content-disposition"]).toContain(`statement-${OWNER}-${MONTH}.csv`);
    expect(answer.text).toContain(`"'=HYPERLINK(""https://evil.example"")"`);
  });

  test.each(["2099-01", "2001-13", "november"])("of %s is refused", async (month) => {
    const answer = await root(`/owners/${OWNER}/statement?month=${month}`);
    expect([answer.status, answer.json()]).toMatchObject([400, { errors: [{ pointer: "/month" }] }]);
  });

  test("of nobody is not found, and of another workspace is nobody's", async () => {
    expect((await root("/owners/nobody-at-all/statement")).status).toBe(404);
    const elsewhere = await target.send(`/_latchkey/v1/owners/${OWNER}/statement`, {
      key: target.server.rootToken,
      headers: { "X-Latchkey-Workspace": "elsewhere" },
    });
    expect(elsewhere.status).toBe(404);
  });

  test("needs the scope to read usage", async () => {
    const admin = await target.api.issue({ kind: "admin", owner: "ops", scopes: ["keys:read"] });
    const answer = await target.send(`/_latchkey/v1/owners/${OWNER}/statement`, { key: admin.key });
    expect([answer.status, answer.json()["code"]]).toEqual([403, "scope_insufficient"]);
  });
});
