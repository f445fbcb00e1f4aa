import ipaddr from "ipaddr.js";
import type { Bindings } from "./record.ts";

/**
 * Where a key may be used from. Each kind of binding that has entries must be met by one of them; an empty list is no
 * binding (the control API drops it). What is not known about a request never meets a binding.
 */

/** The facts that bindings look at: see `RequestFacts` in `gateway/outcome.ts`. */
export interface BindingFacts {
  readonly ip: string | null;
  readonly origin: string | null;
  readonly country: string | null;
  readonly certificateSha256: string | null;
}

export type BindingRefusal = "ip_not_allowed" | "origin_not_allowed" | "country_not_allowed" | "certificate_required";

type Address = ipaddr.IPv4 | ipaddr.IPv6;
interface Block {
  readonly network: Address;
  readonly bits: number;
  /** The fixed bits of a v4 block; `null` for v6. */
  readonly v4: { readonly network: number; readonly mask: number } | null;
}

const COUNTRY = /^[A-Z]{2}$/;
const CERTIFICATE = /^[0-9a-f]{64}$/i;
const HOST_LABELS = /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/;
const ZERO_TO_128 = /^(?:0|[1-9][0-9]{0,2})$/;
/** A v4-mapped v6 address is 96 fixed bits and a v4 address. */
const MAPPED_BITS = 96;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const SECURE_ORIGIN = "https://";

/** Records live in the isolate's cache, so their bindings are parsed once. */
const parsedBlocks = new WeakMap<Bindings, readonly Block[]>();

/** The first binding that is not met, in the order address, origin, country, certificate; `null` when all are. */
export function checkBindings(bindings: Bindings, facts: BindingFacts): BindingRefusal | null {
  const { ips, origins, countries, certificateSha256 } = bindings;
  if (isBound(ips) && !addressAllowed(blocksOf(bindings, ips), facts.ip)) return "ip_not_allowed";
  if (isBound(origins) && !originAllowed(origins, facts.origin)) return "origin_not_allowed";
  if (isBound(countries) && !includesUpper(countries, facts.country)) return "country_not_allowed";
  if (isBound(certificateSha256) && !includesLower(certificateSha256, facts.certificateSha256))
    return "certificate_required";
  return null;
}

function isBound(entries: readonly string[] | undefined): entries is readonly string[] {
  return entries !== undefined && entries.length > 0;
}

function includesUpper(entries: readonly string[], value: string | null): boolean {
  return value !== null && entries.includes(value.toUpperCase());
}

function includesLower(entries: readonly string[], value: string | null): boolean {
  if (value === null) return false;
  const wanted = value.toLowerCase();
  return entries.some((entry) => entry.toLowerCase() === wanted);
}

// ── Addresses ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function blocksOf(bindings: Bindings, ips: readonly string[]): readonly Block[] {
  const known = parsedBlocks.get(bindings);
  if (known !== undefined) return known;
  // An entry that does not parse was never accepted by the control API; it allows nothing.
  const blocks = ips.flatMap((text) => {
    const block = parseBlock(text);
    return block === null ? [] : [{ ...block, v4: fixedBitsOf(block) }];
  });
  parsedBlocks.set(bindings, blocks);
  return blocks;
}

function fixedBitsOf({ network, bits }: Omit<Block, "v4">): Block["v4"] {
  const plain = network.kind() === "ipv4" ? parsePlainV4(network.toString()) : null;
  if (plain === null) return null;
  const mask = bits === 0 ? 0 : -1 << (32 - bits);
  return { network: plain & mask, mask };
}

function addressAllowed(blocks: readonly Block[], ip: string | null): boolean {
  const plain = ip === null ? null : parsePlainV4(ip);
  if (plain !== null) return blocks.some(({ v4 }) => v4 !== null && (plain & v4.mask) === v4.network);
  const address = ip === null ? null : parseAddress(ip);
  if (address === null) return false;
  return blocks.some(({ network, bits }) => network.kind() === address.kind() && address.match(network, bits));
}

/** Strict: four decimal parts without leading zeros, or v6 without a zone. The library alone takes `0x7f.1` and `010.0.0.1`. */
function parseAddress(text: string): Address | null {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text);
  if (!text.includes(":") || text.includes("%") || !ipaddr.IPv6.isValid(text)) return null;
  const address = ipaddr.IPv6.parse(text);
  return address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
}

