import { parseDictionary } from "structured-headers";
import { MAX_SIGNATURE_FIELD_CHARACTERS } from "../constants.ts";

/** `Content-Digest` (RFC 9530 §2) of a body that is there whole. */

/** RFC 9530 §7.2, "Active". */
const ALGORITHMS: Readonly<Record<string, string>> = { "sha-256": "SHA-256", "sha-512": "SHA-512" };

/**
 * Whether the field is the body's: every digest in it by an algorithm that is known must be right, and there must be one. Others, and
 * those that are no longer safe, are as if they were not there (RFC 9530 §2).
 */
export async function isDigestOf(field: string, body: Uint8Array<ArrayBuffer>): Promise<boolean> {
  const digests = readDigests(field);
  if (digests === null) return false;
  let known = 0;
  for (const [name, stated] of digests) {
    const algorithm = Object.hasOwn(ALGORITHMS, name) ? ALGORITHMS[name] : undefined;
    if (algorithm === undefined) continue;
    if (!isSame(stated, new Uint8Array(await crypto.subtle.digest(algorithm, body)))) return false;
    known += 1;
  }
  return known > 0;
}

/** The field for a body. */
export async function contentDigest(
  body: Uint8Array<ArrayBuffer>,
  algorithm: "sha-256" | "sha-512" = "sha-256",
): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest(ALGORITHMS[algorithm] ?? "", body));
  return `${algorithm}=:${btoa(String.fromCharCode(...digest))}:`;
}

/** `null`: not a dictionary of byte sequences. */
function readDigests(field: string): ReadonlyMap<string, Uint8Array> | null {
  if (field.length > MAX_SIGNATURE_FIELD_CHARACTERS) return null;
  try {
    const digests = new Map<string, Uint8Array>();
    for (const [name, [value]] of parseDictionary(field)) {
      if (!(value instanceof ArrayBuffer)) return null;
      digests.set(name, new Uint8Array(value));
    }
    return digests;
  } catch {
    return null;
  }
}

/** Digests are no secrets. */
function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((octet, index) => octet === other[index]);
}
