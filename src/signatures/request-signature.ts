import { serializeItem } from "structured-headers";
import { MAX_SIGNATURE_NONCE_CHARACTERS, SIGNATURE_SKEW_MS } from "../constants.ts";
import { err, ok, type Result } from "../result.ts";
import { type SignatureKey, verifyBytes } from "./algorithms.ts";
import type { SignableMessage } from "./message.ts";
import { signatureBase } from "./signature-base.ts";
import { readSignatures, type StatedSignature } from "./signature-fields.ts";

/** What a key wants of the signature on each of its requests. */
export interface SignatureRules {
  /** What `keyid` must be. */
  readonly keyid: string;
  /** The signature must be by one of these: more than one only while the secret behind them is being replaced. */
  readonly keys: readonly SignatureKey[];
  /** Beyond method, target and, where there is a body, its digest. */
  readonly components: readonly string[];
  readonly maxAgeSeconds: number;
  readonly hasBody: boolean;
}

export interface VerifiedSignature {
  /** Seconds since the epoch. */
  readonly created: number;
  /** What must not be used twice: the nonce, else all that was signed. */
  readonly once: string;
}

export type SignatureFault =
  | { readonly kind: "missing" }
  /** Says what is wrong, and repeats nothing that was sent. */
  | { readonly kind: "invalid"; readonly detail: string };

/** RFC 9421 §3.2, and what the key's policy wants. Whether it was used before is for the replay guard. */
export async function checkRequestSignature(
  message: SignableMessage,
  rules: SignatureRules,
  now: number,
): Promise<Result<VerifiedSignature, SignatureFault>> {
  const [input] = message.linesOf("signature-input");
  const [signature] = message.linesOf("signature");
  if (input === undefined || signature === undefined) return err({ kind: "missing" });
  const stated = readSignatures(input, signature);
  if (!stated.ok) return invalid(stated.error);
  // Others may have signed too, a proxy for instance: theirs are not looked at.
  const ours = stated.value.filter(({ keyid }) => keyid === rules.keyid);
  const [one] = ours;
  if (one === undefined) return invalid("No signature has this key's id as its keyid.");
  if (ours.length > 1) return invalid("There must be one signature with this key's id as its keyid.");
  const fault = faultOfTime(one, rules, now) ?? faultOfCoverage(one, rules);
  if (fault !== null) return invalid(fault);
  const base = signatureBase(one.covered, message);
  if (!base.ok) return invalid(base.error);
  if (!(await isByOneOf(one, base.value, rules.keys))) {
    return invalid("The signature is not by this key's signing key over this request.");
  }
  const created = one.created ?? 0;
  return ok({ created, once: one.nonce === null ? `base ${base.value}` : `nonce ${one.nonce}` });
}

function faultOfTime({ created, expires, nonce }: StatedSignature, rules: SignatureRules, now: number): string | null {
  if (created === null) return "The signature must have created.";
  if (created * 1_000 > now + SIGNATURE_SKEW_MS) return "created is in the future.";
  if (created * 1_000 < now - rules.maxAgeSeconds * 1_000 - SIGNATURE_SKEW_MS) {
    return `The signature is older than ${rules.maxAgeSeconds} s.`;
  }
  if (expires !== null && expires * 1_000 <= now) return "The signature has expired.";
  if (nonce !== null && (nonce === "" || nonce.length > MAX_SIGNATURE_NONCE_CHARACTERS)) {
    return `nonce has 1 to ${MAX_SIGNATURE_NONCE_CHARACTERS} characters.`;
  }
  return null;
}

/** Any of these names the whole target. */
const TARGETS: readonly (readonly string[])[] = [
  ["@target-uri"],
  ["@authority", "@request-target"],
  ["@authority", "@path", "@query"],
];

/** A component with parameters (a part of a field, say) covers less than its name says, and does not count. */
function faultOfCoverage({ covered: [components] }: StatedSignature, rules: SignatureRules): string | null {
  const names = new Set(components.map((component) => serializeItem(component)));
  const covers = (name: string): boolean => names.has(`"${name}"`);
  const wanted = ["@method", ...(rules.hasBody ? ["content-digest"] : []), ...rules.components];
  const missing = wanted.filter((name) => !covers(name));
  if (!TARGETS.some((target) => target.every((name) => covers(name)))) missing.unshift("@target-uri");
  return missing.length === 0 ? null : `The signature does not cover ${missing.join(", ")}.`;
}

async function isByOneOf(stated: StatedSignature, base: string, keys: readonly SignatureKey[]): Promise<boolean> {
  for (const key of keys) {
    // §3.2 step 6: what the message says must be what the key is for; it never chooses.
    if (stated.alg !== null && stated.alg !== key.algorithm) continue;
    if (await verifyBytes(key, stated.signature, base)) return true;
  }
  return false;
}

/** `Accept-Signature` (RFC 9421 §5.1): what a signature must cover, for clients that can read it. */
export function acceptSignature(
  rules: Pick<SignatureRules, "keyid" | "components" | "hasBody">,
  algorithm: string,
): string {
  const components = ["@method", "@target-uri", ...(rules.hasBody ? ["content-digest"] : []), ...rules.components];
  const list = components.map((name) => `"${name}"`).join(" ");
  return `latchkey=(${list});created;nonce;keyid="${rules.keyid}";alg="${algorithm}"`;
}

function invalid(detail: string): Result<never, SignatureFault> {
  return err({ kind: "invalid", detail });
}
