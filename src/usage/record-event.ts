import type { WaitUntil } from "./buffer.ts";
import { EventBuffer } from "./buffer.ts";
import type { UsageEvent } from "./event.ts";
import type { LeftOut, RequestDetail } from "../request-log/kept-request.ts";
import type { Send, SendEnv } from "./send.ts";
import { createSend } from "./send.ts";

/** The isolate's one buffer. Plain data only, nothing that belongs to a request. */
const buffer = new EventBuffer();

let sending: { readonly env: SendEnv; readonly send: Send } | null = null;

/** Records what happened, in the background of the request: in the queue within a second or so. */
export function recordEvent(event: UsageEvent, ctx: WaitUntil, env: SendEnv, now: number): void {
  buffer.add(event, ctx, sendOver(env), now);
}

/** To go with the next batch. Call it before the event is recorded, so that both are in the same one. */
export function keepRequest(detail: RequestDetail): void {
  buffer.keep(detail);
}

/** Counts what would have been kept. */
export function leaveRequest(left: LeftOut): void {
  buffer.leave(left);
}

/** For routes with `audit: "sync"`: settles when the event is in the queue or the ledger. `false`: it is not yet, and is tried again. */
export async function recordEventSync(event: UsageEvent, ctx: WaitUntil, env: SendEnv, now: number): Promise<boolean> {
  return await buffer.addSync(event, ctx, sendOver(env), now);
}

/** Made again only when an isolate shows another `env`, as tests do. */
function sendOver(env: SendEnv): Send {
  if (sending === null || sending.env !== env) sending = { env, send: createSend(env) };
  return sending.send;
}
