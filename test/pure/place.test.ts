import { expect, test } from "vitest";
import { locationOf } from "../../src/gateway/place.ts";

/** Where an isolate takes itself to be, and so which brokers it asks. */

function requestFrom(cf: Readonly<Record<string, unknown>> | undefined): Request {
  // Node's requests have no `cf`; the platform's do.
  return Object.assign(new Request("https://api.example.com/"), cf === undefined ? {} : { cf });
}

test("at the location whose code the platform tells", () => {
  expect(locationOf(requestFrom({ colo: "FRA", continent: "EU" }))).toBe("FRA");
});

test.each([
  ["nothing is said, as in local running", undefined],
  ["another Worker calls", {}],
  ["the code is of another kind", { colo: 7 }],
])("nowhere in particular where %s", (_, cf) => {
  expect(locationOf(requestFrom(cf))).toBe("");
});
