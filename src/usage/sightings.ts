import type { UsageEvent } from "./event.ts";
import { clientIpForEvent } from "./privacy.ts";
import { isAllowed } from "./rollup.ts";
import { addPlace } from "../detection/places-seen.ts";
import type { KeyMinute, PlaceCount } from "../detection/rows.ts";

/** What the watch is told of a batch of events: each key by minute and place, and who tried which keys from where. Pure. */

export interface KeySighting extends KeyMinute {
  readonly keyId: string;
  readonly environment: "live" | "test";
  readonly testContext: number;
  /** The largest first, at most `MAX_PLACES`. */
  readonly places: readonly PlaceCount[];
}

/** A network of which somebody presented what is no good key. */
export interface NetworkSighting {
  readonly network: string;
  readonly minute: number;
  readonly attempts: number;
  readonly refused: number;
  /** Digests of 32 bits, each once: of the keys that were good, and of those that were refused. */
  readonly good: readonly number[];
  readonly bad: readonly number[];
}

export interface Sightings {
  readonly keys: readonly KeySighting[];
  readonly networks: readonly NetworkSighting[];
}

/** Refusals of what was presented, whoever it belonged to. */
const REFUSED_AS_CREDENTIAL: ReadonlySet<string> = new Set([
  "key_invalid",
  "key_revoked",
  "key_expired",
  "key_disabled",
  "token_invalid",
  "too_many_failures",
]);
/** An environment of its own that a live key was sent to. */
const TEST_CONTEXT = "environment_mismatch";

export function sightingsIn(events: readonly UsageEvent[], digestOf: (text: string) => number): Sightings {
  const keys = new Map<string, Writable<KeySighting>>();
  const networks = new Map<string, Writable<NetworkSighting>>();
  for (const event of events) {
    const minute = Math.floor(event.time / 60_000) * 60;
    const network = networkOf(event.clientIp);
    if (event.keyId !== null && event.environment !== null) noteKey(keys, event, minute, network);
    if (network !== null) noteNetwork(networks, event, { minute, network }, digestOf);
  }
  return { keys: [...keys.values()], networks: [...networks.values()].filter(({ refused }) => refused > 0) };
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

function noteKey(
  into: Map<string, Writable<KeySighting>>,
  event: UsageEvent,
  minute: number,
  network: string | null,
): void {
  const { keyId, environment, code, status, country, asn } = event;
  if (keyId === null || environment === null) return;
  const name = `${minute} ${keyId}`;
  let sighting = into.get(name);
  if (sighting === undefined) {
    const sums = { requests: 0, cost: 0, limited: 0, failures: 0, errors: 0, testContext: 0 };
    into.set(name, (sighting = { keyId, environment, minute, ...sums, places: [] }));
  }
  sighting.requests += 1;
  sighting.cost += event.cost;
  if (code === "rate_limited" || code === "quota_exhausted") sighting.limited += 1;
  if (status === 401 || status === 403) sighting.failures += 1;
  if (status >= 500) sighting.errors += 1;
  if (environment === "live" && code === TEST_CONTEXT) sighting.testContext += 1;
  sighting.places = addPlace(sighting.places, { country, asn, network, requests: 1 });
}

function noteNetwork(
  into: Map<string, Writable<NetworkSighting>>,
  { keyId, code, credentialTag }: UsageEvent,
  { minute, network }: { readonly minute: number; readonly network: string },
  digestOf: (text: string) => number,
): void {
  const isRefused = REFUSED_AS_CREDENTIAL.has(code);
  if (!isRefused && (keyId === null || !isAllowed(code))) return;
  const name = `${minute} ${network}`;
  let sighting = into.get(name);
  if (sighting === undefined)
    into.set(name, (sighting = { network, minute, attempts: 0, refused: 0, good: [], bad: [] }));
  sighting.attempts += 1;
  if (isRefused) sighting.refused += 1;
  const digest = keyId === null ? credentialTag : digestOf(keyId);
  if (digest === undefined) return;
  const side = isRefused ? "bad" : "good";
  if (!sighting[side].includes(digest)) sighting[side] = [...sighting[side], digest];
}

/** What an event holds is a network already, unless the deployment keeps whole addresses. */
function networkOf(clientIp: string | null): string | null {
  if (clientIp === null || clientIp.includes("/") || clientIp.startsWith("h:")) return clientIp;
  return clientIpForEvent(clientIp, "truncated", null);
}
