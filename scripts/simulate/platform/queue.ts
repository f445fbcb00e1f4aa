import { consumeUsage } from "../../../src/usage/consumer.ts";
import type { UsageBatch } from "../../../src/usage/event.ts";
import { exponential, type Random } from "../clock/random.ts";
import { Actor, type VirtualTime } from "../clock/virtual-time.ts";
import type { Colo } from "./colos.ts";
import type { Place } from "./objects.ts";

/** The usage queue, at least once and in no order, with the product's own consumer behind it. */

const SEND_MEAN_MS = 15;
const DELIVERY_MEAN_MS = 1_500;

export interface QueueOptions {
  readonly time: VirtualTime;
  readonly random: Random;
  readonly colo: Colo;
  readonly envFor: (place: Place) => Env;
  /** A fault on purpose: each delivery is another batch to the ledger. */
  readonly renames: boolean;
}

export class Queue {
  /** Batches that are durable, by id, with their number of events. */
  readonly accepted = new Map<string, number>();
  messages = 0;
  deliveries = 0;
  /** Chances: a send is refused, its answer is lost, a message that was acknowledged comes again. */
  faults = { refuse: 0, loseAnswer: 0, redeliver: 0 };
  readonly #options: QueueOptions;
  #underWay = 0;

  constructor(options: QueueOptions) {
    this.#options = options;
  }

  get renames(): boolean {
    return this.#options.renames;
  }

  /** Nothing is left to be delivered. */
  get isEmpty(): boolean {
    return this.#underWay === 0;
  }

  bindingFor(place: Place): object {
    return { send: (batch: UsageBatch) => this.#send(place, structuredClone(batch)) };
  }

  #send(place: Place, batch: UsageBatch): Promise<void> {
    const { time, random } = this.#options;
    const refused = random() < this.faults.refuse;
    const unheard = random() < this.faults.loseAnswer;
    return new Promise((resolve, reject) => {
      // It arrives whatever becomes of the isolate meanwhile.
      time.after(exponential(random, SEND_MEAN_MS), new Actor("queue"), () => {
        if (!refused) this.#accept(batch);
        if (unheard) return;
        time.after(exponential(random, SEND_MEAN_MS), place.actor, () => {
          if (refused) reject(new Error("Too Many Requests"));
          else resolve();
        });
      });
    });
  }

  #accept(batch: UsageBatch): void {
    this.messages++;
    this.accepted.set(batch.batchId, batch.events.length);
    this.#deliver({ id: `message-${this.messages}`, body: batch, attempts: 1 }, 0);
  }

  #deliver(
    message: { readonly id: string; readonly body: UsageBatch; readonly attempts: number },
    delayMs: number,
  ): void {
    const { time, random, colo, envFor, renames } = this.#options;
    const actor = new Actor("consumer");
    this.#underWay++;
    time.after(delayMs + exponential(random, DELIVERY_MEAN_MS), actor, () => {
      this.deliveries++;
      const again = (delay: number): void => this.#deliver({ ...message, attempts: message.attempts + 1 }, delay);
      const body = renames
        ? {
            ...message.body,
            batchId: `${message.body.batchId.slice(0, -4)}${String(this.deliveries).padStart(4, "0")}`,
          }
        : message.body;
      const delivered = {
        ...message,
        body,
        ack: () => {
          if (random() < this.faults.redeliver) again(DELIVERY_MEAN_MS);
        },
        retry: ({ delaySeconds = 0 } = {}) => again(delaySeconds * 1_000),
      };
      // The consumer uses a batch's messages, and of each what stands here.
      const batch = { queue: "usage", messages: [delivered] } as unknown as MessageBatch;
      void consumeUsage(batch, envFor({ actor, colo }))
        .catch(() => undefined)
        .finally(() => this.#underWay--);
    });
  }
}
