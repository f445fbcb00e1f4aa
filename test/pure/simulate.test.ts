import { spawnSync } from "node:child_process";
import path from "node:path";
import { expect, test } from "vitest";

/** The simulation is deterministic, holds over a few seeds, and finds the bugs that are planted in it. */

const ROOT = path.resolve(import.meta.dirname, "../..");

function simulate(...flags: string[]): { readonly status: number | null; readonly output: string } {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["scripts/simulate.ts", "--only", "worlds", ...flags],
    {
      cwd: ROOT,
      encoding: "utf8",
    },
  );
  return { status, output: stdout + stderr };
}

/** The digest of everything that happened in the world of this seed. */
function digestOf(seed: number, output: string): string | undefined {
  return new RegExp(`^seed ${seed}: .* trace ([0-9a-f]{16})$`, "m").exec(output)?.[1];
}

test("a seed gives the same world again, whatever ran before it in the process", () => {
  const alone = simulate("--seed", "12");
  const afterOthers = simulate("--from", "10", "--seeds", "3", "--trace");
  expect(alone.status, alone.output).toBe(0);
  expect(digestOf(12, alone.output)).toMatch(/^[0-9a-f]{16}$/);
  expect(digestOf(12, afterOthers.output)).toBe(digestOf(12, alone.output));
  expect(digestOf(11, afterOthers.output)).not.toBe(digestOf(12, alone.output));
});

test("no promise is broken in forty worlds full of trouble", () => {
  const { status, output } = simulate("--seeds", "40");
  expect(status, output).toBe(0);
  expect(output).toMatch(/violations in 40 random worlds\s+0\s+0\s+yes/);
});

test.each([
  ["generous-lease", "a limit is never exceeded", "30"],
  ["silent-revoke", "a change is heard within the bound", "50"],
  ["double-event", "every event is counted once", "10"],
])("a planted %s is found", (plant, invariant, seeds) => {
  const { status, output } = simulate("--seeds", seeds, "--plant", plant);
  expect(status, output).toBe(1);
  expect(output).toContain(invariant);
});

test("a planted bug that does not exist is a wrong command line", () => {
  expect(simulate("--plant", "nonsense").status).toBe(64);
});
