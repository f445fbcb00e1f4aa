/**
 * The queue's gathering of messages for its consumer, by this isolate's clock: the runtime's own queue goes by the machine's, and
 * hands each message over at once. Nothing is retried: a cost run injects no faults.
 */

/** As in wrangler.toml: a batch is handed over with so many messages, or so long after its first. */
const MAX_MESSAGES = 20;
const MAX_WAIT_MS = 1_000;

type Gathered = Omit<MessageBatch, "queue">;

let open: Message[] = [];
/** Names the present filling: a timer set for an earlier one does nothing. */
let filling = 0;

export function gather(
  messages: readonly Message[],
  ctx: Pick<ExecutionContext, "waitUntil">,
  consume: (gathered: Gathered) => Promise<void>,
): void {
  for (const message of messages) {
    open.push(asDelivered(message));
    if (open.length >= MAX_MESSAGES) ctx.waitUntil(consume(cut()));
    else if (open.length === 1) ctx.waitUntil(cutLater(consume));
  }
}

function cut(): Gathered {
  const messages = open;
  open = [];
  filling += 1;
  const metadata = { metrics: { backlogCount: 0, backlogBytes: 0, oldestMessageTimestamp: new Date(0) } };
  return { messages, metadata, ackAll: () => undefined, retryAll: () => undefined };
}

async function cutLater(consume: (gathered: Gathered) => Promise<void>): Promise<void> {
  const mine = filling;
  await new Promise((resolve) => {
    setTimeout(resolve, MAX_WAIT_MS);
  });
  if (mine === filling) await consume(cut());
}

/** Outlives the delivery that it came with: its batch is acknowledged already. */
function asDelivered({ id, timestamp, body, attempts }: Message): Message {
  return { id, timestamp, body, attempts, ack: () => undefined, retry: () => undefined };
}
