import http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { Shape } from "./matrix.ts";
import { ARRIVED_AT } from "./origin.ts";
import type { Random } from "./random.ts";
import type { Sample } from "./judge.ts";

/** An open loop: requests are sent when they are due, whatever became of those before. */

/** One request to be sent. */
export interface Due {
  readonly at: number;
  /** Index of the isolate. */
  readonly isolate: number;
}

export interface Seen extends Sample {
  readonly status: number;
  readonly isolate: number;
}

export interface Offered {
  readonly seen: readonly Seen[];
  /** The longest time that a request was sent after it was due, ms. */
  readonly lateMs: number;
}

export interface Schedule {
  readonly from: number;
  readonly until: number;
  readonly perSecond: number;
  readonly isolates: number;
  readonly shape: Shape;
}

const BURST_MS = { least: 50, most: 100 } as const;
/** Nothing is sent so shortly before the last window ends, so that all that was sent is also decided in it. */
const QUIET_END_MS = 250;

/** When to send what, to whom. Within the last `QUIET_END_MS` nothing is due. */
export function schedule(plan: Schedule, random: Random): readonly Due[] {
  const dues: Due[] = [];
  const last = plan.until - QUIET_END_MS;
  for (let second = plan.from; second < plan.until; second += 1_000) {
    const spread = BURST_MS.least + random() * (BURST_MS.most - BURST_MS.least);
    const room = Math.min(1_000, last - second - spread);
    const phase = second === plan.from ? 0 : random() * room;
    for (let index = 0; index < plan.perSecond; index++) {
      const share = index / plan.perSecond;
      if (plan.shape === "bursty") dues.push({ at: second + phase + share * spread, isolate: index % plan.isolates });
      else dues.push({ at: second + share * 1_000, isolate: Math.floor(random() * plan.isolates) });
    }
  }
  return dues.filter(({ at }) => at < last).toSorted((a, b) => a.at - b.at);
}

/** Sends everything on time and waits for the answers. */
export async function offer(dues: readonly Due[], send: (isolate: number) => Promise<Seen>): Promise<Offered> {
  const pending: Promise<Seen>[] = [];
  let lateMs = 0;
  for (const { at, isolate } of dues) {
    // Timers may fire a little early; a request before its window would belong to another.
    for (let ahead = at - Date.now(); ahead > 0; ahead = at - Date.now()) await sleep(Math.ceil(ahead));
    lateMs = Math.max(lateMs, Date.now() - at);
    pending.push(send(isolate));
  }
  return { seen: await Promise.all(pending), lateMs };
}

const REQUEST_TIMEOUT_MS = 15_000;

/** Where isolates are, in turn: those of one location share its lease brokers. As the platform tells it, in `request.cf`. */
const PLACES = [
  { colo: "FRA", continent: "EU", country: "DE", longitude: "8.7" },
  { colo: "IAD", continent: "NA", country: "US", longitude: "-77.5" },
  { colo: "SIN", continent: "AS", country: "SG", longitude: "103.9" },
  { colo: "SYD", continent: "OC", country: "AU", longitude: "151.2" },
] as const;

export interface Client {
  /** Sends one request with this key. Never rejects: a request without an answer has status 0. */
  readonly send: (key: string, isolate: number) => Promise<Seen>;
  readonly close: () => void;
}

/** Keeps connections to every isolate. */
export function makeClient(urls: readonly string[]): Client {
  const agents = urls.map(() => new http.Agent({ keepAlive: true }));
  return {
    send: async (key, isolate) => {
      const url = urls[isolate];
      const agent = agents[isolate];
      if (url === undefined || agent === undefined) throw new RangeError(`there is no isolate ${isolate}`);
      return await sendOne({ url, agent, key, isolate });
    },
    close: () => {
      for (const agent of agents) agent.destroy();
    },
  };
}

interface Sending {
  readonly url: string;
  readonly agent: http.Agent;
  readonly key: string;
  readonly isolate: number;
}

function sendOne({ url, agent, key, isolate }: Sending): Promise<Seen> {
  const headers = {
    authorization: `Bearer ${key}`,
    "cf-connecting-ip": `192.0.2.${isolate + 1}`,
    "mf-cf-blob": JSON.stringify(PLACES[isolate % PLACES.length]),
  };
  const sentAt = Date.now();
  return new Promise((resolve) => {
    const settle = (status: number, arrivedAt?: number): void => {
      const passed = status === 200;
      resolve({ sentAt, settledAt: arrivedAt ?? Date.now(), passed, status, isolate });
    };
    const request = http.get(`${url}/accuracy`, { agent, headers, timeout: REQUEST_TIMEOUT_MS }, (response) => {
      const arrivedAt = response.headers[ARRIVED_AT];
      response.resume();
      settle(response.statusCode ?? 0, typeof arrivedAt === "string" ? Number(arrivedAt) : undefined);
    });
    request.on("timeout", () => request.destroy());
    request.on("error", () => settle(0));
  });
}
