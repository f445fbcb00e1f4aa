import { type InnerList, type Item, parseDictionary } from "structured-headers";
import { MAX_COVERED_COMPONENTS, MAX_SIGNATURE_FIELD_CHARACTERS, MAX_SIGNATURES } from "../constants.ts";
import { err, ok, type Result } from "../result.ts";

/** One signature of a message, as its fields say it (RFC 9421 §4). */
export interface StatedSignature {
  readonly label: string;
  readonly covered: InnerList;
  readonly signature: Uint8Array<ArrayBuffer>;
  /** Seconds since the epoch. `null` each, where it is not said. */
  readonly created: number | null;
  readonly expires: number | null;
  readonly keyid: string | null;
  readonly nonce: string | null;
  readonly alg: string | null;
  readonly tag: string | null;
}

const MALFORMED = "Signature-Input and Signature must be dictionaries of one label each for both (RFC 9421 §4).";

/**
 * Reads the fields `Signature-Input` and `Signature`, each as one text. Nothing is verified. Of a label that stands twice, the last
 * one counts, in both (RFC 9651 §4.2.2).
 */
export function readSignatures(input: string, signatures: string): Result<readonly StatedSignature[], string> {
  if (input.length > MAX_SIGNATURE_FIELD_CHARACTERS || signatures.length > MAX_SIGNATURE_FIELD_CHARACTERS) {
    return err(`Signature-Input and Signature have at most ${MAX_SIGNATURE_FIELD_CHARACTERS} characters each.`);
  }
  try {
    const inputs = parseDictionary(input);
    const values = parseDictionary(signatures);
    if (inputs.size > MAX_SIGNATURES) return err(`A request has at most ${MAX_SIGNATURES} signatures.`);
    const read: StatedSignature[] = [];
    for (const [label, member] of inputs) {
      const one = readOne(label, member, values.get(label));
      if (one === null) return err(MALFORMED);
      read.push(one);
    }
    return ok(read);
  } catch {
    return err(MALFORMED);
  }
}

function readOne(label: string, member: Item | InnerList, value: Item | InnerList | undefined): StatedSignature | null {
  const bytes = value?.[0];
  if (!isInnerList(member) || !(bytes instanceof ArrayBuffer)) return null;
  if (member[0].length > MAX_COVERED_COMPONENTS) return null;
  const [, parameters] = member;
  const created = wholeNumber(parameters.get("created"));
  const expires = wholeNumber(parameters.get("expires"));
  const [keyid, nonce, alg, tag] = (["keyid", "nonce", "alg", "tag"] as const).map((name) =>
    text(parameters.get(name)),
  );
  // A parameter that is there and is not of its type (§2.3) is no parameter that is not there.
  if (created === undefined || expires === undefined) return null;
  if (keyid === undefined || nonce === undefined || alg === undefined || tag === undefined) return null;
  return { label, covered: member, signature: new Uint8Array(bytes), created, expires, keyid, nonce, alg, tag };
}

function isInnerList(member: Item | InnerList): member is InnerList {
  return Array.isArray(member[0]);
}

/** `null`: absent; `undefined`: of another type. */
function wholeNumber(value: unknown): number | null | undefined {
  if (value === undefined) return null;
  return typeof value === "number" && Number.isSafeInteger(value) ? value : undefined;
}

function text(value: unknown): string | null | undefined {
  if (value === undefined) return null;
  return typeof value === "string" ? value : undefined;
}
