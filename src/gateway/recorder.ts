import type { RequestFactsForEvent } from "../usage/make-event.ts";

/** Step 8, as the gateway sees it: where events go. */
export interface Recorder {
  /** Into the buffer; it is in the queue within a second or so. */
  record(ctx: Pick<ExecutionContext, "waitUntil">, facts: RequestFactsForEvent): void;
  /** Resolves when the event is in the queue; or, when neither queue nor ledger can be reached, once it is back in the buffer. */
  recordSync(ctx: Pick<ExecutionContext, "waitUntil">, facts: RequestFactsForEvent): Promise<void>;
}
