import { newId } from "../../src/platform/ids.ts";
import type { UsageEvent } from "../../src/usage/event.ts";
import { eventId } from "../../src/usage/make-event.ts";
import { DEAR_COST, type Stuffing } from "../traffic/demo-week.ts";
import type { TrafficKey } from "../traffic/fleet.ts";
import { hourOf, minutesOf } from "../traffic/hours.ts";
import type { Site } from "../traffic/places.ts";
import { Draws } from "../traffic/random.ts";
import { clientOf, ownerOf } from "./customers.ts";

/** The generator's sums of a minute as the single requests that they are of. */

export interface IssuedKey {
  readonly traffic: TrafficKey;
  readonly keyId: string;
  readonly lineageId: string;
}

interface Kind {
  readonly method: string;
  readonly upstream: string;
  readonly route: string;
  readonly status: number;
  /** Usual answer of the origin: ms, and the spread of its logarithm. */
  readonly ms: number;
  readonly spread: number;
  readonly bytesOut: number;
  readonly share: number;
}

const PLAIN: readonly [Kind, ...Kind[]] = [
  {
    method: "GET",
    upstream: "shop",
    route: "/v1/orders/:id",
    status: 200,
    ms: 34,
    spread: 0.4,
    bytesOut: 1_900,
    share: 45,
  },
  {
    method: "GET",
    upstream: "shop",
    route: "/v1/catalog/*",
    status: 200,
    ms: 18,
    spread: 0.3,
    bytesOut: 6_200,
    share: 25,
  },
  {
    method: "GET",
    upstream: "shop",
    route: "/v1/search",
    status: 200,
    ms: 85,
    spread: 0.6,
    bytesOut: 9_800,
    share: 15,
  },
  {
    method: "POST",
    upstream: "shop",
    route: "/v1/orders",
    status: 201,
    ms: 120,
    spread: 0.5,
    bytesOut: 640,
    share: 13,
  },
  {
    method: "GET",
    upstream: "shop",
    route: "/v1/orders/:id",
    status: 404,
    ms: 22,
    spread: 0.3,
    bytesOut: 180,
    share: 2,
  },
];
const DEAR: Kind = {
  method: "GET",
  upstream: "reports",
  route: "/v1/reports/*",
  status: 200,
  ms: 420,
  spread: 0.7,
  bytesOut: 48_000,
  share: 100,
};

const COLOS: Readonly<Record<string, string>> = {
  US: "IAD",
  CA: "YYZ",
  BR: "GRU",
  JP: "NRT",
  SG: "SIN",
  IN: "BOM",
  AU: "SYD",
  GB: "LHR",
  FR: "CDG",
  NL: "AMS",
  ZA: "JNB",
};
const FAILED = [502, 503, 500] as const;
const MINUTE_MS = 60_000;
const MINUTES_AN_HOUR = 60;

/** What the minutes of one hour hold of one key, kept until the hour is over. */
export interface KeyInHour {
  readonly key: IssuedKey;
  readonly hour: number;
  readonly minutes: ReturnType<typeof minutesOf>;
  readonly places: ReturnType<typeof hourOf>["places"];
  readonly cost: number;
}

/** @param hour since the epoch. `null`: it does nothing. */
export function inHour(key: IssuedKey, hour: number): KeyInHour | null {
  const { requests, cost, places } = hourOf(key.traffic, hour);
  return requests === 0 ? null : { key, hour, minutes: minutesOf(key.traffic, hour), places, cost };
}

/** @param minute of the hour. */
export function eventsOf({ key, hour, minutes, places }: KeyInHour, minute: number): readonly UsageEvent[] {
  const row = minutes[minute];
  if (row === undefined || row.requests === 0) return [];
  const { traffic } = key;
  const draws = new Draws(traffic.seed, 61, hour * MINUTES_AN_HOUR + minute);
  const events: UsageEvent[] = [];
  const failed = row.limited + row.failures;
  for (let index = 0; index < row.requests; index++) {
    const time = row.minute * 1_000 + draws.whole(0, MINUTE_MS - 1);
    const common = { ...ofKey(key, time), ...ofPlace(placeOf(places, draws)) };
    const isError = index >= failed && index < failed + row.errors;
    if (index < row.limited) events.push(refused(common, { status: 429, code: "rate_limited" }, draws));
    else if (index < failed) events.push(refused(common, refusalOf(traffic, hour), draws));
    else events.push(letIn(common, { traffic, isError }, draws));
  }
  return events;
}

