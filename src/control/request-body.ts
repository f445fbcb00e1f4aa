import { MAX_CONTROL_BODY_BYTES } from "../constants.ts";
import type { FieldError, Outcome } from "./problem.ts";
import { invalid } from "./problem.ts";
import { parseKey } from "../keys/format.ts";
import { err, ok } from "../result.ts";

/** The body of a call, from bytes to JSON that is safe to look at. */

/** Deeper than any member of the API; keeps what walks a body off the end of the stack. */
const MAX_DEPTH = 32;
const MERGE_PATCH = "application/merge-patch+json";
const JSON_TYPE = "application/json";

/** Nothing of Latchkey's own form may stand where it would be stored or answered. */
const KEY_TAIL = /_(?:live|test)_[0-9A-Za-z]{38}/g;
const MIN_PREFIX_CHARACTERS = 2;
const MAX_PREFIX_CHARACTERS = 12;

export interface BodyRules {
  /** `false`: an empty body stands for `{}`. */
  readonly required: boolean;
  readonly mergePatch: boolean;
}

/** Reads, bounds and parses a body. */
export async function readBody(request: Request, rules: BodyRules): Promise<Outcome<unknown>> {
  const bytes = await readBytes(request);
  if (!bytes.ok) return bytes;
  if (bytes.value.byteLength === 0 && !rules.required) return ok({});
  const allowed = rules.mergePatch ? [MERGE_PATCH, JSON_TYPE] : [JSON_TYPE];
  if (!allowed.includes(mediaTypeOf(request))) {
    return err({ code: "unsupported_media_type", detail: `Send ${allowed.join(" or ")}.` });
  }
  const parsed = parseJson(bytes.value);
  if (!parsed.ok) return parsed;
  const faults = inspect(parsed.value);
  return faults.length > 0 ? invalid(faults) : parsed;
}

/** Whether a text holds a key of Latchkey's form, as happens when someone pastes one into the wrong field. */
export function holdsKey(text: string): boolean {
  for (const { 0: tail, index } of text.matchAll(KEY_TAIL)) {
    for (let length = MIN_PREFIX_CHARACTERS; length <= Math.min(MAX_PREFIX_CHARACTERS, index); length += 1) {
      if (parseKey(text.slice(index - length, index) + tail).ok) return true;
    }
  }
  return false;
}

function mediaTypeOf(request: Request): string {
  return (request.headers.get("Content-Type")?.split(";", 1)[0] ?? "").trim().toLowerCase();
}

/** Counts while it reads: `Content-Length` is a claim, and a chunked body makes none. */
async function readBytes(request: Request): Promise<Outcome<Uint8Array>> {
  const tooLarge = { code: "body_too_large", detail: `A body may have ${MAX_CONTROL_BODY_BYTES} bytes.` } as const;
  if (Number(request.headers.get("Content-Length") ?? 0) > MAX_CONTROL_BODY_BYTES) return err(tooLarge);
  const body: ReadableStream<Uint8Array> | null = request.body;
  if (body === null) return ok(new Uint8Array());
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.byteLength;
    // Leaving the loop cancels the stream.
    if (size > MAX_CONTROL_BODY_BYTES) return err(tooLarge);
    chunks.push(chunk);
  }
  return ok(join(chunks, size));
}

function join(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const whole = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return whole;
}

/** RFC 8259: UTF-8, and an object at the top since every body here is one. */
function parseJson(bytes: Uint8Array): Outcome<unknown> {
  try {
    // A byte order mark is refused by JSON.parse, as section 8.1 allows.
    return ok(JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)));
  } catch {
    // The parser's message quotes the input.
    return invalid([{ pointer: "", detail: "Must be JSON in UTF-8." }]);
  }
}

/** What no field may hold, whatever its schema says. One fault is enough to refuse. */
function inspect(root: unknown): readonly FieldError[] {
  const stack: { readonly value: unknown; readonly depth: number }[] = [{ value: root, depth: 1 }];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { value, depth } = next;
    if (depth > MAX_DEPTH) return [{ pointer: "", detail: `Must be at most ${MAX_DEPTH} levels deep.` }];
    if (typeof value === "string" && holdsKey(value)) return KEY_IN_BODY;
    if (typeof value !== "object" || value === null) continue;
    for (const [member, inner] of Object.entries(value)) {
      if (member.length > 40 && holdsKey(member)) return KEY_IN_BODY;
      stack.push({ value: inner, depth: depth + 1 });
    }
  }
  return [];
}

const KEY_IN_BODY: readonly FieldError[] = [
  { pointer: "", detail: "Holds what looks like a whole key. Keys are never sent here." },
];
