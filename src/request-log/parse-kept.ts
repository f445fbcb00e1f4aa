import type { BatchRequests, LeftOut, RequestDetail } from "./kept-request.ts";

/**
 * What comes out of the queue is as unknown as what comes from outside. Unlike events it is nothing that anybody is billed for: what is
 * not what it should be is left away, and holds up nothing.
 */

const MAX_ENTRIES = 5_000;
/** Of one detail as JSON; ours have some 4,000 at the most. */
const MAX_DETAIL_CHARACTERS = 16_384;
const MAX_NAME_CHARACTERS = 64;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/;
const CODE = /^[a-z][a-z_]{0,39}$/;
const REASONS: ReadonlySet<unknown> = new Set(["refused", "sampled", "traced"]);

/** `null`: there is nothing that can be read. */
export function parseBatchRequests(value: unknown): BatchRequests | null {
  if (!isObject(value)) return null;
  const kept = listOf(value["kept"]).filter(isDetail);
  const left = listOf(value["left"]).filter(isLeftOut);
  return kept.length === 0 && left.length === 0 ? null : { kept, left };
}

type Kind = keyof typeof KINDS;
type Shape = Readonly<Record<string, Kind | readonly [Kind | Shape]>>;

const KINDS = {
  text: (value: unknown) => typeof value === "string",
  number: (value: unknown) => typeof value === "number",
  boolean: (value: unknown) => typeof value === "boolean",
  texts: (value: unknown) => Array.isArray(value) && value.every((text) => typeof text === "string"),
} as const;

/** In brackets: may be `null`, or absent. */
const LEASE: Shape = { from: ["text"], by: ["text"], granted: "boolean", ageMs: ["number"], leftMs: ["number"] };
const BINDINGS: Shape = { ips: ["texts"], origins: ["texts"], countries: ["texts"], certificates: ["number"] };
const LIMIT: Shape = {
  name: "text",
  limit: "number",
  remaining: "number",
  resetSeconds: "number",
  windowSeconds: "number",
};
const ASKED: Shape = {
  scopes: "texts",
  environments: "texts",
  workspace: "text",
  cost: "number",
  strict: "boolean",
  timeoutMs: ["number"],
  maxBodyBytes: ["number"],
};
const KEY: Shape = {
  hint: "text",
  kind: "text",
  state: "text",
  generation: "number",
  scopes: "texts",
  scopeCount: "number",
  notBefore: ["number"],
  expiresAt: ["number"],
  notAfter: ["number"],
  exchangeOnly: "boolean",
  signature: ["text"],
};
const DETAIL: Shape = {
  eventId: "text",
  traceId: ["text"],
  via: ["text"],
  form: ["text"],
  told: ["text"],
  origin: ["text"],
  retryAfterSeconds: ["number"],
  violated: "texts",
  certificate: "boolean",
  key: [KEY],
  asked: [ASKED],
  record: [{ from: "text", ageMs: "number" }],
  lease: [LEASE],
};

function fits(value: unknown, shape: Shape): value is Record<string, unknown> {
  if (!isObject(value)) return false;
  return Object.entries(shape).every(([name, wanted]) => {
    const member = value[name];
    if (typeof wanted === "string") return KINDS[wanted](member);
    const [inner] = wanted;
    return (member ?? null) === null || (typeof inner === "string" ? KINDS[inner](member) : fits(member, inner));
  });
}

function isDetail(value: unknown): value is RequestDetail {
  if (!fits(value, DETAIL) || value["v"] !== 1 || JSON.stringify(value).length > MAX_DETAIL_CHARACTERS) return false;
  const { key, limits } = value;
  return (
    REASONS.has(value["why"]) &&
    isWorkspace(value["workspace"]) &&
    Array.isArray(limits) &&
    limits.every((limit) => fits(limit, LIMIT)) &&
    // Of one that is there, the shape was looked at above.
    (!isObject(key) || fits(key["bindings"], BINDINGS))
  );
}

function isLeftOut(value: unknown): value is LeftOut {
  return (
    isObject(value) &&
    isWorkspace(value["workspace"]) &&
    (value["keyId"] === null || (typeof value["keyId"] === "string" && value["keyId"].length <= MAX_NAME_CHARACTERS)) &&
    typeof value["code"] === "string" &&
    CODE.test(value["code"]) &&
    isCount(value["time"]) &&
    isCount(value["count"])
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value.slice(0, MAX_ENTRIES) : [];
}

function isWorkspace(value: unknown): boolean {
  return typeof value === "string" && NAME.test(value);
}

function isCount(value: unknown): boolean {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
