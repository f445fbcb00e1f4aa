import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { err, ok } from "../result.ts";
import type { Result } from "../result.ts";
import type { KeyHash } from "./record.ts";
import { sha256OfAscii } from "./sha256.ts";

/** A key's hash as an operator hands it in: SHA-256 of the whole key. */
export interface ImportedHash {
  readonly algorithm: string;
  readonly encoding: string;
  readonly value: string;
}

/** 32 bytes are 43 characters of base64, of which the last carries four bits and two zeros. */
const CANONICAL_BASE64URL = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;
const HEX = /^[0-9A-Fa-f]{64}$/;

/** SHA-256 of the presented key, base64url. Synchronous: the warm path waits for nothing. */
export function digestKey(presentedKey: string): KeyHash {
  const digest = sha256OfAscii(presentedKey) ?? createHash("sha256").update(presentedKey).digest("base64url");
  // The one place where a digest becomes a KeyHash: it is 32 bytes of base64url by construction.
  return digest as KeyHash;
}

/** Whether a text is 32 bytes in canonical base64url. */
export function isKeyHash(text: string): text is KeyHash {
  return CANONICAL_BASE64URL.test(text);
}

/**
 * Brings a hash from elsewhere into the stored form. Hex in any case; base64 and base64url with or without padding.
 * The error says what is wrong and never repeats the value: someone may have sent a key instead.
 */
export function importedHash(hash: ImportedHash): Result<KeyHash, string> {
  if (hash.algorithm !== "sha256") return err("algorithm must be sha256");
  const canonical = toBase64url(hash);
  if (canonical === null) return err("encoding must be hex, base64 or base64url");
  if (!isKeyHash(canonical)) return err(`value must be 32 bytes of SHA-256 in ${hash.encoding}`);
  return ok(canonical);
}

/** `null` for an unknown encoding; a text that `isKeyHash` refuses for a bad value. */
function toBase64url({ encoding, value }: ImportedHash): string | null {
  switch (encoding) {
    case "hex":
      return HEX.test(value) ? Buffer.from(value, "hex").toString("base64url") : "";
    case "base64":
      return /[-_]/.test(value) ? "" : unpadded(value).replaceAll("+", "-").replaceAll("/", "_");
    case "base64url":
      return unpadded(value);
    default:
      return null;
  }
}

/** 32 bytes end in exactly one `=` where base64 is padded. */
function unpadded(value: string): string {
  return value.length === 44 && value.endsWith("=") ? value.slice(0, 43) : value;
}
