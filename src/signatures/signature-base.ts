import { type InnerList, serializeInnerList, serializeItem } from "structured-headers";
import { err, ok, type Result } from "../result.ts";
import { componentValue, type FieldTypes } from "./components.ts";
import type { SignableMessage } from "./message.ts";

/**
 * RFC 9421 §2.5: what is signed. A line for each covered component, and one for the list itself with its parameters, so that these
 * are signed too.
 */
export function signatureBase(
  covered: InnerList,
  message: SignableMessage,
  fieldTypes?: FieldTypes,
): Result<string, string> {
  const seen = new Set<string>();
  const lines: string[] = [];
  for (const component of covered[0]) {
    const id = serializeItem(component);
    // The order of parameters makes no difference to what is meant.
    const meant = id.split(";").toSorted().join(";");
    if (seen.has(meant)) return err("A component is covered twice.");
    seen.add(meant);
    const value = componentValue(component, message, fieldTypes);
    if (!value.ok) return value;
    lines.push(`${id}: ${value.value}`);
  }
  lines.push(`"@signature-params": ${serializeInnerList(covered)}`);
  return ok(lines.join("\n"));
}
