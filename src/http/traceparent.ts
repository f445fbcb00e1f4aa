/** W3C Trace Context: continue a client's trace with a span of ours, or start one. */

export interface Trace {
  /** 32 lower-case hex digits. */
  readonly traceId: string;
  /** What to send to the origin. */
  readonly traceparent: string;
  /** Whether the client's trace goes on. When not, its `tracestate` must be dropped (§3.3.1.3). */
  readonly continued: boolean;
  /** The client says that its trace is recorded. */
  readonly sampled: boolean;
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const VERSION = "00";
const TRACE_ID_DIGITS = 32;
const SPAN_ID_DIGITS = 16;
const SAMPLED = 1;
/** A later version may be longer; nobody needs more than this. */
const MAX_TRACEPARENT_CHARACTERS = 512;

/** `incoming` is the client's header or `null`; `randomHex` gives lower-case digits and need not be cryptographic. */
export function continueTrace(incoming: string | null, randomHex: (digits: number) => string): Trace {
  const parent = incoming === null ? null : parseParent(incoming);
  const traceId = parent?.traceId ?? validId(randomHex(TRACE_ID_DIGITS));
  const sampled = parent?.sampled === true;
  const flags = sampled ? "01" : "00";
  const spanId = validId(randomHex(SPAN_ID_DIGITS));
  return {
    traceId,
    traceparent: `${VERSION}-${traceId}-${spanId}-${flags}`,
    continued: parent !== null,
    sampled,
  };
}

/** `null` for what §3.2.2 calls invalid: version ff, zero ids, version 00 with more than four fields. */
function parseParent(text: string): { traceId: string; sampled: boolean } | null {
  if (text.length > MAX_TRACEPARENT_CHARACTERS) return null;
  const [, version, traceId, parentId, flags, more] = TRACEPARENT.exec(text) ?? [];
  if (version === undefined || traceId === undefined || parentId === undefined || flags === undefined) return null;
  if (version === "ff" || (version === VERSION && more !== undefined)) return null;
  if (isZero(traceId) || isZero(parentId)) return null;
  // Of the flags only `sampled` is known; a later version's must not be passed on (§4.3).
  return { traceId, sampled: (Number.parseInt(flags, 16) & SAMPLED) === SAMPLED };
}

function isZero(hex: string): boolean {
  return /^0+$/.test(hex);
}

/** An all-zero id is invalid; a source that gives one has one chance in 2^64 of being sound. */
function validId(hex: string): string {
  return isZero(hex) ? `${hex.slice(1)}1` : hex;
}
