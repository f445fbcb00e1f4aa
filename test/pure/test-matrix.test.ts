import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";

/** A list of guarantees is worth something only while the tests that it names exist. */

const ROOT = path.resolve(import.meta.dirname, "../..");
const MATRIX = ["docs/test-matrix.md", "docs/conformance.md"]
  .map((file) => readFileSync(path.join(ROOT, file), "utf8"))
  .join("\n");

/** "`pure/x`: "name", "name"", with as many names as follow. */
const REFERENCE = /`((?:pure|workerd|blackbox|conformance)\/[a-z0-9-]+)`(?:: ((?:"[^"\n]+"(?:, )?)+))?/g;

function sourceOf(file: string): string {
  const at = path.join(ROOT, "test", `${file}.test.ts`);
  return existsSync(at) ? readFileSync(at, "utf8") : "";
}

test("every test that docs/test-matrix.md and docs/conformance.md name is there", () => {
  const missing: string[] = [];
  let named = 0;
  for (const [, file = "", names = ""] of MATRIX.matchAll(REFERENCE)) {
    const source = sourceOf(file);
    // `x` stands for any name.
    if (!file.endsWith("/x") && source === "") missing.push(file);
    for (const [, name = ""] of names.matchAll(/"([^"]+)"/g)) {
      named++;
      // In the page a backtick stands after a backslash.
      if (!source.includes(name.replaceAll("\\`", "`"))) missing.push(`${file}: ${name}`);
    }
  }
  expect(missing).toEqual([]);
  expect(named).toBeGreaterThan(150);
});
