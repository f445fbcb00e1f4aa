import type { Finding } from "./finding.ts";
import type { NetworkWindow } from "./rows.ts";
import type { StuffingThresholds } from "./thresholds.ts";

/**
 * Many different keys tried from one network, most of them refused. A network of many customers has many good keys among them; a client
 * with a wrong key has one.
 */
export function detectCredentialStuffing(
  window: NetworkWindow,
  { keysRefused, share }: StuffingThresholds,
): Finding | null {
  if (window.keysRefused < keysRefused || window.keysRefused < share * window.keysTried) return null;
  const { network, since, until, attempts, refused, keysTried } = window;
  return {
    kind: "credential_stuffing",
    subject: { type: "network", id: network },
    severity: keysTried > window.keysRefused ? "page" : "ticket",
    evidence: { keysRefused: window.keysRefused, keysTried, refused, attempts },
    place: { country: null, asn: null, network },
    since,
    until,
  };
}
