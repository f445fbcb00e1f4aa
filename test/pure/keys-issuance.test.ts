import { expect, test } from "vitest";
import { MAX_DEADLINE_DAYS } from "../../src/constants.ts";
import { ADMIN_SCOPES } from "../../src/keys/admin-scopes.ts";
import { checkDeadlines, checkIssuance } from "../../src/keys/issuance.ts";
import type { Issuance } from "../../src/keys/issuance.ts";

const NOW = 1_800_000_000_000;
const DAY_MS = 86_400_000;
const ORIGINS = { origins: ["https://app.example.com"] };

function pointers(input: Partial<Issuance>, publishableScopes?: readonly string[]): string[] {
  const whole: Issuance = {
    kind: "secret",
    scopes: ["charges:read"],
    bindings: {},
    policy: {},
    notBefore: null,
    expiresAt: null,
    ...input,
  };
  return checkIssuance(whole, publishableScopes).map((fault) => fault.pointer);
}

test("a secret or admin key without scopes is not issued", () => {
  expect(pointers({})).toEqual([]);
  expect(pointers({ scopes: [] })).toEqual(["/scopes"]);
  expect(pointers({ kind: "admin", scopes: [] })).toEqual(["/scopes"]);
});

test("an admin key holds scopes of the control API only, and is strict", () => {
  expect(pointers({ kind: "admin", scopes: ADMIN_SCOPES })).toEqual([]);
  expect(pointers({ kind: "admin", scopes: ["keys:read", "keys:*", "charges:read"] })).toEqual([
    "/scopes/1",
    "/scopes/2",
  ]);
  expect(pointers({ kind: "admin", scopes: ["keys:read"], policy: { strict: false } })).toEqual(["/policy/strict"]);
});

test("a publishable key is bound to an origin and holds publishable scopes only, never an admin one", () => {
  const kind = "publishable";
  expect(pointers({ kind, bindings: ORIGINS })).toEqual([]);
  expect(pointers({ kind, bindings: {} })).toEqual(["/bindings/origins"]);
  expect(pointers({ kind, bindings: { origins: [] } })).toEqual(["/bindings/origins"]);
  expect(pointers({ kind, bindings: ORIGINS, scopes: ["charges:write", "charges:*"] })).toEqual([
    "/scopes/0",
    "/scopes/1",
  ]);
  expect(pointers({ kind, bindings: ORIGINS, scopes: ["charges:write"] }, ["charges:write"])).toEqual([]);
  for (const scope of ADMIN_SCOPES) {
    const pattern = `*:${scope.split(":")[1] ?? ""}`;
    expect([scope, pointers({ kind, bindings: ORIGINS, scopes: [scope] }, [scope, pattern])]).toEqual([
      scope,
      ["/scopes/0"],
    ]);
  }
});

test("an expiry lies behind the start, ahead of now, and within reach", () => {
  expect(pointers({ notBefore: NOW, expiresAt: NOW + 1 })).toEqual([]);
  expect(pointers({ notBefore: NOW, expiresAt: new Date(NOW).toISOString() })).toEqual(["/expiresAt"]);
  const check = (notBefore: number | null, expiresAt: number | null) =>
    checkDeadlines({ notBefore, expiresAt }, NOW).map((fault) => fault.pointer);
  const latest = NOW + MAX_DEADLINE_DAYS * DAY_MS;
  expect(check(NOW - 1, null)).toEqual([]);
  expect(check(null, NOW + 1)).toEqual([]);
  expect(check(null, NOW)).toEqual(["/expiresAt"]);
  expect(check(latest, latest)).toEqual([]);
  expect(check(latest + 1, latest + 1)).toEqual(["/notBefore", "/expiresAt"]);
});
