import type { RequestFacts } from "./outcome.ts";

/** What is read off a request for bindings and events. */

/** The client's address: `CF-Connecting-IP` alone. Every other header of that kind is the client's to write. */
export function clientIpOf(request: Request): string | null {
  return request.headers.get("CF-Connecting-IP");
}

export interface NetworkFacts {
  readonly country: string | null;
  readonly asn: number | null;
  readonly colo: string | null;
}

/** What the platform says of where a request came from. Asking for it costs 3 µs and more: `cf` is read once. */
export type Incoming = IncomingRequestCfProperties | undefined;

export function incomingOf(request: Request): Incoming {
  // What reaches a fetch handler has the incoming shape, or none in tests; the type allows the outgoing one too.
  return request.cf as Incoming;
}

export function networkOf(cf: Incoming): NetworkFacts {
  return { country: stringOf(cf?.country), asn: typeof cf?.asn === "number" ? cf.asn : null, colo: stringOf(cf?.colo) };
}

export function requestFacts(request: Request): RequestFacts {
  return bindingFacts(incomingOf(request), clientIpOf(request), request.headers.get("Origin"));
}

/** The same of what was read already. */
export function bindingFacts(cf: Incoming, ip: string | null, origin: string | null): RequestFacts {
  const tls = cf?.tlsClientAuth;
  return {
    ip,
    origin,
    country: stringOf(cf?.country),
    certificateSha256:
      tls?.certVerified === "SUCCESS" ? (stringOf(tls.certFingerprintSHA256)?.toLowerCase() ?? null) : null,
  };
}

function stringOf(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}
