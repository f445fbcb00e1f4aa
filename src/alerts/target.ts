import ipaddr from "ipaddr.js";
import { err, ok } from "../result.ts";
import type { Result } from "../result.ts";

/**
 * Where a message may be sent. Whoever writes a channel's variable must not be able to make Latchkey call what only Latchkey can reach.
 * Judged by the URL alone: what a name resolves to is not known here (see docs/threat-model.md). Pure.
 */

/** Names that mean this machine, or a network behind it. */
const LOCAL_NAMES = /(?:^|\.)(?:localhost|local|internal|localdomain|lan|home|corp|intranet|home\.arpa)$/;
/** A public name has two labels or more. */
const PUBLIC_NAME = /^(?=.{4,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+$/;
const LOOPBACK_NAMES: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "[::1]"]);
/** Those on which receivers of alerts listen; never 22, 25, 6379 and the like. */
const ALERT_PORTS: ReadonlySet<string> = new Set(["", "443", "8443"]);
const MAX_URL_CHARACTERS = 2_048;

/**
 * The URL, or what is wrong with it, without repeating it: such URLs are secrets.
 *
 * @param allowLoopback for local running: this machine by name or address, http too, on any port.
 * @param ports as `URL.port` says them; `""` is 443.
 */
export function checkTarget(
  text: string,
  allowLoopback: boolean,
  ports: ReadonlySet<string> = ALERT_PORTS,
): Result<URL, string> {
  if (text.length > MAX_URL_CHARACTERS || /[^!-~]/.test(text) || !URL.canParse(text)) return err("is not a URL");
  const url = new URL(text);
  if (url.username !== "" || url.password !== "") return err("must not have a user name or password");
  if (url.hash !== "") return err("must not have a fragment");
  if (allowLoopback && LOOPBACK_NAMES.has(url.hostname) && /^https?:$/.test(url.protocol)) return ok(url);
  if (url.protocol !== "https:") return err("must be https");
  if (!ports.has(url.port)) return err(`must have port ${[...ports].filter((port) => port !== "").join(" or ")}`);
  const fault = findHostFault(url.hostname.replace(/\.$/, ""));
  return fault === null ? ok(url) : err(fault);
}

function findHostFault(host: string): string | null {
  // `URL` has brought every spelling of an IPv4 address (octal, one number) to four decimal ones.
  const literal = host.replace(/^\[(.*)\]$/, "$1");
  if (ipaddr.isValid(literal)) {
    return isPublic(literal) ? null : "must not be an address of this machine or of a private network";
  }
  if (LOCAL_NAMES.test(host)) return "must not be a name of this machine or of a private network";
  // The last label of a public name is never a number.
  if (!PUBLIC_NAME.test(host) || /(?:^|\.)\d+$/.test(host)) return "must be a public host name";
  return null;
}

/** `unicast` is what ipaddr.js calls an address in no special range: private, loopback, link-local (metadata), CGNAT, ULA … all have names. */
function isPublic(literal: string): boolean {
  const address = ipaddr.parse(literal);
  if (address.range() !== "unicast") return false;
  // NAT64, 6to4 and Teredo carry an IPv4 address; ipaddr.js names those ranges, and `::a.b.c.d`, long out of use, it does not.
  return !(address instanceof ipaddr.IPv6 && address.parts.slice(0, 6).every((part) => part === 0));
}
