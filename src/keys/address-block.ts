import ipaddr from "ipaddr.js";

const SUBSCRIBER_BITS = 64;

/**
 * The block that one subscriber has: an IPv4 address, or the /64 of an IPv6 address, whose other half its holder picks at
 * will. v4-mapped v6 counts as v4. What is not an address comes back as it is.
 */
export function addressBlock(ip: string): string {
  if (!ipaddr.isValid(ip)) return ip;
  const address = ipaddr.process(ip);
  if (address.kind() === "ipv4") return address.toString();
  return `${ipaddr.IPv6.networkAddressFromCIDR(`${address.toString()}/${SUBSCRIBER_BITS}`).toString()}/${SUBSCRIBER_BITS}`;
}
