import { expect, test } from "vitest";
import { placeOf } from "../../src/gateway/place.ts";

/** Where an isolate takes itself to be, and so which brokers it asks. */

function requestFrom(cf: Readonly<Record<string, unknown>> | undefined): Request {
  // Node's requests have no `cf`; the platform's do.
  return Object.assign(new Request("https://api.example.com/"), cf === undefined ? {} : { cf });
}

test.each([
  ["weur", "FRA", { continent: "EU", country: "DE", longitude: "8.68" }],
  ["eeur", "WAW", { continent: "EU", country: "PL", longitude: "21.01" }],
  ["enam", "IAD", { continent: "NA", country: "US", longitude: "-77.46" }],
  ["wnam", "SEA", { continent: "NA", country: "US", longitude: "-122.33" }],
  ["sam", "GRU", { continent: "SA", country: "BR", longitude: "-46.47" }],
  ["afr", "JNB", { continent: "AF", country: "ZA", longitude: "28.04" }],
  ["oc", "SYD", { continent: "OC", country: "AU", longitude: "151.21" }],
  ["apac", "BOM", { continent: "AS", country: "IN", longitude: "72.87" }],
  ["apac-ne", "NRT", { continent: "AS", country: "JP", longitude: "139.69" }],
  ["apac-se", "SIN", { continent: "AS", country: "SG", longitude: "103.85" }],
  ["me", "DXB", { continent: "AS", country: "AE", longitude: "55.27" }],
] as const)("%s is where %s is", (region, colo, cf) => {
  expect(placeOf(requestFrom({ colo, ...cf }))).toEqual({ region, colo });
});

test.each([
  ["nothing of the client", { colo: "FRA" }, { region: "enam", colo: "FRA" }],
  ["a client behind Tor", { colo: "FRA", continent: "T1", country: "T1" }, { region: "enam", colo: "FRA" }],
  ["no location's code", { continent: "EU", longitude: "2.35" }, { region: "weur", colo: "" }],
  ["values of other kinds", { colo: 7, continent: 7, country: null, longitude: "x" }, { region: "enam", colo: "" }],
])("with %s it is somewhere all the same", (_, cf, place) => {
  expect(placeOf(requestFrom(cf))).toEqual(place);
});

test("where the platform says nothing, as in local running, it is nowhere in particular", () => {
  expect(placeOf(requestFrom(undefined))).toEqual({ region: null, colo: "" });
});
