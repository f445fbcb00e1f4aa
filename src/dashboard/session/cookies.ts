import { addressOf } from "../../gateway/identity-headers.ts";

/** Cookies of the pages. */

const LOOPBACK_HOST = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/;

export type CookieName = "latchkey-session" | "latchkey-portal" | "latchkey-theme";

/** `https`, or plain on this machine, where nobody listens: elsewhere nobody signs in. */
export function mayHoldSession(request: Request): boolean {
  const { protocol, host } = addressOf(request.url);
  return protocol === "https" || LOOPBACK_HOST.test(host);
}

/**
 * `__Host-`: set by this very host, over https, for all of its paths. Its value must not reach the API that stands behind the same
 * host name: the gateway takes these cookies out of what it forwards.
 */
function nameOf(name: CookieName, request: Request): string {
  return addressOf(request.url).protocol === "https" ? `__Host-${name}` : name;
}

export function readCookie(request: Request, name: CookieName): string | null {
  const wanted = nameOf(name, request);
  for (const pair of (request.headers.get("Cookie") ?? "").split(";")) {
    const at = pair.indexOf("=");
    if (at > 0 && pair.slice(0, at).trim() === wanted) return pair.slice(at + 1).trim();
  }
  return null;
}

/** The value of a `Set-Cookie`. No seconds: the cookie goes. */
export function writeCookie(request: Request, name: CookieName, value: string, maxAgeSeconds: number): string {
  const secure = addressOf(request.url).protocol === "https" ? "; Secure" : "";
  return `${nameOf(name, request)}=${value}; Path=/; Max-Age=${maxAgeSeconds}; HttpOnly; SameSite=Strict${secure}`;
}
