import {
  EVENT_BUFFER_MAX,
  EVENT_FLUSH_BYTES,
  EVENT_FLUSH_COUNT,
  EVENT_FLUSH_MS,
  EVENT_OVERDUE_MS,
  EVENT_RESEND_BUDGET_MS,
  EVENT_RESEND_PAUSE_MS,
  EVENT_SEND_LOST_MS,
  EVENT_SENDS_MAX,
} from "../constants.ts";
import { now as systemNow, sleep as systemSleep } from "../platform/clock.ts";
import { counters } from "../platform/counters.ts";
import { logError, logWarning } from "../platform/log.ts";
import { newId } from "../platform/ids.ts";
import { detailBytes, KeptWithBatch } from "../request-log/kept-with-batch.ts";
import type { LeftOut, RequestDetail } from "../request-log/kept-request.ts";
import type { UsageBatch, UsageEvent } from "./event.ts";
import { BATCH_ID_PREFIX } from "./parse-batch.ts";
import type { Send } from "./send.ts";

/** The part of an execution context that is needed. */
export interface WaitUntil {
  waitUntil(work: Promise<unknown>): void;
}

export interface EventBufferOptions {
  readonly now?: () => number;
  readonly sleep?: (ms: number) => Promise<void>;
}

/** A batch that is cut and not on its way: new, or refused before. */
interface Waiting {
  readonly batch: UsageBatch;
  readonly notBefore: number;
}

/** A batch on its way, in the hands of one request. */
interface Flight {
  readonly batch: UsageBatch;
  readonly startedAt: number;
}

const DROP_LOG_EVERY_MS = 10_000;

/**
 * An isolate's events on their way to the queue, many to a message.
 *
 * The request that puts the first event into an empty buffer owns its flush: it waits in its own `waitUntil`, then cuts the
 * buffer and sends. The request that fills the buffer cuts and sends at once; the owner then finds its work done.
 * Requests share plain data only, never a promise: the runtime cancels the timers and calls of a request that has ended
 * (30 s after its answer), and forbids others to wait for them. So nobody trusts an owner: whoever adds an event sees an
 * overdue buffer or a batch nobody reported on, and takes it over. A batch keeps its id on every way: the ledger counts it once.
 * What an isolate loses when the platform discards it: events since its last flush, if no request came after an owner was cut.
 */
export class EventBuffer {
  #open: UsageEvent[] = [];
  #openBytes = 0;
  readonly #requests = new KeptWithBatch();
  /** Names the present filling: a timer set for an earlier one does nothing. */
  #filling = 0;
  #openedAt = 0;
  #waiting: Waiting[] = [];
  readonly #flights = new Map<string, Flight>();
  #held = 0;
  /** From when on a request that adds an event should look after what others left. */
  #wakeAt = Infinity;
  #droppedUnlogged = 0;
  #dropLoggedAt = -Infinity;
  readonly #now: () => number;
  readonly #sleep: (ms: number) => Promise<void>;

  constructor(options: EventBufferOptions = {}) {
    this.#now = options.now ?? systemNow;
    this.#sleep = options.sleep ?? systemSleep;
  }

  /** Events that nobody durable has yet. */
  get size(): number {
    return this.#held;
  }

