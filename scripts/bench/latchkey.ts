import path from "node:path";
import { digestKey } from "../../src/keys/digest.ts";
import { exchangeKey } from "../lab/exchange.ts";
import { bundleEntry } from "./bundle.ts";
import { COMMON_HEADERS } from "./candidate.ts";
import type { Candidate, Running } from "./candidate.ts";
import { FULL_KEY, importKeys, issueKey, revokeKey } from "./control.ts";
import { exchangeRequest } from "./exchange.ts";
import { GATEWAY_SERVICE, startGateway } from "./gateway.ts";
import type { Gateway, GatewayOptions } from "./gateway.ts";
import { keyedRequest, newKey } from "./keyed-request.ts";

/** Latchkey as shipped, in each of the situations that a request can meet. */

/** What distinguishes one situation from another, on a gateway that runs. */
type Situation = Pick<Candidate, "name" | "about" | "floor"> & {
  readonly beside?: GatewayOptions["beside"];
  readonly prepare: (
    gateway: Gateway,
  ) => Promise<Pick<Running, "requests" | "expectedStatus" | "once"> & { readonly url?: string }>;
};

/** Requests with a key that no isolate has seen: each costs the run a key. */
const COLD_KEYS = 1_200;

/** A Worker of another team that asks before it answers; and the same without asking. */
const CALLER = path.join(import.meta.dirname, "workers/caller-worker.ts");

/** In place of the usual one, which would refuse the eleventh in a second. */
const EXCHANGE_LIMITS = [
  ...FULL_KEY.limits,
  { name: "token-exchange", limit: 100_000_000, window: "minute", kind: "rate" },
];

const SITUATIONS: readonly Situation[] = [
  {
    name: "latchkey",
    about: "warm, everything on: digest, record, lease, scope, network, two limits, headers, events",
    floor: "hono",
    prepare: async (gateway) => {
      const { key } = await issueKey(gateway, {});
      return { requests: [keyedRequest(key)], expectedStatus: 200 };
    },
  },
  {
    name: "token",
    about:
      "the same with a token in the key's place: its digest in place of the key's, what was verified is remembered",
    floor: "hono",
    prepare: async (gateway) => {
      const { key } = await issueKey(gateway, { policy: { tokenTtlSeconds: 3_600 } });
      return { requests: [keyedRequest(await exchangeKey(gateway.url, key, COMMON_HEADERS))], expectedStatus: 200 };
    },
  },
  {
    name: "exchange",
    about: "a key is exchanged for a token: form, key, lease, limits, ES256 signature, event; nothing is forwarded",
    floor: "jose-sign",
    prepare: async (gateway) => {
      const { key } = await issueKey(gateway, { limits: EXCHANGE_LIMITS });
      return { requests: [exchangeRequest(key)], expectedStatus: 200 };
    },
  },
  {
    name: "strict",
    about: "a strict key: every request asks its meter, a Durable Object in the same process",
    floor: "hono",
    prepare: async (gateway) => {
      const { key } = await issueKey(gateway, { policy: { strict: true } });
      return { requests: [keyedRequest(key)], expectedStatus: 200 };
    },
  },
  {
    name: "cold-key",
    about: "a key that the isolate has never seen: one KV read, one call to a meter without memory",
    floor: "hono",
    prepare: async (gateway) => {
      const keys = Array.from({ length: COLD_KEYS }, newKey);
      await importKeys(gateway, keys.map(digestKey));
      // Meters that have just heard of their keys still hold them in memory.
      await gateway.restart();
      return { requests: keys.map(keyedRequest), expectedStatus: 200, once: true };
    },
  },
  {
    name: "garbage",
    about: "refused, 401: a key with a wrong checksum",
    floor: null,
    prepare: async () => {
      const key = newKey();
      const wrong = `${key.slice(0, -1)}${key.endsWith("0") ? "1" : "0"}`;
      return { requests: [keyedRequest(wrong)], expectedStatus: 401 };
    },
  },
  {
    name: "revoked",
    about: "refused, 401: a key that was revoked",
    floor: null,
    prepare: async (gateway) => {
      const { id, key } = await issueKey(gateway, {});
      await revokeKey(gateway, id);
      return { requests: [keyedRequest(key)], expectedStatus: 401 };
    },
  },
  {
    name: "over-limit",
    about: "refused, 429: a key whose quota is used up",
    floor: null,
    prepare: async (gateway) => {
      // The route costs 5 units: not even one request fits.
      const limits = [{ name: "monthly", limit: 1, window: "month", kind: "quota" }];
      const { key } = await issueKey(gateway, { limits });
      return { requests: [keyedRequest(key)], expectedStatus: 429 };
    },
  },
  {
    name: "rpc-floor",
    about: "a Worker that answers by itself, after an RPC call that does nothing",
    floor: null,
    beside: callerWorker,
    prepare: async (gateway) => ({
      url: gateway.besideUrl,
      requests: [{ ...keyedRequest(newKey()), path: "/nothing" }],
      expectedStatus: 200,
    }),
  },
  {
    name: "verify-rpc",
    about: "the same Worker, after a call of Latchkey's Verifier by RPC with the client's key",
    floor: "rpc-floor",
    beside: callerWorker,
    prepare: async (gateway) => {
      const { key } = await issueKey(gateway, {});
      return { url: gateway.besideUrl, requests: [{ ...keyedRequest(key), path: "/verify" }], expectedStatus: 200 };
    },
  },
];

async function callerWorker(
  directory: string,
  settings: Parameters<NonNullable<GatewayOptions["beside"]>>[1],
): ReturnType<NonNullable<GatewayOptions["beside"]>> {
  const module = await bundleEntry({ directory, entry: CALLER, settings });
  return {
    name: "caller",
    module: path.relative(directory, module),
    compatibilityDate: settings.compatibility_date,
    compatibilityFlags: settings.compatibility_flags,
    bindings: [
      { name: "LATCHKEY", service: GATEWAY_SERVICE, entrypoint: "Verifier" },
      { name: "NOTHING", service: "caller", entrypoint: "Nothing" },
    ],
    objectClasses: [],
  };
}

/** How a profile wants its gateway: with an inspector, and names that can be read. */
export type Variant = Pick<GatewayOptions, "minify" | "inspector">;

export interface RunningGateway extends Running {
  readonly gateway: Gateway;
}

async function startSituation(
  { beside, prepare }: Situation,
  options: Pick<GatewayOptions, "originUrl" | "directory"> & Variant,
): Promise<RunningGateway> {
  const gateway = await startGateway({ ...options, ...(beside === undefined ? {} : { beside }) });
  try {
    const prepared = await prepare(gateway);
    return {
      url: gateway.url,
      ...prepared,
      pids: () => [gateway.server().pid],
      stop: gateway.stop,
      gateway,
    };
  } catch (error) {
    await gateway.stop();
    throw error;
  }
}

export const LATCHKEY: readonly Candidate[] = SITUATIONS.map((situation) => ({
  name: situation.name,
  about: situation.about,
  family: "latchkey",
  floor: situation.floor,
  start: (surroundings) => startSituation(situation, surroundings),
}));

/** For `--profile`; `null` when there is no such situation. */
export function startToProfile(
  name: string,
  options: Pick<GatewayOptions, "originUrl" | "directory">,
): Promise<RunningGateway> | null {
  const situation = SITUATIONS.find((one) => one.name === name);
  return situation === undefined ? null : startSituation(situation, { ...options, minify: false, inspector: true });
}
