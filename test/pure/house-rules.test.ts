import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

/** The house's import rules are lint rules; here each is broken once, to see that it holds. */

const ROOT = path.resolve(import.meta.dirname, "../..");
const OXLINT = path.join(path.dirname(createRequire(import.meta.url).resolve("oxlint/package.json")), "bin/oxlint");

/** A file that breaks a rule, and the rule. */
const BREACHES: readonly (readonly [file: string, source: string, rule: string])[] = [
  ["src/keys/a.ts", 'import { Hono } from "hono"; export const a = Hono;', "no-restricted-imports"],
  ["src/keys/b.ts", 'import { env } from "cloudflare:workers"; export const b = env;', "no-restricted-imports"],
  ["src/keys/c.ts", 'import { now } from "../platform/clock.ts"; export const c = now;', "no-restricted-imports"],
  ["src/keys/d.ts", 'import type { X } from "../gateway/check.ts"; export type D = X;', "no-restricted-imports"],
  [
    "src/keys/e.ts",
    'import { randomBytes } from "node:crypto"; export const e = randomBytes;',
    "no-restricted-imports",
  ],
  ["src/keys/f.ts", 'import { readFileSync } from "node:fs"; export const f = readFileSync;', "no-restricted-imports"],
  [
    "src/limits/a.ts",
    'import { M } from "../../durable-objects/key-meter/m.ts"; export const a = M;',
    "no-restricted-imports",
  ],
  ["src/limits/b.ts", "export const b = () => Date.now();", "no-restricted-properties"],
  ["src/limits/c.ts", "export const c = () => Math.random();", "no-restricted-properties"],
  ["src/limits/d.ts", 'export const d = () => fetch("https://example.com");', "no-restricted-globals"],
  ["src/limits/e.ts", "export const e = () => crypto.randomUUID();", "no-restricted-globals"],
  ["src/detection/a.ts", "export const a = () => Date.now();", "no-restricted-properties"],
  ["src/detection/b.ts", 'import { now } from "../platform/clock.ts"; export const b = now;', "no-restricted-imports"],
  ["src/alerts/a.ts", "export const a = () => Math.random();", "no-restricted-properties"],
  ["src/alerts/b.ts", 'import { send } from "../usage/send.ts"; export const b = send;', "no-restricted-imports"],
  ["src/gateway/a.ts", 'import { keys } from "../control/keys.ts"; export const a = keys;', "no-restricted-imports"],
  ["src/gateway/b.ts", 'import { z } from "zod"; export const b = z;', "no-restricted-imports"],
  ["src/gateway/c.ts", 'import { x } from "../../test/support/x.ts"; export const c = x;', "no-restricted-imports"],
  ["src/control/a.ts", 'import { check } from "../gateway/check.ts"; export const a = check;', "no-restricted-imports"],
  [
    "src/usage/a.ts",
    'import { createRoute } from "@hono/zod-openapi"; export const a = createRoute;',
    "no-restricted-imports",
  ],
  [
    "durable-objects/x/a.ts",
    'import { keys } from "../../src/control/keys.ts"; export const a = keys;',
    "no-restricted-imports",
  ],
  ["durable-objects/x/b.ts", 'import { z } from "zod/mini"; export const b = z;', "no-restricted-imports"],
  ["src/http/a.ts", 'import { b } from "./b"; export const a = b;', "extensions"],
  ["src/http/loop-a.ts", 'import { b } from "./loop-b.ts"; export const a = () => b;', "no-cycle"],
];

/** What the rules leave open. */
const ALLOWED: readonly (readonly [file: string, source: string])[] = [
  ["src/keys/ok.ts", 'import { createHash } from "node:crypto"; export const ok = createHash;'],
  ["src/limits/ok.ts", 'import type { R } from "../result.ts"; export const ok = (r: R) => new Date(Number(r));'],
  ["src/detection/ok.ts", 'import { fnv1a } from "../platform/fnv.ts"; export const ok = fnv1a;'],
  ["src/alerts/ok.ts", 'import { createHmac } from "node:crypto"; export const ok = createHmac;'],
  ["src/alerts/ok2.ts", 'import { addDistinct } from "../usage/distinct.ts"; export const ok = addDistinct;'],
  ["src/control/ok.ts", 'import { z } from "zod"; import { k } from "../keys/k.ts"; export const ok = [z, k];'],
  [
    "src/gateway/ok.ts",
    'import { k } from "../keys/k.ts"; import { p } from "./control-plane.ts"; export const ok = [k, p];',
  ],
];

interface Finding {
  readonly code: string;
  readonly filename: string;
}

let findings: readonly Finding[];
const house = mkdtempSync(path.join(tmpdir(), "latchkey-house-"));

beforeAll(() => {
  cpSync(path.join(ROOT, ".oxlintrc.json"), path.join(house, ".oxlintrc.json"));
  const cycle = ["src/http/loop-b.ts", 'import { a } from "./loop-a.ts"; export const b = () => a;'] as const;
  for (const [file, source] of [...BREACHES, ...ALLOWED, cycle]) {
    mkdirSync(path.join(house, path.dirname(file)), { recursive: true });
    writeFileSync(path.join(house, file), `${source}\n`);
  }
  let output: string;
  try {
    output = execFileSync(process.execPath, [OXLINT, "--format", "json"], { cwd: house, encoding: "utf8" });
  } catch (error) {
    output = (error as { stdout: string }).stdout; // it exits with 1 when it finds something
  }
  findings = (JSON.parse(output) as { diagnostics: Finding[] }).diagnostics; // oxlint's own format
});
afterAll(() => rmSync(house, { recursive: true, force: true }));

function rulesBrokenBy(file: string): string[] {
  return findings.filter(({ filename }) => filename === file).map(({ code }) => /\(([^)]+)\)/.exec(code)?.[1] ?? code);
}

test.each(BREACHES)("lint refuses %s: %s", (file, _source, rule) => {
  expect(rulesBrokenBy(file)).toContain(rule);
});

test.each(ALLOWED)("lint allows %s: %s", (file) => {
  expect(rulesBrokenBy(file)).toEqual([]);
});

test("the pure core never asks for the present time through an empty `new Date()`", () => {
  for (const folder of ["src/keys", "src/limits", "src/detection", "src/alerts"]) {
    for (const file of readdirSync(path.join(ROOT, folder), { recursive: true, encoding: "utf8" })) {
      if (!file.endsWith(".ts")) continue;
      expect(readFileSync(path.join(ROOT, folder, file), "utf8"), `${folder}/${file}`).not.toMatch(/new Date\(\s*\)/);
    }
  }
});
