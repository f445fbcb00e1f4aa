import { formatFor } from "../../src/alerts/channels/format.ts";
import type { ReadVariable } from "../../src/alerts/channels/outgoing.ts";
import type { AlertSettings } from "../../src/alerts/config.ts";
import { goesToOwners } from "../../src/alerts/routing.ts";
import { nextAttemptAt } from "../../src/alerts/retry.ts";
import type { EpochMs } from "../../src/keys/record.ts";
import { logError } from "../../src/platform/log.ts";
import type { Delivery } from "./api.ts";
import { SEND_CLAIM_MS } from "./bounds.ts";
import { isFailing, nextHealthReport } from "./channels-table.ts";
import type { ChannelsTable } from "./channels-table.ts";
import type { DeliveriesTable } from "./deliveries-table.ts";
import { sendOutgoing, unwell } from "./send.ts";
import type { Attempt } from "./send.ts";

export interface DispatcherParts {
  readonly deliveries: DeliveriesTable;
  readonly channels: ChannelsTable;
  readonly settings: () => AlertSettings;
  readonly read: ReadVariable;
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>;
  readonly allowLoopback: boolean;
  readonly random: () => number;
  readonly now: () => EpochMs;
  /** An owner's address; `null`: there is none. Throws where that cannot be told now. */
  readonly addressOf: (owner: string) => Promise<string | null>;
  /** The channel has failed for long, or works again. */
  readonly onHealth: (channel: string, isFailing: boolean) => void;
}

/** Sends what waits. Each channel goes its own way: one message at a time, and none waits for another channel's. */
export class Dispatcher {
  readonly #parts: DispatcherParts;
  readonly #busy = new Set<string>();

  constructor(parts: DispatcherParts) {
    this.#parts = parts;
  }

  /** Settles when all that is due was tried; never rejects. */
  async run(): Promise<void> {
    const idle = this.#parts.deliveries.waiting().filter((channel) => !this.#busy.has(channel));
    await Promise.all(idle.map((channel) => this.#drain(channel)));
  }

  /** Says which channels have failed for long, for as long as something waits for them. */
  reportFailing(): void {
    const { channels, deliveries, now } = this.#parts;
    for (const channel of deliveries.waiting()) {
      const trouble = channels.trouble(channel);
      if (trouble !== null && isFailing(trouble, now())) this.#parts.onHealth(channel, true);
    }
  }

  /** When something is due again; `Infinity`: nothing waits. Claims count: an attempt that is cut off is made anew. */
  nextAt(): EpochMs {
    const { channels, deliveries, now } = this.#parts;
    let next = Infinity;
    for (const channel of deliveries.waiting()) {
      const trouble = channels.trouble(channel);
      // One that is being sent to goes on by itself; this is for when it is cut off.
      const earliest = this.#busy.has(channel) ? now() + SEND_CLAIM_MS : (trouble?.pauseUntil ?? 0);
      next = Math.min(next, Math.max(deliveries.nextAt(channel), earliest));
      if (trouble !== null) next = Math.min(next, nextHealthReport(trouble, now()));
    }
    return next;
  }

  async #drain(channel: string): Promise<void> {
    const { channels, deliveries, now } = this.#parts;
    this.#busy.add(channel);
    try {
      for (;;) {
        if ((channels.trouble(channel)?.pauseUntil ?? 0) > now()) return;
        const delivery = deliveries.claim(channel, now());
        if (delivery === null) return;
        this.#settle(delivery, await this.#attempt(delivery));
      }
    } catch (error) {
      // The claim ends by itself.
      logError(error, { part: "alerts", channel });
    } finally {
      this.#busy.delete(channel);
    }
  }

  async #attempt({ message }: Delivery): Promise<Attempt | "nobody"> {
    const { read, fetch, allowLoopback, now } = this.#parts;
    const channel = this.#parts.settings().channels[message.channel];
    if (channel === undefined) return "nobody";
    const recipients = channel.type === "email" && channel.to !== "owner" ? [...channel.to] : [];
    if (message.owner !== null && goesToOwners(channel)) {
      const address = await this.#parts.addressOf(message.owner);
      if (address === null) return "nobody";
      recipients.push(address);
    }
    const timestamp = Math.floor(now() / 1_000);
    const formatted = formatFor(message, channel, { read, timestamp, recipients });
    if (!formatted.ok) return unwell(formatted.error);
    return await sendOutgoing(fetch, formatted.value, allowLoopback);
  }

  #settle(delivery: Delivery, attempt: Attempt | "nobody"): void {
    const { channels, deliveries, random } = this.#parts;
    const { id, channel, attempts } = delivery;
    const now = this.#parts.now();
    if (attempt === "nobody") {
      deliveries.finish(id, "dropped", now, { status: null, error: "there is nobody to send it to" });
      return;
    }
    if (attempt.outcome === "taken") {
      deliveries.finish(id, "delivered", now, attempt);
      if (channels.trouble(channel) === null) return;
      channels.works(channel);
      deliveries.hasten(channel, now);
      this.#parts.onHealth(channel, false);
      return;
    }
    const nextAt = attempt.outcome === "gone" ? null : nextAttemptAt(attempts, now, random(), attempt.retryAfterMs);
    if (nextAt === null) deliveries.finish(id, "failed", now, attempt);
    else deliveries.postpone(id, nextAt, attempt);
    // A message that is refused says nothing of the others.
    if (attempt.outcome === "refused") return;
    const trouble = channels.failed(channel, now);
    if (nextAt === null || isFailing(trouble, now)) this.#parts.onHealth(channel, true);
  }
}
