import {
  addDistinct,
  countDistinct,
  type Distinct,
  mergeDistinct,
  packDistinct,
  type PackedDistinct,
  unpackDistinct,
} from "./distinct.ts";
import type { UsageEvent } from "./event.ts";
import { addSketch, addValue, quantile, type Sketch } from "./sketch.ts";

/** What sums do not tell of a set of events: how their times are spread, and from how many addresses they came. Pure. */
export interface Distributions {
  /** Times in ms: of the whole request, until it was decided, of the upstream. */
  latency: Sketch;
  auth: Sketch;
  upstream: Sketch;
  addresses: Distinct;
}

/** As JSON holds it: latency, auth, upstream, addresses. */
export type PackedDistributions = readonly [Sketch, Sketch, Sketch, PackedDistinct];

export function noDistributions(): Distributions {
  return { latency: [], auth: [], upstream: [], addresses: [] };
}

export function addEventTo(
  into: Distributions,
  event: Pick<UsageEvent, "latencyMs" | "authMs" | "upstreamMs" | "clientIp">,
): void {
  addValue(into.latency, event.latencyMs);
  addValue(into.auth, event.authMs);
  if (event.upstreamMs !== null) addValue(into.upstream, event.upstreamMs);
  if (event.clientIp !== null) into.addresses = addDistinct(into.addresses, event.clientIp);
}

/** What `other` holds is not changed, and not held by `into` afterwards. */
export function addDistributions(into: Distributions, other: Readonly<Distributions>): void {
  addSketch(into.latency, other.latency);
  addSketch(into.auth, other.auth);
  addSketch(into.upstream, other.upstream);
  into.addresses = mergeDistinct(into.addresses, other.addresses);
}

export function copyOf(distributions: Readonly<Distributions>): Distributions {
  const copy = noDistributions();
  addDistributions(copy, distributions);
  return copy;
}

export function packDistributions({ latency, auth, upstream, addresses }: Distributions): PackedDistributions {
  return [latency, auth, upstream, packDistinct(addresses)];
}

export function unpackDistributions([latency, auth, upstream, addresses]: PackedDistributions): Distributions {
  return { latency, auth, upstream, addresses: unpackDistinct(addresses) };
}

/** Registers in base64 are as long as so many numbers. */
const REGISTERS_WEIGHT = 150;

/** About as many numbers as it is stored in. */
export function weightOf({ latency, auth, upstream, addresses }: Distributions): number {
  const digests = addresses instanceof Uint8Array ? REGISTERS_WEIGHT : 2 * addresses.length;
  return latency.length + auth.length + upstream.length + digests;
}

export interface Quantiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/** `null`: nothing was measured. */
export interface DistributionFigures {
  readonly latencyMs: Quantiles | null;
  readonly authMs: Quantiles | null;
  readonly upstreamMs: Quantiles | null;
  readonly distinctAddresses: number;
}

export function figuresIn({ latency, auth, upstream, addresses }: Distributions): DistributionFigures {
  return {
    latencyMs: quantilesOf(latency),
    authMs: quantilesOf(auth),
    upstreamMs: quantilesOf(upstream),
    distinctAddresses: countDistinct(addresses),
  };
}

/** Each to a tenth of a ms. */
function quantilesOf(sketch: Sketch): Quantiles | null {
  const at = (share: number): number => Math.round((quantile(sketch, share) ?? 0) * 10) / 10;
  return sketch.length === 0 ? null : { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}
