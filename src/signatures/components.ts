import { Buffer } from "node:buffer";
import {
  type Item,
  parseDictionary,
  parseItem,
  parseList,
  serializeDictionary,
  serializeInnerList,
  serializeItem,
  serializeList,
} from "structured-headers";
import { err, ok, type Result } from "../result.ts";
import type { SignableMessage } from "./message.ts";

/** The values of message components (RFC 9421 §2.1, §2.2). An error says what is wrong and repeats no value. */

/** An item: the name in lower case, and its parameters. */
export type ComponentId = Item;

/** Structured types of fields, for `sf` (§2.1.1). `key` says by itself that its field is a dictionary. */
export type FieldTypes = Readonly<Record<string, "dictionary" | "list" | "item">>;

export const KNOWN_FIELD_TYPES: FieldTypes = {
  "accept-signature": "dictionary",
  "cache-status": "list",
  "client-cert": "item",
  "client-cert-chain": "list",
  "content-digest": "dictionary",
  priority: "dictionary",
  "proxy-status": "list",
  "repr-digest": "dictionary",
  signature: "dictionary",
  "signature-input": "dictionary",
  "want-content-digest": "dictionary",
  "want-repr-digest": "dictionary",
};

/** RFC 9110 §5.1, in lower case as §2.1 wants it. */
const FIELD_NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
/** What a line of the signature base can hold (§2.5); the HTTP fields that arrive are latin-1. */
const SIGNABLE_VALUE = /^[\x20-\x7e\t]*$/;

const REQUEST_COMPONENTS: Readonly<Record<string, (url: URL, message: SignableMessage) => string>> = {
  "@method": (_url, { method }) => method ?? "",
  "@target-uri": (_url, { url }) => url,
  "@authority": (url) => url.host,
  "@scheme": (url) => url.protocol.slice(0, -1),
  "@request-target": (url) => url.pathname + url.search,
  "@path": (url) => url.pathname,
  "@query": (url) => (url.search === "" ? "?" : url.search),
};

export function componentValue(
  [name, parameters]: ComponentId,
  message: SignableMessage,
  fieldTypes: FieldTypes = KNOWN_FIELD_TYPES,
): Result<string, string> {
  if (typeof name !== "string") return err("A component is named by a string.");
  // `req` (§2.4) is for responses that are bound to their request, `tr` (§2.1.4) for trailers, which the platform drops.
  for (const parameter of parameters.keys()) {
    if (!KNOWN_PARAMETERS.has(parameter)) return err(`The parameter ${parameter} of a component is not supported.`);
  }
  return name.startsWith("@")
    ? derivedValue(name, parameters, message)
    : fieldValue(name, parameters, { message, fieldTypes });
}

const KNOWN_PARAMETERS: ReadonlySet<string> = new Set(["sf", "key", "bs", "name"]);

function derivedValue(name: string, parameters: Item[1], message: SignableMessage): Result<string, string> {
  if (name === "@status") {
    return message.status === null ? err("@status is of responses alone.") : ok(String(message.status));
  }
  const url = message.method === null ? null : URL.parse(message.url);
  if (url === null) return err(`${name} is of requests alone.`);
  if (name === "@query-param") return queryParameter(parameters.get("name"), url);
  const read = REQUEST_COMPONENTS[name];
  if (read === undefined || !Object.hasOwn(REQUEST_COMPONENTS, name)) return err("There is no such derived component.");
  if (parameters.size > 0) return err(`${name} takes no parameters.`);
  return signable(read(url, message), name);
}

/** §2.2.8: decoded as a form, and encoded again in one way. One that occurs twice cannot be signed. */
function queryParameter(name: unknown, url: URL): Result<string, string> {
  if (typeof name !== "string") return err("@query-param takes a name.");
  const values = [...url.searchParams].filter(([found]) => encodeFormText(found) === name);
  const [value] = values;
  if (value === undefined || values.length > 1) return err("@query-param must name a parameter that is there once.");
  return ok(encodeFormText(value[1]));
}

/** WHATWG URL's application/x-www-form-urlencoded percent-encode set, a space as %20. */
function encodeFormText(text: string): string {
  const hex = (character: string): string => `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
  return encodeURIComponent(text.toWellFormed()).replaceAll(/[!'()~]/g, hex);
}

interface FieldSource {
  readonly message: SignableMessage;
  readonly fieldTypes: FieldTypes;
}

function fieldValue(name: string, parameters: Item[1], { message, fieldTypes }: FieldSource): Result<string, string> {
  if (!FIELD_NAME.test(name)) return err("A field is named in lower case.");
  if (parameters.has("name")) return err("The parameter name is for @query-param alone.");
  const lines = message.linesOf(name).map((line) => line.trim());
  if (lines.length === 0) return err(`The field ${name} is covered, and is not there.`);
  const binary = parameters.has("bs");
  const structured = parameters.has("sf");
  const key = parameters.get("key");
  if (binary && (structured || key !== undefined)) return err("bs goes with neither sf nor key.");
  if (binary) return ok(lines.map((line) => `:${Buffer.from(line, "latin1").toString("base64")}:`).join(", "));
  const joined = lines.join(", ");
  if (key !== undefined) return typeof key === "string" ? memberOf(joined, key, name) : err("key is a string.");
  if (!structured) return signable(joined, name);
  const type = Object.hasOwn(fieldTypes, name) ? fieldTypes[name] : undefined;
  return type === undefined
    ? err(`It is not known that ${name} is a structured field.`)
    : normalized(joined, type, name);
}

/** §2.1.1. */
function normalized(text: string, type: FieldTypes[string], name: string): Result<string, string> {
  try {
    switch (type) {
      case "dictionary":
        return ok(serializeDictionary(parseDictionary(text)));
      case "list":
        return ok(serializeList(parseList(text)));
      case "item":
        return ok(serializeItem(parseItem(text)));
    }
  } catch {
    return err(`The field ${name} is not what its type wants.`);
  }
}

/** §2.1.2. */
function memberOf(text: string, key: string, name: string): Result<string, string> {
  try {
    const member = parseDictionary(text).get(key);
    if (member === undefined) return err(`The field ${name} has no such member.`);
    const [value, parameters] = member;
    return ok(Array.isArray(value) ? serializeInnerList([value, parameters]) : serializeItem([value, parameters]));
  } catch {
    return err(`The field ${name} is no dictionary.`);
  }
}

function signable(value: string, name: string): Result<string, string> {
  return SIGNABLE_VALUE.test(value) ? ok(value) : err(`The value of ${name} is not ASCII: sign it with bs.`);
}
