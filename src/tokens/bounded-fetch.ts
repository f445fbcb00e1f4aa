import { err, ok } from "../result.ts";
import type { Result } from "../result.ts";

/** JSON from elsewhere, with bounds on everything that elsewhere decides: time, size, where it leads. */

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface FetchedJson {
  readonly body: unknown;
  /** `max-age` of `Cache-Control`; `null` where it says nothing usable. */
  readonly maxAgeSeconds: number | null;
}

export interface FetchBounds {
  readonly timeoutMs: number;
  readonly maxBytes: number;
}

/**
 * GET, followed nowhere. Never throws; the error is for the log: it names what went wrong, without what was sent.
 */
export async function fetchJson(fetch: Fetch, url: string, bounds: FetchBounds): Promise<Result<FetchedJson, string>> {
  try {
    const response = await fetch(url, {
      headers: { accept: "application/json", "user-agent": "latchkey" },
      redirect: "manual",
      signal: AbortSignal.timeout(bounds.timeoutMs),
    });
    if (response.status !== 200) {
      await response.body?.cancel();
      return err(`answered ${response.status}`);
    }
    const text = await readText(response.body, bounds.maxBytes);
    if (text === null) return err(`answered with more than ${bounds.maxBytes} bytes`);
    return ok({ body: JSON.parse(text), maxAgeSeconds: readMaxAge(response.headers.get("cache-control")) });
  } catch (error) {
    return err(describe(error, bounds));
  }
}

function describe(error: unknown, { timeoutMs }: FetchBounds): string {
  if (error instanceof SyntaxError) return "answered with what is not JSON";
  if (error instanceof TypeError && /utf-?8|decod|encoded data/i.test(error.message))
    return "answered with what is not UTF-8";
  if (error instanceof Error && (error.name === "TimeoutError" || error.name === "AbortError")) {
    return `did not answer within ${timeoutMs} ms`;
  }
  return "cannot be reached";
}

/** Counted as it comes in, decompressed: a stated length says nothing. `null`: too much. */
async function readText(body: ReadableStream<Uint8Array> | null, maxBytes: number): Promise<string | null> {
  if (body === null) return "";
  const reader = body.getReader();
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });
  let text = "";
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    bytes += value.byteLength;
    if (bytes > maxBytes) {
      await reader.cancel();
      return null;
    }
    text += decoder.decode(value, { stream: true });
  }
}

function readMaxAge(header: string | null): number | null {
  const seconds = /(?:^|[\s,])max-age="?(\d{1,10})/i.exec(header ?? "")?.[1];
  return seconds === undefined ? null : Number(seconds);
}
