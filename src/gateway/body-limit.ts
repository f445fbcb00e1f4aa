/** Bodies: how large they may be, and how many bytes went by. Nothing is ever buffered. */

/** Bytes of one body so far. Final once its stream has ended. */
export interface Tally {
  bytes: number;
}

/** The length that `Content-Length` states; `null` when it states none (a chunked body, or no body). */
export function declaredLength(headers: Headers): number | null {
  const text = headers.get("content-length");
  if (text === null || !/^\d{1,15}$/.test(text)) return null;
  return Number(text);
}

/** Whether a body says that it is too large: it can be refused before anything is charged or read. */
export function isDeclaredTooLarge(request: Request, maxBytes: number): boolean {
  const declared = declaredLength(request.headers);
  return declared !== null && declared > maxBytes;
}

export type BodyEnd = "complete" | "too_large" | "broken";

export interface CountedBody {
  readonly readable: ReadableStream<Uint8Array>;
  readonly tally: Tally;
  /** Settles when the last byte went by, or when either side went away; never rejects. */
  readonly ended: Promise<BodyEnd>;
}

export interface CountOptions {
  readonly maxBytes: number;
  /** Called for each chunk: the sender is alive. */
  readonly onChunk?: () => void;
}

/**
 * The same body, counted as it goes. Only for bodies of unknown length: it costs 50 µs or so, where a body of known length
 * goes from socket to socket outside JavaScript. (Measured on workerd for a small answer: this 45 µs, a `TransformStream`
 * 120 µs.) One chunk is in hand at a time; a slow reader holds back the sender.
 */
export function countBody(source: ReadableStream<Uint8Array>, options: CountOptions): CountedBody {
  const { readable, writable } = new IdentityTransformStream();
  const tally: Tally = { bytes: 0 };
  return { readable, tally, ended: pump(source, writable, tally, options) };
}

async function pump(
  source: ReadableStream<Uint8Array>,
  sink: WritableStream<Uint8Array>,
  tally: Tally,
  options: CountOptions,
): Promise<BodyEnd> {
  const reader = source.getReader();
  const writer = sink.getWriter();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      tally.bytes += value.byteLength;
      if (tally.bytes > options.maxBytes) {
        await close(reader, writer, new Error("body too large"));
        return "too_large";
      }
      options.onChunk?.();
      await writer.write(value);
    }
    await writer.close();
    return "complete";
  } catch (error) {
    await close(reader, writer, error);
    return "broken";
  }
}

/** Tells both sides that it is over. Either may know already. */
async function close(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  writer: WritableStreamDefaultWriter<Uint8Array>,
  reason: unknown,
): Promise<void> {
  await Promise.allSettled([reader.cancel(reason), writer.abort(reason)]);
}
