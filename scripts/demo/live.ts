import type { UsageEvent } from "../../src/usage/event.ts";
import type { Runtime } from "../local/runtime.ts";
import type { Started } from "../local/serve.ts";
import type { IssuedSecrets } from "./keyring.ts";
import type { OpenedDemo } from "./open.ts";
import { eventsOf, inHour, type KeyInHour } from "./requests.ts";

/**
 * The customers' traffic from now on: real requests with their keys, sent as Cloudflare's edge would hand them on, so that the gateway
 * itself decides on each.
 */

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const MINUTES_AN_HOUR = 60;
const TICK_MS = 500;
const TIMEOUT_MS = 10_000;
const SLOWEST_MS = 2_000;

interface Due {
  readonly at: number;
  readonly key: string;
  readonly event: UsageEvent;
}

export async function startTraffic({ week, keys }: OpenedDemo, runtime: Runtime, started: Started): Promise<void> {
  const { origin } = await runtime.url();
  const { mark, duringMinute } = planner(week.keys, keys);
  let planned = mark(Date.now());
  let due: readonly Due[] = duringMinute(planned).filter(({ at }) => at >= Date.now());
  started.traffic = setInterval(() => {
    const now = Date.now();
    if (mark(now) !== planned) {
      planned = mark(now);
      due = [...due, ...duringMinute(planned)];
    }
    const ready = due.filter(({ at }) => at <= now);
    due = due.filter(({ at }) => at > now);
    if (ready.length > 0) started.lastUse = now;
    for (const one of ready) void send(origin, one);
  }, TICK_MS);
}

/** @param traffic of all keys; those that were never issued in what was filled are left out. */
function planner(traffic: OpenedDemo["week"]["keys"], keys: IssuedSecrets) {
  let hour = 0;
  let used: readonly KeyInHour[] = [];
  return {
    mark: (now: number): number => Math.floor(now / MINUTE_MS),
    duringMinute: (minute: number): readonly Due[] => {
      const present = Math.floor((minute * MINUTE_MS) / HOUR_MS);
      if (present !== hour) {
        hour = present;
        used = traffic
          .map((key) => inHour({ traffic: key, keyId: key.facts.keyId, lineageId: key.lineageId }, hour))
          .filter((of) => of !== null);
      }
      return used.flatMap((of) => {
        const key = keys[of.key.keyId];
        if (key === undefined) return [];
        return eventsOf(of, minute % MINUTES_AN_HOUR).map((event) => ({ at: event.time, key, event }));
      });
    },
  };
}

async function send(origin: string, { key, event }: Due): Promise<void> {
  const { country, asn, colo, clientIp } = event;
  try {
    const answer = await fetch(origin + targetOf(event), {
      method: event.method,
      headers: {
        authorization: `Bearer ${key}`,
        "user-agent": event.userAgentFamily ?? "",
        "cf-connecting-ip": (clientIp ?? "10.0.0.0/24").replace(/0\/24$/, "17"),
        "mf-cf-blob": JSON.stringify({ country, asn, colo, httpProtocol: "HTTP/2" }),
        "content-type": "application/json",
      },
      ...(event.method === "POST" ? { body: JSON.stringify({ note: "x".repeat(event.bytesIn) }) } : {}),
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    await answer.arrayBuffer();
  } catch {
    // A runtime that is stopped; what the gateway says of it stands on its pages.
  }
}

/** Where the demo's origin answers as the event has it, as far as the route leaves room to ask for that. */
function targetOf({ route, status, upstreamMs, time }: UsageEvent): string {
  const tail = status >= 500 ? `status/${status}` : `slow/${Math.min(SLOWEST_MS, upstreamMs ?? 0)}`;
  switch (route) {
    case "/v1/catalog/*":
    case "/v1/reports/*":
      return route.replace("*", tail);
    case "/v1/orders/:id":
      return `/v1/orders/${time % 100_000}`;
    case "/v1/staff/*":
      return "/v1/staff/settings";
    default:
      return route ?? "/v1/search";
  }
}
