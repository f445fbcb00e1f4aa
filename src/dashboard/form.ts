import type { Problem } from "../http/problem.ts";
import { err, ok, type Result } from "../result.ts";

/** What a form sends: `application/x-www-form-urlencoded`, counted while it comes in. */

/** The largest form issues a key: its fields are bounded by the control API far below this. */
const MAX_FORM_BYTES = 64 * 1_024;

export async function readForm(request: Request): Promise<Result<URLSearchParams, Problem>> {
  const type = (request.headers.get("Content-Type")?.split(";", 1)[0] ?? "").trim().toLowerCase();
  if (type !== "application/x-www-form-urlencoded")
    return err({ code: "unsupported_media_type", detail: "Send a form, application/x-www-form-urlencoded." });
  const tooLarge: Problem = { code: "body_too_large", detail: `A form may have ${MAX_FORM_BYTES} bytes.` };
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body ?? []) {
    size += chunk.byteLength;
    if (size > MAX_FORM_BYTES) return err(tooLarge);
    chunks.push(chunk);
  }
  return ok(new URLSearchParams(await new Blob(chunks).text()));
}

/** A field with something in it, or `null`. */
export function field(form: URLSearchParams, name: string): string | null {
  const text = form.get(name)?.trim() ?? "";
  return text === "" ? null : text;
}

/** A field of words: separated by spaces, commas or lines. */
export function words(form: URLSearchParams, name: string): readonly string[] {
  return (form.get(name) ?? "").split(/[\s,]+/).filter((word) => word !== "");
}
