import { MAX_TOKEN_CHARACTERS } from "../../constants.ts";
import { err, ok, type Result } from "../../result.ts";
import type { OAuthError } from "./oauth-answer.ts";

/** What is posted to an OAuth endpoint: `application/x-www-form-urlencoded`, each parameter once (RFC 6749 §3.2). */
export interface Form {
  /** `null`: absent, or empty, which is the same (RFC 6749 §3.1). */
  get(name: string): string | null;
  /** For those that may stand there several times: `audience` and `resource` (RFC 8693 §2.1). */
  all(name: string): readonly string[];
}

/** Two tokens, escaped at worst to three times their length, and the rest. */
const MAX_FORM_BYTES = 6 * MAX_TOKEN_CHARACTERS + 16_384;
const MAX_PARAMETERS = 64;
const REPEATABLE = new Set(["audience", "resource"]);

export async function readForm(request: Request): Promise<Result<Form, OAuthError>> {
  const type = request.headers.get("Content-Type")?.split(";", 1)[0]?.trim().toLowerCase();
  if (type !== "application/x-www-form-urlencoded")
    return invalid("The body must be application/x-www-form-urlencoded.");
  const text = await readBounded(request);
  if (text === null) return invalid(`The body has more than ${MAX_FORM_BYTES} bytes.`);
  const values = new Map<string, readonly string[]>();
  let parameters = 0;
  for (const [name, value] of new URLSearchParams(text)) {
    parameters += 1;
    if (parameters > MAX_PARAMETERS) return invalid("The body has too many parameters.");
    if (value === "") continue;
    const before = values.get(name) ?? [];
    if (before.length > 0 && !REPEATABLE.has(name)) return invalid("A parameter stands there more than once.");
    values.set(name, [...before, value]);
  }
  return ok({
    get: (name) => values.get(name)?.[0] ?? null,
    all: (name) => values.get(name) ?? [],
  });
}

async function readBounded({ headers, body }: Request): Promise<string | null> {
  if (Number(headers.get("Content-Length") ?? 0) > MAX_FORM_BYTES) return null;
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    size += chunk.byteLength;
    if (size > MAX_FORM_BYTES) return null;
    chunks.push(chunk);
  }
  return await new Blob(chunks).text();
}

function invalid(description: string): Result<never, OAuthError> {
  return err({ error: "invalid_request", description });
}
