import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DRILLS } from "../../scripts/drill/catalogue.ts";

/** The game days, small, as `npm run drill -- --quick` runs them; and that they find a bug which is planted. */

const DRILL = path.resolve(import.meta.dirname, "../../scripts/drill.ts");

interface Figures {
  readonly drills: readonly {
    readonly name: string;
    readonly verdict: string;
    readonly error: string | null;
    readonly targets: readonly { readonly name: string; readonly held: boolean }[];
    readonly timeline: readonly { readonly atMs: number; readonly what: string }[];
  }[];
  readonly revocation: Readonly<Record<"p50Ms" | "p99Ms" | "maxMs" | "strictP50Ms", number | null>> | null;
}

interface Ran {
  readonly status: number | null;
  readonly printed: string;
  readonly figures: Figures;
}

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "latchkey-drill-test-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

async function drill(...flags: readonly string[]): Promise<Ran> {
  const file = path.join(directory, `${flags.length}-${Date.now()}.json`);
  const child = spawn(process.execPath, [DRILL, ...flags, "--json", file], { stdio: ["ignore", "pipe", "inherit"] });
  let printed = "";
  child.stdout.on("data", (chunk: Buffer) => (printed += chunk.toString()));
  const status = await new Promise<number | null>((resolve) => void child.once("close", resolve));
  return { status, printed, figures: JSON.parse(await readFile(file, "utf8")) as Figures }; // checked below
}

const names = DRILLS.map(({ name }) => name);

describe("the quick drills", () => {
  it("hold, each with its measures, its timeline and the link to its runbook", { timeout: 400_000 }, async () => {
    const { status, printed, figures } = await drill("--quick", "--seed", "7");
    const missed = figures.drills.flatMap(({ name, error, targets }) => [
      ...(error === null ? [] : [`${name}: ${error}`]),
      ...targets.filter(({ held }) => !held).map((target) => `${name}: ${target.name}`),
    ]);
    expect(missed).toEqual([]);
    expect(figures.drills.map(({ name, verdict }) => [name, verdict])).toEqual(names.map((name) => [name, "held"]));
    for (const { name, targets, timeline } of figures.drills) {
      expect(targets.length, name).toBeGreaterThan(0);
      expect(timeline.length, name).toBeGreaterThan(0);
      expect(printed).toContain(`docs/operations.md#drill-${name}`);
    }
    for (const figure of ["p50Ms", "p99Ms", "maxMs", "strictP50Ms"] as const)
      expect(figures.revocation?.[figure], figure).toEqual(expect.any(Number));
    expect(status).toBe(0);
  });
});

describe("a revoke that skips the meter", () => {
  it("breaks the revocation drill, which says where", { timeout: 120_000 }, async () => {
    const { status, printed, figures } = await drill(
      "--quick",
      "--only",
      "revocation",
      "--plant",
      "revoke-skips-meter",
    );
    const [revocation] = figures.drills;
    expect(revocation?.verdict).toBe("broken");
    const missed = revocation?.targets.filter(({ held }) => !held).map(({ name }) => name);
    expect(missed).toEqual(
      expect.arrayContaining([
        "requests sent more than 5 s after the revoke, and admitted",
        "key and isolate that never refused",
      ]),
    );
    expect(printed).toContain("revocation: BROKEN");
    expect(status).toBe(1);
  });
});
