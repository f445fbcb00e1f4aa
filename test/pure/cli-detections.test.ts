import { expect, test } from "vitest";
import { run } from "../support/cli-lab.ts";

/** `latchkey detections` and `latchkey detections dry-run`, on a stage. */

const FOUND = {
  kind: "spike",
  severity: "ticket",
  subject: { type: "key", id: "key_a" },
  owner: "acme",
  summary: "Eight times the usual.",
  evidence: {},
  place: null,
  since: "2026-11-24T10:00:00.000Z",
  until: "2026-11-24T11:00:00.000Z",
};
const KEPT = { id: "det_1", ...FOUND, firstSeenAt: FOUND.since, lastSeenAt: FOUND.until };

test("latchkey detections asks with its filters and prints a line for each", async () => {
  const { sent, out } = await run(["detections", "--kind", "spike", "--owner", "acme", "--since", "2026-11-23"], {
    answer: () => Response.json({ data: [KEPT], nextCursor: null }),
  });
  expect(sent[0]?.url.pathname).toBe("/_latchkey/v1/detections");
  expect(Object.fromEntries(sent[0]?.url.searchParams ?? [])).toEqual({
    kind: "spike",
    owner: "acme",
    since: "2026-11-23T00:00:00.000Z",
  });
  expect(out).toMatch(/ticket +spike +key_a +acme/);
  expect(out).toContain("Eight times the usual.");
});

test("latchkey detections dry-run sends thresholds by name and goes through every page", async () => {
  const page = { data: [FOUND], from: FOUND.since, to: FOUND.until, keys: 50, knownSince: FOUND.since };
  const cursors = ["next", null];
  const { sent, out, err } = await run(
    ["detections", "dry-run", "--set", "spike.ratio=4", "--set", "spike.leastExcess=10", "--set", "idle.least=1"],
    { answer: () => Response.json({ ...page, nextCursor: cursors.shift() ?? null }) },
  );
  const thresholds = { spike: { ratio: 4, leastExcess: 10 }, idle: { least: 1 } };
  expect(sent.map(({ method, body }) => [method, body])).toEqual([
    ["POST", { thresholds }],
    ["POST", { thresholds, cursor: "next" }],
  ]);
  expect(out.match(/key_a/g)).toHaveLength(2);
  expect(err).toContain("2 findings, 100 keys");
});

test.each(["spike", "spike.ratio", "spike.ratio=many", "ratio=4", "spike.ratio=-1"])(
  "latchkey detections dry-run refuses --set %s before it asks",
  async (setting) => {
    const { sent, code } = await run(["detections", "dry-run", "--set", setting]);
    expect(code).toBe(2);
    expect(sent).toEqual([]);
  },
);
