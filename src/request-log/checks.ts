import type { UsageEvent } from "../usage/event.ts";
import { ageText } from "./words.ts";
import type { KeptRequest, LeaseDetail, RequestDetail } from "./kept-request.ts";

/** A kept request's way: each check in the order in which it is made, what it was given, and what it said. Pure. */

export const CHECKS = [
  "route",
  "credential",
  "size",
  "format",
  "resolve",
  "workspace",
  "status",
  "environment",
  "bindings",
  "scopes",
  "token",
  "proof",
  "signature",
  "lease",
  "forward",
] as const;

export type CheckName = (typeof CHECKS)[number];

/** `not_needed`: nobody asks for it. `not_reached`: an earlier one refused. */
export type CheckAnswer = "passed" | "refused" | "not_needed" | "not_reached";

export interface CheckMade {
  readonly check: CheckName;
  readonly answer: CheckAnswer;
  /** What it looked at; empty where it was not reached. */
  readonly input: Readonly<Record<string, string | number | boolean | null | readonly string[]>>;
  /** In plain words; `null`: the input says it all. */
  readonly note: string | null;
}

/** The check that each code comes from. What is not here may come from several, or is no refusal of a request on its way. */
const REFUSED_AT: Readonly<Record<string, CheckName>> = {
  uri_too_long: "route",
  route_not_found: "route",
  method_not_allowed: "route",
  credential_conflict: "credential",
  credential_in_query: "credential",
  key_missing: "credential",
  headers_too_large: "size",
  token_expired: "resolve",
  key_revoked: "status",
  key_expired: "status",
  key_disabled: "status",
  key_not_yet_valid: "status",
  environment_mismatch: "environment",
  ip_not_allowed: "bindings",
  origin_not_allowed: "bindings",
  country_not_allowed: "bindings",
  certificate_required: "bindings",
  scope_insufficient: "scopes",
  token_required: "token",
  token_revoked: "token",
  dpop_proof_invalid: "proof",
  dpop_nonce_required: "proof",
  signature_required: "signature",
  signature_invalid: "signature",
  rate_limited: "lease",
  quota_exhausted: "lease",
  upstream_unreachable: "forward",
  upstream_timeout: "forward",
};

/** Where it ended; `null`: it was let in, and answered. */
export function refusedAt({ event, detail }: KeptRequest): CheckName | null {
  const { code } = event;
  if (code === "allowed") return null;
  const known = REFUSED_AT[code];
  if (known !== undefined) return known;
  switch (code) {
    case "key_invalid":
    case "too_many_failures":
      if (detail.form === "garbage") return "format";
      return detail.key === null ? "resolve" : "workspace";
    case "token_invalid":
      return detail.key === null ? "resolve" : "token";
    case "body_too_large":
      return detail.lease === null ? "size" : event.upstreamMs === null ? "signature" : "forward";
    case "verification_unavailable":
      return detail.key === null ? "resolve" : "lease";
    case "request_invalid":
      if (detail.via === null) return detail.asked === null ? "route" : "credential";
      return detail.form === null ? "credential" : detail.lease === null ? "signature" : "forward";
    default:
      return "route";
  }
}

export function checksOf(kept: KeptRequest): readonly CheckMade[] {
  const end = refusedAt(kept);
  const last = end === null ? CHECKS.length : CHECKS.indexOf(end);
  return CHECKS.map((check, index) => {
    if (index > last) return { check, answer: "not_reached", input: {}, note: null };
    const { input = {}, note = null, needed = true } = LOOKS[check](kept);
    if (index === last) return { check, answer: "refused", input, note: kept.detail.told ?? note };
    return { check, answer: needed ? "passed" : "not_needed", input, note };
  });
}

interface Look {
  readonly input?: CheckMade["input"];
  readonly note?: string | null;
  readonly needed?: boolean;
}

const LOOKS: Readonly<Record<CheckName, (kept: KeptRequest) => Look>> = {
  route: ({ event: { method, route, upstream } }) => ({ input: { method, route, upstream } }),
  credential: ({ detail: { via } }) => ({ input: { via } }),
  size: ({ event, detail: { asked } }) => ({
    input: { bytesIn: event.bytesIn, maxBodyBytes: asked?.maxBodyBytes ?? null },
  }),
  format: ({ detail: { form } }) => ({ input: { form }, note: form === null ? null : FORMS[form] }),
  resolve: lookAtRecord,
  workspace: ({ event, detail: { key, asked } }) => ({
    input: { key: key === null ? null : event.workspace, asked: asked?.workspace ?? "*" },
    needed: asked !== null && asked.workspace !== "*",
  }),
  status: lookAtStatus,
  environment: ({ event, detail: { asked } }) => ({
    input: { key: event.environment, asked: asked?.environments ?? [] },
    needed: (asked?.environments.length ?? 0) > 0,
  }),
  bindings: lookAtBindings,
  scopes: lookAtScopes,
  token: ({ event, detail: { key } }) => ({
    input: { tokenId: event.tokenId ?? null, keyOpensNothingItself: key?.exchangeOnly ?? false },
    needed: event.tokenId !== undefined || key?.exchangeOnly === true,
  }),
  proof: ({ detail: { via } }) => ({ input: { via }, needed: via === "dpop" }),
  signature: ({ detail: { key } }) => ({
    input: { algorithm: key?.signature ?? null },
    needed: (key?.signature ?? null) !== null,
  }),
  lease: lookAtLease,
  forward: ({ event: { upstream, status, upstreamMs }, detail: { asked } }) => ({
    input: { upstream, status, upstreamMs, timeoutMs: asked?.timeoutMs ?? null },
    needed: upstreamMs !== null || upstream !== null,
  }),
};

