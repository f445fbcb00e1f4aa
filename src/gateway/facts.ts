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

export function networkOf(request: Request): NetworkFacts {
  const cf = incomingOf(request);
  return { country: stringOf(cf?.country), asn: typeof cf?.asn === "number" ? cf.asn : null, colo: stringOf(cf?.colo) };
}

export function requestFacts(request: Request, ip: string | null = clientIpOf(request)): RequestFacts {
  const cf = incomingOf(request);
  const tls = cf?.tlsClientAuth;
  return {
    ip,
    origin: request.headers.get("Origin"),
    country: stringOf(cf?.country),
    certificateSha256:
      tls?.certVerified === "SUCCESS" ? (stringOf(tls.certFingerprintSHA256)?.toLowerCase() ?? null) : null,
  };
}

function incomingOf(request: Request): IncomingRequestCfProperties | undefined {
  // What reaches a fetch handler has the incoming shape, or none in tests; the type allows the outgoing one too.
  return request.cf as IncomingRequestCfProperties | undefined;
}

function stringOf(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}
