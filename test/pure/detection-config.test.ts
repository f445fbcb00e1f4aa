import { describe, expect, test } from "vitest";
import type { GatewayConfig } from "../../src/config.ts";
import { DEFAULT_THRESHOLDS } from "../../src/detection/thresholds.ts";
import { checkConfig } from "../../src/gateway/config-check.ts";

/** `detection` of `gateway.config.ts`. */

function faults(detection: unknown): readonly string[] {
  const upstreams = { a: { url: "https://origin.example.com" } };
  // What a configuration in JavaScript may hold, whatever the type says.
  const config = { upstreams, plans: { gold: [] }, detection } as GatewayConfig;
  return checkConfig(config, {}).map(({ place }) => place);
}

test("rules with every name, every default threshold and every detector off are sound", () => {
  expect(faults([])).toEqual([]);
  expect(
    faults([
      { owner: "acme", tag: "batch", plan: "gold", environment: "test", thresholds: DEFAULT_THRESHOLDS },
      { off: ["spike", "canary_used"], thresholds: { spike: { ratio: 12 } } },
    ]),
  ).toEqual([]);
});

describe("a fault is named by its place", () => {
  test.each([
    ["no list", {}, "detection"],
    ["a misspelt field", [{ owners: "acme" }], "detection[0]"],
    ["an empty owner", [{ owner: "" }], "detection[0].owner"],
    ["a plan that is none", [{ plan: "platinum" }], "detection[0].plan"],
    ["an environment that is none", [{ environment: "prod" }], "detection[0].environment"],
    ["a detector that is none", [{ off: ["spikes"] }], "detection[0].off[0]"],
    ["thresholds that are no object", [{ thresholds: [] }], "detection[0].thresholds"],
    ["thresholds of no detector", [{ thresholds: { spikes: {} } }], "detection[0].thresholds"],
    ["a threshold that is none", [{ thresholds: { spike: { rate: 2 } } }], "detection[0].thresholds.spike"],
    ["a threshold as text", [{ thresholds: { spike: { ratio: "2" } } }], "detection[0].thresholds.spike.ratio"],
    ["a negative one", [{ thresholds: { spike: { ratio: -1 } } }], "detection[0].thresholds.spike.ratio"],
    ["one that is no number", [{ thresholds: { spike: { ratio: NaN } } }], "detection[0].thresholds.spike.ratio"],
    [
      "a window of more than an hour",
      [{ thresholds: { errorJump: { windowMinutes: 90 } } }],
      "detection[0].thresholds.errorJump.windowMinutes",
    ],
    ["no nights", [{ thresholds: { oddHours: { nights: [] } } }], "detection[0].thresholds.oddHours.nights"],
    [
      "a window without its number",
      [{ thresholds: { authFailures: { windows: [{ minutes: 5 }] } } }],
      "detection[0].thresholds.authFailures.windows.0",
    ],
    ["names of the prototype", [{ thresholds: { constructor: {} } }], "detection[0].thresholds"],
  ])("%s", (_name, detection, place) => {
    expect(faults(detection)).toEqual([place]);
  });
});
