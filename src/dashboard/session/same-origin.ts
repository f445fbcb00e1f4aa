import { timingSafeEqual } from "node:crypto";
import { addressOf } from "../../gateway/identity-headers.ts";

/**
 * Whether a form was sent by a page of ours. `Sec-Fetch-Site` is what browsers say, and pages cannot: since our pages send no
 * referrer, `Origin` is `null` on their own forms (Fetch, "append a request Origin header"). A browser that says neither is refused.
 */
export function isSameOrigin(request: Request): boolean {
  const site = request.headers.get("Sec-Fetch-Site");
  const origin = request.headers.get("Origin");
  const { protocol, host } = addressOf(request.url);
  const own = `${protocol}://${host}`;
  if (origin !== null && origin !== "null" && origin !== own) return false;
  return site === null ? origin === own : site === "same-origin";
}

/** In the same time wherever they differ. */
export function sameToken(given: string | null, expected: string): boolean {
  if (given === null) return false;
  const [left, right] = [Buffer.from(given), Buffer.from(expected)];
  return left.byteLength === right.byteLength && timingSafeEqual(left, right);
}
