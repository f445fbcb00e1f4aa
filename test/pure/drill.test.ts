import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it, test } from "vitest";
import { DRILLS } from "../../scripts/drill/catalogue.ts";
import { runbookOf } from "../../scripts/drill/drill.ts";
import { atLeast, atMost, exactly, percentile, spreadOf } from "../../scripts/drill/figures.ts";
import { seededRandom } from "../../scripts/drill/random.ts";

const ROOT = path.resolve(import.meta.dirname, "../..");

/** As GitHub names headings: lower case, punctuation away, hyphens for spaces. */
function anchorsOf(markdown: string): Set<string> {
  const headings = [...markdown.matchAll(/^#+ (.+)$/gm)].map((match) => match[1] ?? "");
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\- _]/gu, "")
        .replaceAll(" ", "-"),
    ),
  );
}

test.each(DRILLS.map(({ name }) => name))("the runbook that the drill %s links to exists", (name) => {
  const [file = "", anchor = ""] = runbookOf(name).split("#");
  expect(anchorsOf(readFileSync(path.join(ROOT, file), "utf8"))).toContain(anchor);
});

test("every link inside the operations page leads somewhere", () => {
  const markdown = readFileSync(path.join(ROOT, "docs/operations.md"), "utf8");
  const anchors = anchorsOf(markdown);
  const links = [...markdown.matchAll(/\]\(#([^)]+)\)/g)].map((match) => match[1] ?? "");
  expect(links.length).toBeGreaterThan(0);
  expect(links.filter((link) => !anchors.has(link))).toEqual([]);
});

describe("the figures of a drill", () => {
  it("a percentile is a value that was measured, and none of nothing", () => {
    expect(spreadOf([5, 1, 3, 2, 4])).toEqual({ p50: 3, p99: 5, max: 5 });
    expect(percentile([7], 50)).toBe(7);
    expect(percentile([], 50)).toBeNaN();
  });

  it("a figure that was not measured holds no target", () => {
    expect(atMost("x", Number.NaN, 1).held).toBe(false);
    expect(atLeast("x", Number.NaN, 1).held).toBe(false);
    expect(exactly("x", Number.NaN, 1).held).toBe(false);
    expect(atMost("x", Infinity, 1)).toMatchObject({ held: false, measured: "never" });
  });

  it("a bound holds what lies on it, and nothing past it", () => {
    expect([atMost("x", 5, 5).held, atMost("x", 5.1, 5).held]).toEqual([true, false]);
    expect([atLeast("x", 5, 5).held, atLeast("x", 4.9, 5).held]).toEqual([true, false]);
  });
});

test("a seed repeats its numbers, and another gives others", () => {
  const draw = (seed: number) => Array.from({ length: 5 }, seededRandom(seed));
  expect(draw(1)).toEqual(draw(1));
  expect(draw(1)).not.toEqual(draw(2));
  for (const number of draw(3)) expect(number >= 0 && number < 1).toBe(true);
});
