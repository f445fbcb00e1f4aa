import { PROBLEMS, type ProblemCode } from "../http/codes.ts";
import { PROBLEM_TEXTS } from "../http/problem-texts.ts";
import { leaseNote } from "./checks.ts";
import type { KeptRequest } from "./kept-request.ts";
import { listText, timeText } from "./words.ts";

/**
 * Why a request was refused, and what would have to change for the same request to pass. For operators, in plain words: what this one
 * stood on, and beside it what the code's own page says. Pure.
 */

export interface Explanation {
  readonly why: string;
  /** What would have to change. */
  readonly change: string;
  /** What whoever runs this deployment should look at. */
  readonly operator: string;
}

/** The key as its registry knows it now; `null`: it was not asked, or does not know it. */
export interface KeyNow {
  readonly status: string;
  readonly revokedAt: string | null;
  readonly revokedReason: string | null;
}

/** `null` for a request that was let in and answered. */
export function explain(kept: KeptRequest, now: KeyNow | null): Explanation | null {
  const { code } = kept.event;
  if (code === "allowed") return null;
  // A code of a later version.
  if (!isProblemCode(code)) return { why: `It ended in ${code}.`, change: "", operator: "" };
  const { meaning, caller, operator } = PROBLEM_TEXTS[code];
  const { why, change = caller } = SPECIFIC[code]?.(kept, now) ?? { why: toldOr(kept, meaning) };
  return { why, change, operator };
}

function isProblemCode(code: string): code is ProblemCode {
  return Object.hasOwn(PROBLEMS, code);
}

/** What the client was told says which of several it was. */
function toldOr({ detail: { told } }: KeptRequest, meaning: string): string {
  return told === null || meaning.includes(told) ? meaning : `${meaning} The client was told: ${told}`;
}

type Explain = (kept: KeptRequest, now: KeyNow | null) => { readonly why: string; readonly change?: string };

/** Where more is known than the code says. */
const SPECIFIC: Readonly<Partial<Record<ProblemCode, Explain>>> = {
  key_invalid: explainUnknown,
  key_expired: explainExpired,
  key_revoked: explainRevoked,
  key_not_yet_valid: ({ detail: { key } }) => ({
    why: `The key is valid from ${key === null || key.notBefore === null ? "later on" : timeText(key.notBefore)}.`,
  }),
  signature_required: ({ detail: { key } }) => ({
    why: `The key's policy demands that each request is signed (${key?.signature ?? "RFC 9421"}), and this one was not.`,
  }),
  scope_insufficient: explainScopes,
  ip_not_allowed: ({ event, detail: { key } }) =>
    bound("from", key?.bindings.ips, event.clientIp ?? "an address that is not known", "ips"),
  origin_not_allowed: ({ detail: { key, origin } }) =>
    bound("by pages of", key?.bindings.origins, origin ?? "none, or one that cannot be shown", "origins"),
  country_not_allowed: ({ event, detail: { key } }) =>
    bound("from", key?.bindings.countries, event.country ?? "a country that is not known", "countries"),
  certificate_required: ({ detail: { certificate } }) => ({
    why: `The key must be used with its client certificate; the request came with ${certificate ? "another" : "none"}.`,
  }),
  environment_mismatch: ({ event, detail: { asked } }) => ({
    why: `This is a ${event.environment ?? "foreign"} key; ${event.route ?? "the path"} takes ${listText(asked?.environments ?? [])} keys.`,
  }),
  route_not_found: ({ event }) => ({
    why: `No route of gateway.config.ts takes ${event.method} on this path, and the upstream is not open.`,
  }),
  body_too_large: ({ event, detail: { asked } }) => ({
    why: `The body was larger than ${asked?.maxBodyBytes ?? "the allowed number of"} bytes, for ${event.route ?? "this path"}.`,
  }),
  rate_limited: explainLimit,
  quota_exhausted: explainLimit,
  upstream_unreachable: ({ event }) => ({
    why: `The upstream ${event.upstream ?? "behind the route"} could not be reached. The key was good.`,
  }),
  verification_unavailable: ({ detail: { key, lease } }) => ({
    why:
      key === null || lease === null
        ? "The key was not known here, and nobody who knows answered."
        : `${leaseNote(lease)} Policy lets nothing in that cannot be checked.`,
  }),
  upstream_timeout: ({ event, detail: { asked } }) => ({
    why: `The upstream ${event.upstream ?? "behind the route"} did not begin to answer within ${asked?.timeoutMs ?? "its time of so many"} ms. The key was good.`,
  }),
};

