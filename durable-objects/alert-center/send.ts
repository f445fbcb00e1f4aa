import type { Outgoing } from "../../src/alerts/channels/outgoing.ts";
import { checkTarget } from "../../src/alerts/target.ts";
import { SEND_TIMEOUT_MS } from "./bounds.ts";

/** The one place where a message leaves. Redirects are not followed, answers are not read: what a receiver says decides by its status alone. */

export interface Attempt {
  readonly outcome: "taken" | "refused" | "unwell" | "gone";
  /** `null`: there was no answer. */
  readonly status: number | null;
  /** For the log of deliveries: no address, no secret, nothing that the receiver said. */
  readonly error: string | null;
  readonly retryAfterMs: number | null;
}

type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export async function sendOutgoing(
  fetch: Fetch,
  { url, headers, body }: Outgoing,
  allowLoopback: boolean,
): Promise<Attempt> {
  const target = checkTarget(url, allowLoopback);
  if (!target.ok) return unwell(`the channel's URL ${target.error}`);
  // Not `AbortSignal.timeout`, whose timer would keep the object in memory for as long after each answer.
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), SEND_TIMEOUT_MS);
  try {
    const response = await fetch(target.value.href, {
      method: "POST",
      headers: { ...headers, "user-agent": "latchkey" },
      body,
      redirect: "manual",
      signal: deadline.signal,
    });
    await response.body?.cancel();
    return judge(response);
  } catch {
    return unwell(deadline.signal.aborted ? `did not answer within ${SEND_TIMEOUT_MS / 1_000} s` : "cannot be reached");
  } finally {
    clearTimeout(timer);
  }
}

function judge({ status, headers }: Response): Attempt {
  if (status >= 200 && status < 300) return { outcome: "taken", status, error: null, retryAfterMs: null };
  const error =
    status >= 300 && status < 400 ? "answered with a redirect, which is not followed" : `answered ${status}`;
  const retryAfterMs = readRetryAfter(headers.get("retry-after"));
  // Standard Webhooks: 410 asks for nothing more to be sent.
  if (status === 410) return { outcome: "gone", status, error, retryAfterMs };
  // The message is at fault, and not the channel.
  const isRefused = status === 400 || status === 413 || status === 422;
  return { outcome: isRefused ? "refused" : "unwell", status, error, retryAfterMs };
}

export function unwell(error: string): Attempt {
  return { outcome: "unwell", status: null, error, retryAfterMs: null };
}

/** Seconds; dates are rare, and the schedule does without them. */
function readRetryAfter(header: string | null): number | null {
  return header !== null && /^\d{1,6}$/.test(header) ? Number(header) * 1_000 : null;
}
