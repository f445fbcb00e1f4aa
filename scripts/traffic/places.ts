import type { Draws } from "./random.ts";

/** Where requests come from: the clouds and carriers of a small world. Numbers of networks are from the private and documentation ranges. */

export interface Site {
  readonly country: string;
  readonly asn: number;
  readonly network: string;
}

/** The share of an hour's requests that comes from a site. */
export interface SiteShare {
  readonly site: Site;
  readonly share: number;
}

const COUNTRIES = [
  "US",
  "DE",
  "GB",
  "FR",
  "NL",
  "IN",
  "BR",
  "JP",
  "CA",
  "AU",
  "ES",
  "IT",
  "PL",
  "SE",
  "SG",
  "IE",
  "MX",
  "KR",
  "CH",
  "AT",
  "DK",
  "FI",
  "NO",
  "BE",
  "PT",
  "CZ",
  "TR",
  "ZA",
  "VN",
  "ID",
  "RU",
  "UA",
  "NG",
  "CN",
] as const;

/** Customers and thieves rent from the same few clouds. */
const CLOUD_ASNS = 12;
const CLOUD_REGIONS = ["US", "DE", "IE", "SG", "GB", "NL", "IN", "JP", "FR", "CA"] as const;
const FIRST_CLOUD_ASN = 64_512;
const FIRST_CARRIER_ASN = 64_600;

/** The commoner ones come first. */
export function countryFor(draws: Draws): string {
  return COUNTRIES[Math.floor(draws.unit() ** 2 * COUNTRIES.length)] ?? "US";
}

export function networkFor(draws: Draws): string {
  return `10.${draws.whole(0, 255)}.${draws.whole(0, 255)}.0/24`;
}

/** The biggest cloud has about a third of the servers. */
export function cloudSite(draws: Draws, country?: string): Site {
  const asn = FIRST_CLOUD_ASN + Math.floor(draws.unit() ** 2 * CLOUD_ASNS);
  return { country: country ?? draws.pick(CLOUD_REGIONS), asn, network: networkFor(draws) };
}

/** An office, a home or a phone: three carriers to a country. */
export function carrierSite(draws: Draws, country: string): Site {
  const at = COUNTRIES.findIndex((name) => name === country);
  return { country, asn: FIRST_CARRIER_ASN + 3 * at + draws.whole(0, 2), network: networkFor(draws) };
}

/** A thief's: mostly a rented server anywhere, else a proxy at somebody's home. */
export function thiefSite(draws: Draws): Site {
  const country = countryFor(draws);
  return draws.chance(0.75) ? cloudSite(draws, country) : carrierSite(draws, country);
}

/** The same customer, elsewhere in the same provider. */
export function neighbour(site: Site, draws: Draws): Site {
  return { ...site, network: networkFor(draws) };
}
