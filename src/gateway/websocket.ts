/**
 * WebSockets pass through: the runtime couples the two sockets outside JavaScript, so messages are neither seen nor
 * counted, and a key that is revoked does not cut a socket that is open. The upgrade is one request, charged as one.
 */

/** RFC 6455 §4.2.1: a `GET` that asks to upgrade to `websocket`, in any case, maybe among others. */
export function isWebSocketUpgrade(method: string, upgrade: string | undefined): boolean {
  if (upgrade === undefined || method !== "GET") return false;
  return upgrade
    .toLowerCase()
    .split(",")
    .some((protocol) => protocol.trim() === "websocket");
}
