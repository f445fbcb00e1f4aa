import { defineConfig, type GatewayConfig } from "../../src/config.ts";

/** Configurations that users might write, for `library-worker.ts`. The variable `LAB_CONFIG` of each Worker names its own. */
export const LIBRARY_CONFIGS: Readonly<Record<string, GatewayConfig>> = {
  full: defineConfig({
    realm: "lab",
    serverTiming: true,
    logSampleRate: 1,
    importedKeys: false,
    workspaces: { other: { prefix: "oth" } },
    upstreams: {
      // A host of its own, and one path prefix of it that another Worker serves.
      api: { urlFromEnv: "LATCHKEY_UPSTREAM_URL", hosts: ["api.lab.test"], open: true, preflight: "pass" },
      billing: {
        service: "BILLING",
        hosts: ["api.lab.test"],
        pathPrefix: "/billing",
        stripPrefix: true,
        preflight: {
          origins: ["https://app.example.com", "*.pages.example"],
          methods: ["GET", "POST"],
          maxAgeSeconds: 60,
          credentials: true,
        },
      },
      wild: { urlFromEnv: "LATCHKEY_UPSTREAM_URL", hosts: ["*.lab.test"], pathPrefix: "/v1" },
      tenant: {
        urlFromEnv: "LATCHKEY_UPSTREAM_URL",
        hosts: ["tenant.lab.test"],
        workspace: "other",
        environments: ["live"],
        open: true,
      },
      shown: {
        urlFromEnv: "LATCHKEY_UPSTREAM_URL",
        hosts: ["shown.lab.test"],
        open: true,
        assertion: true,
        audience: "https://shown.test",
      },
      // Nothing listens there.
      dead: {
        url: "http://127.0.0.1:1",
        hosts: ["dead.lab.test"],
        open: true,
        refundOn: ["upstream_unreachable", "upstream_timeout"],
      },
      slow: {
        urlFromEnv: "LATCHKEY_UPSTREAM_URL",
        hosts: ["slow.lab.test"],
        open: true,
        timeoutSeconds: 1,
        refundOn: ["upstream_timeout"],
      },
    },
    routes: [
      {
        upstream: "billing",
        method: "GET",
        path: "/billing/invoices/:id",
        scopes: ["invoices:read"],
        cost: 2,
        limits: [{ name: "invoices", limit: 6, window: "day", kind: "rate" }],
      },
      { upstream: "billing", method: "POST", path: "/billing/charges", scopes: ["charges:write"], maxBodyBytes: 10 },
      { upstream: "wild", method: ["GET", "POST"], path: "/v1/*" },
      { upstream: "dead", method: "GET", path: "/paid/*", cost: 3, refundOn: [] },
      { upstream: "slow", method: "GET", path: "/patient/*", timeoutSeconds: 5 },
    ],
    plans: {
      small: [{ name: "daily", limit: 5, window: "day", kind: "quota" }],
      large: [{ name: "daily", limit: 8, window: "day", kind: "quota" }],
    },
  }),
  /** Log lines for a quarter of the requests, imported keys, addresses whole. */
  sampled: defineConfig({
    leaseBrokers: false,
    logSampleRate: 0.25,
    clientIpInEvents: "whole",
    upstreams: { api: { urlFromEnv: "LATCHKEY_UPSTREAM_URL", open: true } },
  }),
  broken: defineConfig({
    upstreams: { api: { url: "not a URL" } },
    routes: [{ upstream: "nowhere", method: "GET", path: "/x" }],
    plans: { free: [{ name: "burst", limit: -1, window: "minute", kind: "rate" }] },
  }),
};