  /**
   * Keeps an event and returns at once. For the warm path: no serialising, no call, one timer for each flush.
   *
   * @param now epoch ms, of the request in hand.
   */
  add(event: UsageEvent, ctx: WaitUntil, send: Send, now: number = this.#now()): void {
    this.#push(event, now);
    if (this.#open.length >= EVENT_FLUSH_COUNT || this.#openBytes >= EVENT_FLUSH_BYTES) {
      this.#cut(now);
      ctx.waitUntil(this.#pump(send));
    } else if (this.#open.length === 1) {
      ctx.waitUntil(this.#flushLater(send));
    } else if (now >= this.#wakeAt) {
      if (this.#openedAt + EVENT_FLUSH_MS + EVENT_OVERDUE_MS <= now) this.#cut(now);
      ctx.waitUntil(this.#pump(send));
    }
  }

  /**
   * Keeps an event and settles when it is in the queue (or in the ledger): `true`. `false` when neither took it in time;
   * it is then tried again like the rest. What else is in the buffer travels with it.
   */
  async addSync(event: UsageEvent, ctx: WaitUntil, send: Send, now: number = this.#now()): Promise<boolean> {
    this.#push(event, now);
    const batch = this.#cut(now);
    this.#waiting = this.#waiting.filter((waiting) => waiting.batch !== batch);
    const sent = this.#dispatch(batch, send);
    ctx.waitUntil(this.#goOn(sent, send));
    return await sent;
  }

  /** What the event that is added next was decided on: it is cut into the same batch. */
  keep(detail: RequestDetail): void {
    this.#requests.keep(detail);
    this.#openBytes += detailBytes(detail);
  }

  /** Counted, for want of room to keep it. */
  leave(left: LeftOut): void {
    this.#requests.leave(left);
  }

  async #goOn(sent: Promise<boolean>, send: Send): Promise<void> {
    if (await sent) return;
    await this.#sleep(EVENT_RESEND_PAUSE_MS);
    await this.#pump(send);
  }

  #push(event: UsageEvent, now: number): void {
    if (this.#open.length === 0) {
      this.#openedAt = now;
      this.#wakeAt = Math.min(this.#wakeAt, now + EVENT_FLUSH_MS + EVENT_OVERDUE_MS);
    }
    this.#open.push(event);
    this.#openBytes += estimateBytes(event);
    this.#held += 1;
    counters.eventsBuffered += 1;
    if (this.#held > EVENT_BUFFER_MAX) this.#dropOldest(now);
  }

  #cut(now: number): UsageBatch {
    const requests = this.#requests.cut();
    const batch: UsageBatch = {
      v: 1,
      batchId: newId(BATCH_ID_PREFIX, now),
      events: this.#open,
      ...(requests === null ? {} : { requests }),
    };
    this.#open = [];
    this.#openBytes = 0;
    this.#filling += 1;
    this.#waiting.push({ batch, notBefore: 0 });
    return batch;
  }

  async #flushLater(send: Send): Promise<void> {
    const filling = this.#filling;
    await this.#sleep(EVENT_FLUSH_MS);
    if (filling !== this.#filling) return;
    this.#cut(this.#now());
    await this.#pump(send);
  }

  /** Sends what is due, one batch after the other, in the request that calls it. Never rejects. */
  async #pump(send: Send): Promise<void> {
    const startedAt = this.#now();
    for (;;) {
      const now = this.#now();
      this.#takeBackLost(now);
      const next = this.#takeDue(now);
      this.#setWake();
      if (next === null) return;
      const accepted = await this.#dispatch(next, send);
      if (this.#now() - startedAt > EVENT_RESEND_BUDGET_MS) return;
      // Trying again here matters when no further request comes: nobody else would.
      if (!accepted) await this.#sleep(EVENT_RESEND_PAUSE_MS);
    }
  }

  #takeDue(now: number): UsageBatch | null {
    if (this.#flights.size >= EVENT_SENDS_MAX) return null;
    const at = this.#waiting.findIndex((waiting) => waiting.notBefore <= now);
    return at < 0 ? null : (this.#waiting.splice(at, 1)[0]?.batch ?? null);
  }

  async #dispatch(batch: UsageBatch, send: Send): Promise<boolean> {
    const flight: Flight = { batch, startedAt: this.#now() };
    this.#flights.set(batch.batchId, flight);
    this.#setWake();
    let accepted = false;
    try {
      accepted = await send(batch);
    } catch (error) {
      logError(error, { message: "sending usage events failed", batchId: batch.batchId });
    }
    const isMine = this.#flights.get(batch.batchId) === flight;
    if (isMine) this.#flights.delete(batch.batchId);
    if (accepted) this.#settle(batch, isMine);
    // In front: the oldest goes first, and is the first to be dropped.
    else if (isMine) this.#waiting.unshift({ batch, notBefore: this.#now() + EVENT_RESEND_PAUSE_MS });
    this.#setWake();
    return accepted;
  }

  /** Somebody durable has it. Where it was given up for lost, a second sending is spared if it has not begun. */
  #settle(batch: UsageBatch, isMine: boolean): void {
    const before = this.#waiting.length;
    if (!isMine) this.#waiting = this.#waiting.filter((waiting) => waiting.batch !== batch);
    if (isMine || this.#waiting.length < before) this.#held -= batch.events.length;
  }

  /** Batches whose request was cut off while it sent them. */
  #takeBackLost(now: number): void {
    for (const [batchId, flight] of this.#flights) {
      if (flight.startedAt + EVENT_SEND_LOST_MS > now) continue;
      this.#flights.delete(batchId);
      this.#waiting.unshift({ batch: flight.batch, notBefore: 0 });
    }
  }

  #setWake(): void {
    let wakeAt = this.#open.length === 0 ? Infinity : this.#openedAt + EVENT_FLUSH_MS + EVENT_OVERDUE_MS;
    for (const flight of this.#flights.values()) wakeAt = Math.min(wakeAt, flight.startedAt + EVENT_SEND_LOST_MS);
    if (this.#flights.size < EVENT_SENDS_MAX) {
      for (const waiting of this.#waiting) wakeAt = Math.min(wakeAt, waiting.notBefore);
    }
    this.#wakeAt = wakeAt;
  }

  #dropOldest(now: number): void {
    const oldest = this.#waiting.shift();
    if (oldest === undefined) return;
    const dropped = oldest.batch.events.length;
    this.#held -= dropped;
    counters.eventsDropped += dropped;
    this.#droppedUnlogged += dropped;
    if (now - this.#dropLoggedAt < DROP_LOG_EVERY_MS) return;
    this.#dropLoggedAt = now;
    logWarning("usage events dropped: neither queue nor ledger takes them", { dropped: this.#droppedUnlogged });
    this.#droppedUnlogged = 0;
  }
}

/** Names, punctuation, ids and numbers of one event as JSON. Measured at 560 to 640, and 90 more with the ids of two tokens; the queue's bound leaves a third to spare. */
const EVENT_BASE_BYTES = 680;

function estimateBytes(event: UsageEvent): number {
  return (
    EVENT_BASE_BYTES +
    event.workspace.length +
    (event.owner === null ? 0 : event.owner.length) +
    (event.upstream === null ? 0 : event.upstream.length) +
    // A template may hold characters of three bytes.
    (event.route === null ? 0 : event.route.length * 3)
  );
}
