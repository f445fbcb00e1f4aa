import { defineConfig } from "../../src/config.ts";
import { DEAR_COST, DEMO_LIMITS } from "../traffic/demo-week.ts";

/** What the demo fronts: an API for shops, sold by plan. */

const MONTHLY = { window: "month", kind: "quota" } as const;
const BURST = { name: "burst", window: "minute", kind: "rate" } as const;

export const PLANS = {
  starter: [
    { ...BURST, limit: DEMO_LIMITS[0] },
    { ...MONTHLY, name: "monthly", limit: 250_000 },
  ],
  growth: [
    { ...BURST, limit: DEMO_LIMITS[1] },
    { ...MONTHLY, name: "monthly", limit: 2_500_000 },
  ],
  enterprise: [{ ...MONTHLY, name: "monthly", limit: 25_000_000 }],
} as const;
export type Plan = keyof typeof PLANS;

export const SCOPES = ["orders:read", "orders:write", "catalog:read", "search:read", "reports:read"];

export default defineConfig({
  upstreams: {
    shop: { urlFromEnv: "LATCHKEY_UPSTREAM_URL", pathPrefix: "/v1" },
    reports: { urlFromEnv: "LATCHKEY_UPSTREAM_URL", pathPrefix: "/v1/reports" },
  },
  routes: [
    { upstream: "shop", method: "GET", path: "/v1/orders/:id", scopes: ["orders:read"] },
    { upstream: "shop", method: "POST", path: "/v1/orders", scopes: ["orders:write"] },
    { upstream: "shop", method: "GET", path: "/v1/catalog/*", scopes: ["catalog:read"] },
    { upstream: "shop", method: "GET", path: "/v1/search", scopes: ["search:read"] },
    { upstream: "shop", method: "*", path: "/v1/staff/*", scopes: ["staff:write"] },
    { upstream: "reports", method: "GET", path: "/v1/reports/*", scopes: ["reports:read"], cost: DEAR_COST },
  ],
  plans: PLANS,
  pricing: {
    currency: "EUR",
    perUnit: "0.0008",
    perUnitByPlan: { starter: "0.0008", growth: "0.0005", enterprise: "0.0002" },
  },
  requestLog: { sampleRate: 0.2 },
  selfService: { issue: { scopes: SCOPES, plan: "starter" } },
});
