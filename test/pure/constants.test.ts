import { expect, test } from "vitest";
import { LEASE_RENEW_AHEAD_MS, LEASE_TTL_MS, METER_TIMEOUT_MS, REVOCATION_BOUND_SECONDS } from "../../src/constants.ts";

test("a lease ends before the public bound on revocation", () => {
  expect(LEASE_TTL_MS).toBeLessThan(REVOCATION_BOUND_SECONDS * 1_000);
});

test("a lease can be renewed more than once before it ends", () => {
  expect(LEASE_RENEW_AHEAD_MS).toBeLessThan(LEASE_TTL_MS);
  expect(METER_TIMEOUT_MS).toBeLessThan(LEASE_TTL_MS);
});
