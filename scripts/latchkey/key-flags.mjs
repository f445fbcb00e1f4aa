import { toDeadline, toLimit, toObject } from "./values.mjs";

/** The flags that describe a key, for `create` and `update`. */

/** @typedef {import("./command.mjs").Flags} Flags */

/** @type {import("./command.mjs").Options} */
export const KEY_OPTIONS = {
  name: { type: "string", value: "TEXT", help: "a name for people" },
  scope: {
    type: "string",
    multiple: true,
    value: "SCOPE",
    help: "what the key may do, as resource:action; repeat for more",
  },
  plan: { type: "string", value: "PLAN", help: "a plan of the configuration; none takes it away" },
  limit: {
    type: "string",
    multiple: true,
    value: "LIMIT",
    help: "burst=100/minute, monthly=10000/month:quota, spike=5/10s",
  },
  ip: { type: "string", multiple: true, value: "CIDR", help: "only from these addresses" },
  origin: { type: "string", multiple: true, value: "ORIGIN", help: "only from pages of these origins" },
  country: { type: "string", multiple: true, value: "CODE", help: "only from these countries" },
  certificate: { type: "string", multiple: true, value: "SHA256", help: "only with these client certificates" },
  strict: { type: "boolean", help: "every request asks the meter: a revocation stops it at once" },
  expires: { type: "string", value: "WHEN", help: "90d, 2027-01-31, an RFC 3339 time, or never" },
  "not-before": { type: "string", value: "WHEN", help: "when it starts to work" },
  tag: { type: "string", multiple: true, value: "TAG", help: "a tag; repeat for more" },
  purpose: { type: "string", value: "TEXT", help: "what it is for" },
  metadata: { type: "string", value: "JSON", help: "anything of yours, as a JSON object" },
};

/**
 * The members of a body that were named; nothing else, so that a patch changes nothing else.
 *
 * @param {Flags} flags
 * @param {number} now
 * @returns {Record<string, unknown>}
 */
export function keyMembers(flags, now) {
  const bindings = members({
    ips: flags.list("ip"),
    origins: flags.list("origin"),
    countries: flags.list("country"),
    certificateSha256: flags.list("certificate"),
  });
  const plan = flags.text("plan");
  const expires = flags.text("expires");
  const notBefore = flags.text("not-before");
  const metadata = flags.text("metadata");
  return members({
    name: flags.text("name"),
    scopes: flags.list("scope"),
    plan: plan === "none" ? null : plan,
    limits: flags.list("limit")?.map(toLimit),
    bindings: Object.keys(bindings).length === 0 ? undefined : bindings,
    policy: flags.has("strict") ? { strict: true } : undefined,
    expiresAt: expires === undefined ? undefined : toDeadline(expires, "expires", now),
    notBefore: notBefore === undefined ? undefined : toDeadline(notBefore, "not-before", now),
    tags: flags.list("tag"),
    purpose: flags.text("purpose"),
    metadata: metadata === undefined ? undefined : toObject(metadata, "metadata"),
  });
}

/**
 * @param {Record<string, unknown>} all
 * @returns {Record<string, unknown>}
 */
function members(all) {
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}