type Common = Pick<
  UsageEvent,
  "id" | "requestId" | "time" | "workspace" | "keyId" | "lineageId" | "owner" | "environment"
> &
  Pick<UsageEvent, "country" | "asn" | "colo" | "clientIp" | "userAgentFamily">;
type Refusal = Pick<UsageEvent, "status" | "code">;

function ofKey(
  { traffic, keyId, lineageId }: IssuedKey,
  time: number,
): Omit<Common, "country" | "asn" | "colo" | "clientIp"> {
  const requestId = newId("req_", time);
  return {
    id: eventId(requestId),
    requestId,
    time,
    workspace: "default",
    keyId,
    lineageId,
    owner: ownerOf(traffic.owner).id,
    environment: traffic.facts.environment,
    userAgentFamily: clientOf(traffic),
  };
}

function ofPlace({ country, asn, network }: Pick<Site, "asn"> & { country: string | null; network: string | null }) {
  return { country, asn, clientIp: network, colo: COLOS[country ?? ""] ?? "FRA" };
}

function placeOf(places: KeyInHour["places"], draws: Draws) {
  let left = draws.unit() * places.reduce((sum, { requests }) => sum + requests, 0);
  for (const place of places) {
    left -= place.requests;
    if (left < 0) return { country: place.country, asn: place.asn ?? 0, network: place.network };
  }
  return { country: null, asn: 0, network: null };
}

/** Once it is revoked nothing of it is let in; before that it asks for what it may not. */
function refusalOf({ handover }: TrafficKey, hour: number): Refusal {
  const isRevoked = handover?.role === "revoked" && hour >= handover.since;
  return isRevoked ? { status: 401, code: "key_revoked" } : { status: 403, code: "scope_insufficient" };
}

function refused(common: Common, refusal: Refusal, draws: Draws): UsageEvent {
  const authMs = authTime(draws);
  return {
    ...common,
    ...refusal,
    method: "GET",
    upstream: "shop",
    route: refusal.status === 403 ? "/v1/staff/*" : "/v1/orders/:id",
    cost: 0,
    latencyMs: authMs,
    authMs,
    upstreamMs: null,
    bytesIn: 0,
    bytesOut: 310,
    degraded: false,
  };
}

function letIn(
  common: Common,
  { traffic, isError }: { readonly traffic: TrafficKey; readonly isError: boolean },
  draws: Draws,
): UsageEvent {
  const kind = traffic.costEach === DEAR_COST ? DEAR : kindOf(draws);
  const authMs = authTime(draws);
  const upstreamMs = Math.round(draws.logNormal(isError ? kind.ms * 3 : kind.ms, kind.spread));
  return {
    ...common,
    method: kind.method,
    upstream: kind.upstream,
    route: kind.route,
    status: isError ? draws.pick(FAILED) : kind.status,
    code: "allowed",
    cost: traffic.costEach,
    latencyMs: authMs + upstreamMs + 1,
    authMs,
    upstreamMs,
    bytesIn: kind.method === "POST" ? draws.whole(200, 2_400) : 0,
    bytesOut: isError ? 210 : Math.round(draws.logNormal(kind.bytesOut, 0.3)),
    degraded: false,
  };
}

function kindOf(draws: Draws): Kind {
  let left = draws.between(0, 100);
  for (const kind of PLAIN) {
    left -= kind.share;
    if (left < 0) return kind;
  }
  return PLAIN[0];
}

/** Mostly the lease in hand; now and then the way to a meter. */
function authTime(draws: Draws): number {
  return draws.chance(0.04) ? draws.whole(8, 60) : draws.whole(0, 2);
}

/** @param minute since the epoch. */
export function stuffingEvents(
  { site, since, until, keysEachMinute }: Stuffing,
  minute: number,
): readonly UsageEvent[] {
  if (minute < since || minute >= until) return [];
  const draws = new Draws(62, minute);
  return Array.from({ length: keysEachMinute }, () => {
    const time = minute * MINUTE_MS + draws.whole(0, MINUTE_MS - 1);
    const requestId = newId("req_", time);
    const nobody = { workspace: "default", keyId: null, lineageId: null, owner: null, environment: null };
    const common = { id: eventId(requestId), requestId, time, ...nobody, ...ofPlace(site), userAgentFamily: "python" };
    return {
      ...refused(common, { status: 401, code: "key_invalid" }, draws),
      credentialTag: draws.whole(0, 0xffffffff),
    };
  });
}
