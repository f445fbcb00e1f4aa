import { env } from "cloudflare:workers";
import { expect, test } from "vitest";

test("wrangler.toml gives the Worker every binding that it names", () => {
  expect(Object.keys(env)).toEqual(
    expect.arrayContaining([
      "KEYS",
      "KEY_REGISTRY",
      "KEY_METER",
      "USAGE_LEDGER",
      "HASH_CLAIMS",
      "REPLAY_GUARD",
      "REQUEST_LOG",
      "SIGNING_KEYS",
      "ALERT_CENTER",
      "USAGE",
      "FAILURE_SHIELD",
      "CONTROL_RATE",
      "LATCHKEY_ROOT_TOKEN",
      "LATCHKEY_UPSTREAM_URL",
    ]),
  );
});
