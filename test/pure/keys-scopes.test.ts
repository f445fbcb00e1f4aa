import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MAX_SCOPE_CHARACTERS } from "../../src/constants.ts";
import { covers, isPublishablePattern, isPublishableScope, isScope, missingScopes } from "../../src/keys/scopes.ts";

/** Few names, so that random scopes meet. */
const resource = fc.constantFrom("a", "ab", "a.b", "a.b.c", "b", "a-b");
const action = fc.constantFrom("read", "write", "r", "readall");
const concrete = fc.tuple(resource, action).map((parts) => parts.join(":"));
const scope = fc.oneof(
  concrete,
  resource.map((name) => `${name}:*`),
);

test("the grammar is resource:action, and a bare * is no scope", () => {
  for (const good of ["charges:read", "a:b", "billing.charges:read", "charges:*", "a_b-c.d1:x_y-z.1", "1:2"])
    expect(isScope(good), good).toBe(true);
  for (const bad of [
    "",
    "*",
    "*:*",
    "*:read",
    "charges",
    "charges:",
    ":read",
    "charges:r*",
    "Charges:read",
    "a:b:c",
    "a b:c",
    "a:b ",
    "-a:b",
    "a:-b",
    ".a:b",
    "a:**",
    "a:b\n",
  ]) {
    expect(isScope(bad), bad).toBe(false);
  }
  expect(isScope(`${"a".repeat(MAX_SCOPE_CHARACTERS - 2)}:b`)).toBe(true);
  expect(isScope(`${"a".repeat(MAX_SCOPE_CHARACTERS - 1)}:b`)).toBe(false);
});

describe("covering", () => {
  test("agrees with the definition for random sets", () => {
    fc.assert(
      fc.property(fc.array(scope, { maxLength: 6 }), fc.array(scope, { maxLength: 4 }), (granted, required) => {
        const coveredOne = (wanted: string) => {
          const [wantedResource] = wanted.split(":");
          return granted.some((held) => held === wanted || held === `${wantedResource}:*`);
        };
        expect(covers(granted, required)).toBe(required.every(coveredOne));
        expect(missingScopes(granted, required)).toEqual(required.filter((wanted) => !coveredOne(wanted)));
      }),
      { numRuns: 2_000 },
    );
  });

  test("a wildcard covers its own resource and no other, not even one that starts alike", () => {
    expect(covers(["charges:*"], ["charges:read", "charges:write", "charges:*"])).toBe(true);
    expect(covers(["charges:*"], ["chargesx:read"])).toBe(false);
    expect(covers(["charges:*"], ["charges.refunds:read"])).toBe(false);
    expect(covers(["a:read"], ["a:*"])).toBe(false);
    expect(covers(["*", "*:*", "*:read"], ["a:read"])).toBe(false);
  });

  test("nothing required is covered by nothing, and nothing covers something", () => {
    expect(covers([], [])).toBe(true);
    expect(covers([], ["a:read"])).toBe(false);
  });
});

test("a publishable key may hold what the patterns allow and nothing wider", () => {
  expect(isPublishableScope("charges:read", ["*:read"])).toBe(true);
  expect(isPublishableScope("charges:write", ["*:read"])).toBe(false);
  expect(isPublishableScope("charges:*", ["*:read"])).toBe(false);
  expect(isPublishableScope("carts:write", ["*:read", "carts:*"])).toBe(true);
  expect(isPublishableScope("carts:*", ["carts:write"])).toBe(false);
  expect(isPublishablePattern("*:read")).toBe(true);
  expect(isPublishablePattern("*:*")).toBe(false);
  expect(isPublishablePattern("*")).toBe(false);
});
