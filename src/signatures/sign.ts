import { type InnerList, type Item, serializeDictionary } from "structured-headers";
import { ok, type Result } from "../result.ts";
import { type SignatureKey, signBytes } from "./algorithms.ts";
import type { FieldTypes } from "./components.ts";
import type { SignableMessage } from "./message.ts";
import { signatureBase } from "./signature-base.ts";

export interface SigningOptions {
  readonly label: string;
  readonly key: SignatureKey;
  /** Names of components without parameters; or whole identifiers. In the order in which they are to be signed. */
  readonly components: readonly (string | Item)[];
  /** In the order in which they are to be written. */
  readonly parameters: Readonly<Record<string, string | number>>;
  readonly fieldTypes?: FieldTypes;
}

export interface SignatureFields {
  readonly signatureInput: string;
  readonly signature: string;
}

/** RFC 9421 §3.1. An error where the message has not what is to be covered. */
export async function signMessage(
  message: SignableMessage,
  options: SigningOptions,
): Promise<Result<SignatureFields, string>> {
  const items = options.components.map((one): Item => (typeof one === "string" ? [one, new Map()] : one));
  const covered: InnerList = [items, new Map(Object.entries(options.parameters))];
  const base = signatureBase(covered, message, options.fieldTypes);
  if (!base.ok) return base;
  const signature = await signBytes(options.key, base.value);
  return ok({
    signatureInput: serializeDictionary(new Map([[options.label, covered]])),
    signature: serializeDictionary(new Map([[options.label, [signature, new Map()]]])),
  });
}
