import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

/** Built at run time, so that no key-like literal stands in the tree. */
const TEST_ROOT_TOKEN = `lkroot_${"t".repeat(43)}`;

/** Where the Worker under test believes its upstream to be. Nothing listens there: tests mock `fetch` or bring a service. */
const TEST_UPSTREAM_URL = "http://upstream.test";

// Wrangler looks for secrets in .env and in the environment by itself.
process.env["CLOUDFLARE_LOAD_DEV_VARS_FROM_DOT_ENV"] = "false";

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "pure",
          include: ["test/pure/**/*.test.ts"],
          environment: "node",
          testTimeout: 60_000,
        },
      },
      {
        plugins: [
          cloudflareTest({
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: {
              bindings: {
                LATCHKEY_ROOT_TOKEN: TEST_ROOT_TOKEN,
                LATCHKEY_TOKEN_SECRET: "s".repeat(43),
                LATCHKEY_UPSTREAM_URL: TEST_UPSTREAM_URL,
                // Not what a developer's .dev.vars says.
                LATCHKEY_CONTROL_HOST: "",
                // What channels for alerts are given in tests; nothing leaves, since tests mock `fetch`.
                TEST_HOOK_URL: "https://hooks.example.com/alerts",
                TEST_DEAD_URL: "https://dead.example.com/alerts",
                TEST_HOOK_SECRET: `whsec_${btoa("w".repeat(32))}`,
              },
            },
          }),
        ],
        test: {
          name: "workerd",
          include: ["test/workerd/**/*.test.ts"],
          testTimeout: 30_000,
        },
      },
      {
        test: {
          name: "blackbox",
          include: ["test/blackbox/**/*.test.ts", "test/conformance/**/*.test.ts"],
          environment: "node",
          // Real servers on a small machine: one file at a time, and time to start.
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
