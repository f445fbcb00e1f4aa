import { fnv1a } from "../../src/platform/fnv.ts";
import type { UsageBatch, UsageEvent } from "../../src/usage/event.ts";
import { EVENTS_PER_BATCH } from "./order.ts";

/** Events as 1,000 keys of 100 owners make them, a few keys most of them. Pure: an id and a time always give the same. */

const KEYS = 1_000;
const OWNERS = 100;
const ROUTES = ["/orders/:id", "/reports/*", "/charges", "/users/:id", "/search"] as const;
const PLACES = [
  { country: "DE", asn: 3_320 },
  { country: "US", asn: 7_018 },
  { country: "BR", asn: 26_599 },
  { country: "IN", asn: 55_836 },
] as const;
const OUTCOMES = [
  { status: 429, code: "rate_limited", cost: 0 },
  { status: 403, code: "scope_insufficient", cost: 0 },
  { status: 503, code: "allowed", cost: 1 },
] as const;
const ALLOWED = { status: 200, code: "allowed", cost: 1 } as const;

export function makeBatch(batchId: string, at: number): UsageBatch {
  const events = Array.from({ length: EVENTS_PER_BATCH }, (_, index) => makeEvent(batchId, index, at));
  return { v: 1, batchId, events };
}

function makeEvent(batchId: string, index: number, at: number): UsageEvent {
  const draw = fnv1a(`${batchId} ${index}`);
  // The square of a fraction: a tenth of the keys makes a third of the events.
  const key = Math.floor((draw / 2 ** 32) ** 2 * KEYS);
  const { country, asn } = PLACES[key % PLACES.length] ?? PLACES[0];
  const name = `${batchId.slice("bat_".length)}${String(index).padStart(3, "0")}`;
  return {
    id: `evt_${name}`,
    requestId: `req_${name}`,
    time: at + (draw % 1_000),
    workspace: "default",
    keyId: `key_${key}`,
    lineageId: `lin_${key}`,
    owner: `owner-${key % OWNERS}`,
    environment: "live",
    method: "GET",
    upstream: "api",
    route: ROUTES[draw % ROUTES.length] ?? ROUTES[0],
    // Three of a hundred do not end well.
    ...(OUTCOMES[draw % 100] ?? ALLOWED),
    latencyMs: 20 + (draw % 200),
    authMs: draw % 3,
    upstreamMs: 18 + (draw % 190),
    bytesIn: 0,
    bytesOut: 512 + (draw % 4_096),
    country,
    asn,
    colo: "FRA",
    clientIp: `203.0.${key % 256}.0/24`,
    userAgentFamily: "curl",
    degraded: false,
  };
}
