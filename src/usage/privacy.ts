import { createHmac } from "node:crypto";
import ipaddr from "ipaddr.js";

/** What of a person stands in an event: as little as the policy asks for, and nothing that cannot be parsed. */

export type IpPolicy = "whole" | "truncated" | "hashed";

const V4_KEPT_BITS = 24;
const V6_KEPT_BITS = 48;
/** 96 bits: too many to meet by chance, and short in a row. */
const HASH_CHARACTERS = 16;
/** Longer texts are no address. */
const MAX_ADDRESS_CHARACTERS = 64;
const MAX_USER_AGENT_CHARACTERS = 512;
const FAMILY_MEMORY_ENTRIES = 256;

/**
 * The client's address as it may stand in an event; `null` for what is no address.
 *
 * @param salt secret of the deployment. All 2^32 IPv4 addresses can be hashed in minutes, so that a hash without a secret
 *   is the address itself: where there is no salt, `hashed` gives `null`.
 */
export function clientIpForEvent(address: string | null, policy: IpPolicy, salt: string | null): string | null {
  if (address === null || address.length > MAX_ADDRESS_CHARACTERS) return null;
  if (policy === "truncated") {
    const quick = truncateV4(address);
    if (quick !== null) return quick;
  }
  const parsed = parse(address);
  if (parsed === null) return null;
  switch (policy) {
    case "whole":
      return parsed.toString();
    case "truncated":
      return truncate(parsed.toByteArray());
    case "hashed":
      if (salt === null || salt === "") return null;
      return `h:${createHmac("sha256", salt).update(parsed.toNormalizedString()).digest("base64url").slice(0, HASH_CHARACTERS)}`;
  }
}

/**
 * Where the salt of hashed addresses comes from: its own secret, else a branch of the root token. Changing either
 * changes every hash, which ends the possibility to join old events with new ones.
 */
export function ipSaltFrom(secrets: {
  readonly eventSalt: string | undefined;
  readonly rootToken: string | undefined;
}): string | null {
  if (secrets.eventSalt !== undefined && secrets.eventSalt !== "") return secrets.eventSalt;
  if (secrets.rootToken === undefined || secrets.rootToken === "") return null;
  return createHmac("sha256", secrets.rootToken).update("latchkey event address salt v1").digest("base64url");
}

/** v4-mapped v6 is unwrapped: `::ffff:203.0.113.7` is `203.0.113.7`. */
function parse(address: string): ipaddr.IPv4 | ipaddr.IPv6 | null {
  try {
    return ipaddr.process(address);
  } catch {
    return null;
  }
}

const DOTTED = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/;

/** The usual case without the parser, for the warm path; `null` for whatever is not plainly four numbers. */
function truncateV4(address: string): string | null {
  const parts = DOTTED.exec(address);
  if (parts === null) return null;
  const [, a = "", b = "", c = "", d = ""] = parts;
  if (!isByte(a) || !isByte(b) || !isByte(c) || !isByte(d)) return null;
  return `${a}.${b}.${c}.0/${V4_KEPT_BITS}`;
}

/** A leading zero could be octal: the parser decides. */
function isByte(text: string): boolean {
  return Number(text) <= 255 && (text.length === 1 || text[0] !== "0");
}

function truncate(bytes: readonly number[]): string {
  if (bytes.length === 4) return `${bytes.slice(0, V4_KEPT_BITS / 8).join(".")}.0/${V4_KEPT_BITS}`;
  const kept = [0, 2, 4].map((at) => (((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)).toString(16));
  return `${kept.join(":")}::/${V6_KEPT_BITS}`;
}

/** In order: the first text that occurs names the family. Chromium browsers name each other, so the rarer stands first. */
const FAMILIES: readonly (readonly [text: string, family: string])[] = [
  ["curl/", "curl"],
  ["wget/", "wget"],
  ["python-requests", "python-requests"],
  ["python-httpx", "python-httpx"],
  ["aiohttp", "aiohttp"],
  ["python-urllib", "python"],
  ["go-http-client", "go"],
  ["okhttp", "okhttp"],
  ["apache-httpclient", "java"],
  ["java/", "java"],
  ["axios/", "axios"],
  ["undici", "node"],
  ["node-fetch", "node"],
  ["node", "node"],
  ["deno/", "deno"],
  ["bun/", "bun"],
  ["postmanruntime", "postman"],
  ["insomnia", "insomnia"],
  ["guzzlehttp", "php"],
  ["faraday", "ruby"],
  ["ruby", "ruby"],
  ["reqwest", "rust"],
  ["dart", "dart"],
  ["cfnetwork", "apple"],
  ["bot", "bot"],
  ["edg/", "edge"],
  ["opr/", "opera"],
  ["firefox/", "firefox"],
  ["chrome/", "chrome"],
  ["safari/", "safari"],
];

const families = new Map<string, string>();

/** One of a few dozen names, `other`, or `null` without a header. Never the header itself, which can identify a person. */
export function userAgentFamily(header: string | null): string | null {
  if (header === null || header === "") return null;
  const text = header.slice(0, MAX_USER_AGENT_CHARACTERS);
  const known = families.get(text);
  if (known !== undefined) return known;
  const lower = text.toLowerCase();
  const family = FAMILIES.find(([part]) => lower.includes(part))?.[1] ?? "other";
  // Clients use few different texts; somebody who sends many only empties this memory.
  if (families.size >= FAMILY_MEMORY_ENTRIES) families.clear();
  families.set(text, family);
  return family;
}
