import { generateKey } from "../../src/keys/generate.ts";
import { COMMON_HEADERS, REQUEST_PATH } from "./candidate.ts";
import type { RequestShape } from "./candidate.ts";

/** The measured request with this key. */
export function keyedRequest(key: string): RequestShape {
  return { method: "GET", path: REQUEST_PATH, headers: { ...COMMON_HEADERS, authorization: `Bearer ${key}` } };
}

/** A key in Latchkey's form, known to nobody yet. */
export function newKey(): string {
  const randomBytes = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));
  return generateKey({ prefix: "lk", environment: "live", randomBytes });
}
