import { expect, test } from "vitest";
import { timelineOf, summaryOf } from "../../src/request-log/view.ts";
import { run } from "../support/cli-lab.ts";
import { keptRequest } from "../support/request-makers.ts";

/** `latchkey requests`, `latchkey requests explain` and `latchkey measures`, on a stage. */

const TIME = Date.parse("2026-11-24T10:00:00.000Z");
const REQUEST_ID = `req_${"0".repeat(26)}`;
const KEPT = keptRequest({ time: TIME, requestId: REQUEST_ID });

test("latchkey requests asks with its filters and prints a line for each", async () => {
  const page = { data: [summaryOf(KEPT)], nextCursor: null, notKept: 0, sampleRate: 0.01 };
  const { sent, out } = await run(["requests", "--key", "key_a", "--code", "scope_insufficient", "--status", "403"], {
    answer: () => Response.json(page),
  });
  expect(sent[0]?.url.pathname).toBe("/_latchkey/v1/requests");
  expect(Object.fromEntries(sent[0]?.url.searchParams ?? [])).toEqual({
    key: "key_a",
    code: "scope_insufficient",
    status: "403",
  });
  expect(out).toContain(REQUEST_ID);
  expect(out).toContain("lk_live_AbCd…wxyz");
});

test("latchkey requests explain says why, what would have to change, and each check", async () => {
  const { sent, out, code } = await run(["requests", "explain", REQUEST_ID], {
    answer: () => Response.json({ ...timelineOf(KEPT, null), others: [] }),
  });
  expect(code).toBe(0);
  expect(sent[0]?.url.pathname).toBe(`/_latchkey/v1/requests/${REQUEST_ID}`);
  expect(out).toContain("needs the scope reports:read; the key holds charges:read and charges:write.");
  expect(out).toMatch(/scopes +refused/);
  expect(out).toMatch(/lease +not_reached/);
  expect(out).not.toMatch(/undefined|\[object/);
});

test("latchkey requests explain takes a request's id and nothing else", async () => {
  for (const operand of ["key_1", "req_1", "../keys"]) {
    const { sent, code } = await run(["requests", "explain", operand]);
    expect(code).toBe(2);
    expect(sent).toEqual([]);
  }
});

test("latchkey measures prints what there is a value for, and why there is none for the others", async () => {
  const measure = { name: "N", unit: "ratio", target: { atLeast: 0.999 }, definition: "", computed: "", detail: {} };
  const measures = [
    { ...measure, id: "M1", value: 0.99912345, met: true, why: null },
    { ...measure, id: "M4", target: null, value: null, met: null, why: "No key was revoked." },
  ];
  const { sent, out } = await run(["measures", "--from", "2026-11-23", "--to", "2026-11-24"], {
    answer: () => Response.json({ from: "", to: "", measures }),
  });
  expect(sent[0]?.url.searchParams.get("from")).toBe("2026-11-23T00:00:00.000Z");
  expect(out).toMatch(/M1 +N +0\.999123 +ratio +at least 0\.999 +met/);
  expect(out).toContain("No key was revoked.");
});