const FORMS = {
  own: "Has the form and the checksum of Latchkey's own keys.",
  foreign: "Has not Latchkey's form: looked up as an imported key.",
  token: "A JWT.",
  garbage: "Neither a key that was copied whole, nor a token.",
} as const;

const RECORD_FROM: Readonly<Record<NonNullable<RequestDetail["record"]>["from"], string>> = {
  isolate: "From the memory of the isolate that served it",
  broker: "Told by the lease broker nearby",
  kv: "Read from KV",
  meter: "Told by whoever was asked for the lease, and newer than what was known here",
  miss: "Nobody knows it",
};

function lookAtRecord({ event, detail: { record, key } }: KeptRequest): Look {
  if (record === null) return { input: { hint: key?.hint ?? null } };
  const { from, ageMs } = record;
  const note =
    from === "isolate" ? `${RECORD_FROM[from]}, confirmed ${ageText(ageMs)} before.` : `${RECORD_FROM[from]}.`;
  const input = { hint: key?.hint ?? null, keyId: event.keyId, generation: key?.generation ?? null };
  return { input: { ...input, from, ageMs }, note };
}

function lookAtStatus({ detail: { key } }: KeptRequest): Look {
  if (key === null) return {};
  const { state, generation, notBefore, expiresAt, notAfter } = key;
  const times = { notBefore: at(notBefore), expiresAt: at(expiresAt), notAfter: at(notAfter) };
  return { input: { state, generation, ...times } };
}

function lookAtBindings({ event, detail: { key, origin, certificate } }: KeptRequest): Look {
  const { ips = [], origins = [], countries = [], certificates = 0 } = key?.bindings ?? {};
  const needed = ips.length + origins.length + countries.length + certificates > 0;
  const asked = {
    ...(ips.length === 0 ? {} : { address: event.clientIp, addresses: ips }),
    ...(origins.length === 0 ? {} : { origin, origins }),
    ...(countries.length === 0 ? {} : { country: event.country, countries }),
    ...(certificates === 0 ? {} : { certificate, certificates }),
  };
  return { input: asked, needed };
}

function lookAtScopes({ detail: { key, asked } }: KeptRequest): Look {
  const wanted = asked?.scopes ?? [];
  const more = key !== null && key.scopeCount > key.scopes.length ? `The key holds ${key.scopeCount} scopes.` : null;
  return { input: { asked: wanted, held: key?.scopes ?? [] }, note: more, needed: wanted.length > 0 };
}

function lookAtLease({ event, detail: { lease, limits, violated, asked } }: KeptRequest): Look {
  const input = {
    cost: asked?.cost ?? event.cost,
    strict: asked?.strict ?? false,
    from: lease?.from ?? null,
    grantedBy: lease?.by ?? null,
    granted: lease?.granted ?? false,
    ageMs: lease?.ageMs ?? null,
    leftMs: lease?.leftMs ?? null,
    limits: limits.map(({ name, limit, remaining }) => `${name}: ${remaining} of ${limit} left`),
    violated,
  };
  return { input, note: lease === null ? null : leaseNote(lease) };
}

/** What stood behind the answer, in a sentence or two. */
export function leaseNote({ from, by, granted, ageMs, leftMs }: LeaseDetail): string {
  if (granted && from === "broker") return "Granted for this request by the lease broker nearby.";
  if (granted) return "Granted for this request by the key's meter.";
  const granter = by === "broker" ? "the lease broker nearby" : "the key's meter";
  const held =
    ageMs === null || leftMs === null
      ? "The isolate held no lease of this key"
      : leftMs > 0
        ? `The isolate held a lease that ${granter} had granted ${ageText(ageMs)} before, good for another ${ageText(leftMs)}`
        : `The isolate's lease, which ${granter} had granted ${ageText(ageMs)} before, had been over for ${ageText(-leftMs)}`;
  switch (from) {
    case "isolate":
      return `${held}: nobody had to be asked.`;
    case "remembered":
      return `${held}. It remembered that the limit refuses, and asked nobody.`;
    case "broker":
      return `${held}. The lease broker nearby was asked.`;
    case "meter":
      return `${held}. The key's meter was asked.`;
    case "grace":
      return `${held}. Its meter did not answer: let in by policy, on grace.`;
    case "unreachable":
      return `${held}. Its meter did not answer.`;
    case null:
      return `${held}. Nobody was asked: the record alone decides.`;
  }
}

function at(time: number | null): string | null {
  return time === null ? null : new Date(time).toISOString();
}

/** Times of a request, ms. `otherMs`: what neither deciding nor the upstream took. */
export function timingOf({ latencyMs, authMs, upstreamMs }: UsageEvent) {
  const otherMs = Math.max(0, latencyMs - authMs - (upstreamMs ?? 0));
  return { totalMs: latencyMs, authMs, upstreamMs, otherMs };
}
