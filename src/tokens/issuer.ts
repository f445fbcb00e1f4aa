import type { GatewayConfig } from "../config.ts";

/**
 * `iss` of what this request has made or checked: as configured, or the origin that the request came to. Never ends in a slash:
 * clients compare it character by character (RFC 8414 §3.3).
 */
export function issuerOf({ tokens }: GatewayConfig, requestUrl: string): string {
  return tokens?.issuer ?? originOf(requestUrl);
}

/** Whether a text may be an issuer: an origin as `URL` writes it, over HTTPS but for this machine's own names. */
export function isIssuer(text: string): boolean {
  const url = URL.parse(text);
  if (url === null || url.origin !== text) return false;
  return url.protocol === "https:" || (url.protocol === "http:" && LOCAL_HOSTS.has(url.hostname));
}

/** RFC 8414 §2 wants HTTPS; in local running there is none. */
const LOCAL_HOSTS: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** What stands before the path. The runtime writes request URLs in the form of `URL`, so nothing need be parsed. */
function originOf(url: string): string {
  const pathStart = url.indexOf("/", url.indexOf("://") + 3);
  return pathStart < 0 ? url : url.slice(0, pathStart);
}