/**
 * The 32 bits of `192.0.2.1`, as a signed number, and `null` for whatever else. For the warm path: the library's parser makes a tenth
 * of what deciding on a key costs.
 */
function parsePlainV4(text: string): number | null {
  let bits = 0;
  let parts = 1;
  let value = -1;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code === DOT) {
      if (value < 0) return null;
      bits = (bits << 8) | value;
      parts += 1;
      value = -1;
    } else {
      // No leading zero: it could be octal.
      if (code < ZERO || code > NINE || value === 0) return null;
      value = Math.max(0, value) * 10 + (code - ZERO);
      if (value > 255) return null;
    }
  }
  return parts === 4 && value >= 0 ? (bits << 8) | value : null;
}

/** A block that lies within the mapped range is a v4 block; a wider v6 block never holds v4 addresses. */
function parseBlock(text: string): Omit<Block, "v4"> | null {
  const slash = text.indexOf("/");
  if (slash < 0) {
    const network = parseAddress(text);
    return network === null ? null : { network, bits: network.kind() === "ipv4" ? 32 : 128 };
  }
  const address = text.slice(0, slash);
  const length = text.slice(slash + 1);
  const network = parseAddress(address);
  if (network === null || !ZERO_TO_128.test(length)) return null;
  const bits = Number(length);
  if (!address.includes(":")) return bits <= 32 ? { network, bits } : null;
  if (bits > 128) return null;
  if (network.kind() === "ipv6") return { network, bits };
  return bits >= MAPPED_BITS ? { network, bits: bits - MAPPED_BITS } : { network: ipaddr.IPv6.parse(address), bits };
}

/** A CIDR block or a single address. */
export function isCidr(text: string): boolean {
  return parseBlock(text) !== null;
}

/** The stored form: host bits cleared, v6 compressed (RFC 5952), v4-mapped as v4, a single address without its length. */
export function normalizeCidr(text: string): string | null {
  const block = parseBlock(text);
  if (block === null) return null;
  const { network, bits } = block;
  if (network.kind() === "ipv4") {
    const base = ipaddr.IPv4.networkAddressFromCIDR(`${network.toString()}/${bits}`).toString();
    return bits === 32 ? base : `${base}/${bits}`;
  }
  const base = compressed(ipaddr.IPv6.networkAddressFromCIDR(`${network.toString()}/${bits}`));
  return bits === 128 ? base : `${base}/${bits}`;
}

function compressed(address: ipaddr.IPv6): string {
  return address.toRFC5952String();
}

// ── Origins ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * A web origin as browsers write it (`https://app.example.com`, `http://localhost:3000`; lower case, no default port, no
 * path), or `*.example.com`: every name below example.com, over https on its default port. Another port or plain http
 * has to be listed as a whole origin.
 */
export function isOriginPattern(text: string): boolean {
  if (text.startsWith("*.")) return HOST_LABELS.test(text.slice(2)) && text.indexOf(".", 2) > 0;
  if (!text.startsWith(SECURE_ORIGIN) && !text.startsWith("http://")) return false;
  return !text.includes("*") && URL.canParse(text) && new URL(text).origin === text;
}

/**
 * Whether a request's `Origin` is one of these. A request without the header, or with `null`, never is: it did not come
 * from a page on a listed origin. `*.example.com` means neither `example.com` itself nor `evil-example.com`.
 */
export function originAllowed(patterns: readonly string[], origin: string | null): boolean {
  if (origin === null || origin === "null") return false;
  return patterns.some((pattern) =>
    pattern.startsWith("*.") ? isBelow(origin, pattern.slice(1)) : pattern === origin,
  );
}

/** `suffix` starts with its dot. The labels before it are checked, else `https://evil.test/.example.com` would pass. */
function isBelow(origin: string, suffix: string): boolean {
  if (!origin.startsWith(SECURE_ORIGIN) || !origin.endsWith(suffix)) return false;
  return HOST_LABELS.test(origin.slice(SECURE_ORIGIN.length, -suffix.length));
}

// ── Countries and certificates ────────────────────────────────────────────────────────────────────────────────────────

/** ISO 3166-1 alpha-2, upper case. */
export function isCountry(text: string): boolean {
  return COUNTRY.test(text);
}

/** SHA-256 of a certificate in hex. */
export function isCertificateHash(text: string): boolean {
  return CERTIFICATE.test(text);
}