function bound(how: string, allowed: readonly string[] | undefined, was: string, member: string): ReturnType<Explain> {
  return {
    why: `The key may be used ${how} ${listText(allowed ?? [])} alone; this was ${was}.`,
    change: `The client calls from there; or PATCH bindings.${member} takes it in.`,
  };
}

function explainExpired({ event, detail: { key } }: KeptRequest): ReturnType<Explain> {
  const { notAfter = null, expiresAt = null } = key ?? {};
  if (notAfter !== null && notAfter <= event.time)
    return { why: `The key was replaced, and its overlap ended at ${timeText(notAfter)}.` };
  return { why: expiresAt === null ? "The key has expired." : `The key expired at ${timeText(expiresAt)}.` };
}

function explainUnknown({ event, detail }: KeptRequest): ReturnType<Explain> {
  if (detail.form === "garbage")
    return { why: "It is no key: its form or its checksum is wrong. It was refused without looking anything up." };
  if (detail.key === null) return { why: "It looks like a key, and nobody knows it." };
  return {
    why: `The key is of workspace ${event.workspace}; this upstream is for ${detail.asked?.workspace ?? "another"}.`,
    change: "The client uses a key of that workspace; or the upstream's workspace is changed.",
  };
}

function explainRevoked({ event, detail: { lease } }: KeptRequest, now: KeyNow | null): ReturnType<Explain> {
  const revokedAt = now?.revokedAt ?? null;
  const since = revokedAt === null ? null : event.time - Date.parse(revokedAt);
  const reason = now?.revokedReason ?? null;
  const when =
    revokedAt === null
      ? "The key is revoked"
      : `The key was revoked at ${revokedAt}${reason === null ? "" : ` (${reason})`}${since === null || since < 0 ? "" : `, ${since} ms before`}`;
  return {
    why: `${when}. ${lease === null ? "The record said so." : leaseNote(lease)}`,
  };
}

function explainScopes({ event, detail }: KeptRequest): ReturnType<Explain> {
  const { key, asked } = detail;
  const wanted = asked?.scopes ?? [];
  // Admin keys open nothing behind the gateway, and other keys nothing of Latchkey's own: scopes are not what is missing.
  if (key?.kind === "admin" || wanted.length === 0)
    return { why: detail.told ?? "The call takes a key of another kind." };
  const held = key?.scopes ?? [];
  const more = key !== null && key.scopeCount > held.length ? ` and ${key.scopeCount - held.length} more` : "";
  const by = event.tokenId === undefined ? "key" : "token";
  return {
    why: `${event.route ?? "The call"} needs the scope ${listText(wanted)}; the ${by} holds ${listText(held)}${more}.`,
    change: `PATCH scopes gives the key what it lacks${by === "key" ? "" : ", and the client exchanges it anew"}; or the client uses one that has it.`,
  };
}

function explainLimit({ event, detail: { violated, limits, retryAfterSeconds } }: KeptRequest): ReturnType<Explain> {
  const names = violated.map((name) => {
    const limit = limits.find((view) => view.name === name);
    return limit === undefined ? name : `${name} (${limit.limit} in ${limit.windowSeconds} s)`;
  });
  const isQuota = event.code === "quota_exhausted";
  return {
    why: `The ${isQuota ? "quota" : "rate limit"} ${listText(names)} was used up${retryAfterSeconds === null ? "" : ` for another ${retryAfterSeconds} s`}.`,
  };
}
