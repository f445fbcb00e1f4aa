import { defineConfig } from "./src/config.ts";

/** What this deployment fronts. The demo upstream is what `npm start` serves; put your own API in its place. */
export default defineConfig({
  upstreams: {
    demo: {
      urlFromEnv: "LATCHKEY_UPSTREAM_URL",
      open: true,
      workspace: "*",
    },
  },
  routes: [
    {
      upstream: "demo",
      method: "GET",
      path: "/reports/*",
      scopes: ["reports:read"],
      cost: 5,
    },
    {
      upstream: "demo",
      method: "POST",
      path: "/charges",
      scopes: ["charges:write"],
      strict: true,
      audit: "sync",
    },
    {
      upstream: "demo",
      method: "GET",
      path: "/public/*",
      keyInQuery: "api_key",
    },
  ],
  plans: {
    free: [
      { name: "burst", limit: 60, window: "minute", kind: "rate" },
      { name: "monthly", limit: 10_000, window: "month", kind: "quota" },
    ],
    pro: [
      { name: "burst", limit: 1_000, window: "minute", kind: "rate" },
      { name: "monthly", limit: 1_000_000, window: "month", kind: "quota" },
    ],
  },
});
