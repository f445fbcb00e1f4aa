import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";

/** A list of guarantees is worth something only while the tests that it names exist. */

const ROOT = path.resolve(import.meta.dirname, "../..");
const MATRIX = readFileSync(path.join(ROOT, "docs/test-matrix.md"), "utf8");

/** "`pure/x`: "name", "name"", with as many names as follow. */
const REFERENCE = /`((?:pure|workerd|blackbox)\/[a-z0-9-]+)`(?:: ((?:"[^"\n]+"(?:, )?)+))?/g;

function sourceOf(file: string): string {
  const at = path.join(ROOT, "test", `${file}.test.ts`);
  return existsSync(at) ? readFileSync(at, "utf8") : "";
}

test("every test that docs/test-matrix.md names is there", () => {
  const missing: string[] = [];
  let named = 0;
  for (const [, file = "", names = ""] of MATRIX.matchAll(REFERENCE)) {
    const source = sourceOf(file);
    if (file !== "pure/x" && file !== "workerd/x" && file !== "blackbox/x" && source === "") missing.push(file);
    for (const [, name = ""] of names.matchAll(/"([^"]+)"/g)) {
      named++;
      // In the page a backtick stands after a backslash.
      if (!source.includes(name.replaceAll("\\`", "`"))) missing.push(`${file}: ${name}`);
    }
  }
  expect(missing).toEqual([]);
  expect(named).toBeGreaterThan(150);
});
