import { DurableObject } from "cloudflare:workers";
import { acknowledgeAlert, resolveAlert } from "../../src/alerts/alert.ts";
import type { Alert } from "../../src/alerts/alert.ts";
import type { AlertSettings } from "../../src/alerts/config.ts";
import { planMessages } from "../../src/alerts/plan.ts";
import type { Plan } from "../../src/alerts/plan.ts";
import type { Quiet } from "../../src/alerts/silence.ts";
import type { EpochMs } from "../../src/keys/record.ts";
import { TimeOutError, within } from "../../src/platform/clock.ts";
import { newId } from "../../src/platform/ids.ts";
import { err, ok } from "../../src/result.ts";
import type { Result } from "../../src/result.ts";
import type { Page, RegistryError } from "../key-registry/api.ts";
import { registryOf } from "../key-registry/client.ts";
import { migrate } from "../migrate.ts";
import { showAlert } from "./alerts-table.ts";
import type {
  AlertCenterApi,
  AlertFilter,
  AlertRefusal,
  AlertWrite,
  AlertWritten,
  Delivery,
  DeliveryFilter,
  HistoryEntry,
  NewQuiet,
  ReportCall,
  Reported,
  ShownAlert,
} from "./api.ts";
import { ALARM_WAIT_MS, MAX_CONDITIONS, MAX_QUIETS, RETENTION_DAYS, SWEEP_EVERY_MS } from "./bounds.ts";
import { Contacts } from "./contacts.ts";
import { Dispatcher } from "./dispatcher.ts";
import { channelCondition, takeConditions } from "./intake.ts";
import { MIGRATIONS } from "./migrations.ts";
import { openTables } from "./tables.ts";
import type { Tables } from "./tables.ts";
import { testMessage } from "./test-message.ts";

const DAY_MS = 86_400_000;
/** Owners whose address could not be asked for are tried again after this. */
const UNKNOWN_RETRY_MS = 60_000;

/**
 * The alerts of one workspace, which is this object's name. Whoever sees something reports it; the alarm groups, routes and sends.
 * A message is in storage before it is sent, in the same transaction that says that it was told: it may come twice, and is never lost.
 */
export class AlertCenter extends DurableObject<Env> implements AlertCenterApi {
  readonly #workspace: string;
  readonly #contacts: Contacts;
  readonly #dispatcher: Dispatcher;
  #tables: Tables;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    if (ctx.id.name === undefined) throw new Error("an alert center is reached by its workspace's name");
    this.#workspace = ctx.id.name;
    migrate(ctx.storage, MIGRATIONS);
    this.#tables = openTables(ctx.storage.sql, Date.now());
    this.#contacts = new Contacts(() => registryOf(env.KEY_REGISTRY, this.#workspace));
    this.#dispatcher = new Dispatcher({
      deliveries: this.#tables.deliveries,
      channels: this.#tables.channels,
      settings: () => this.#tables.settings.settings(),
      read: (name) => readVariable(env, name),
      fetch: (url, init) => fetch(url, init),
      allowLoopback: env.LATCHKEY_ALERTS_TO_LOOPBACK === "true",
      random: () => Math.random(),
      now: () => Date.now(),
      addressOf: (owner) => this.#contacts.addressOf(owner, Date.now()),
      onHealth: (channel, isFailing) => this.#reportChannel(channel, isFailing),
    });
  }

  async report({ conditions, settings }: ReportCall): Promise<Reported> {
    if (conditions.length > MAX_CONDITIONS) throw new RangeError(`at most ${MAX_CONDITIONS} conditions at once`);
    const now = Date.now();
    const { isNews, ...reported } = this.#change(() => {
      const learned = settings !== null && this.#tables.settings.learn(settings);
      const taken = takeConditions(this.#tables, conditions, now);
      return { ...taken, isNews: taken.isNews || learned };
    });
    const { groupMs } = this.#tables.settings.settings();
    await this.#wakeBy(Math.min(isNews ? now + groupMs : Infinity, this.#tables.alerts.nextExpiry()));
    return reported;
  }

  async list(
    filter: AlertFilter,
    limit: number,
    cursor: string | null,
  ): Promise<Result<Page<ShownAlert>, RegistryError>> {
    const now = Date.now();
    const quiets = this.#tables.quiets.present(now);
    return this.#tables.alerts.list(filter, { limit, cursor, quiets, now });
  }

  async get(id: string): Promise<{ readonly alert: ShownAlert; readonly history: readonly HistoryEntry[] } | null> {
    const alert = this.#tables.alerts.byId(id);
    if (alert === null) return null;
    return { alert: this.#show(alert), history: this.#tables.alerts.history(id) };
  }

  async acknowledge(id: string, write: AlertWrite): Promise<AlertWritten<ShownAlert>> {
    return await this.#write(write, (now) => {
      const alert = this.#tables.alerts.byId(id);
      if (alert === null) return err({ code: "not_found", detail: "No such alert." });
      if (alert.phase === "resolved") return err({ code: "conflict", detail: "The alert is resolved." });
      return ok(this.#show(this.#turn(alert, acknowledgeAlert(alert, { at: now, by: write.by }), now)));
    });
  }

  async resolve(id: string, write: AlertWrite): Promise<AlertWritten<ShownAlert>> {
    return await this.#write(write, (now) => {
      const alert = this.#tables.alerts.byId(id);
      if (alert === null) return err({ code: "not_found", detail: "No such alert." });
      return ok(this.#show(this.#turn(alert, resolveAlert(alert, { at: now, by: write.by }), now)));
    });
  }

  async listQuiets(
    type: Quiet["type"],
    limit: number,
    cursor: string | null,
  ): Promise<Result<Page<Quiet>, RegistryError>> {
    return this.#tables.quiets.list(type, limit, cursor);
  }

  async getQuiet(type: Quiet["type"], id: string): Promise<Quiet | null> {
    const quiet = this.#tables.quiets.byId(id);
    return quiet?.type === type ? quiet : null;
  }

  async addQuiet(quiet: NewQuiet, write: AlertWrite): Promise<AlertWritten<Quiet>> {
    return await this.#write(write, (now) => {
      if (this.#tables.quiets.present(now).length >= MAX_QUIETS) {
        const detail = `There are ${MAX_QUIETS} silences and maintenance windows that are not over. End some first.`;
        return err({ code: "conflict", detail });
      }
      const made = { ...quiet, createdBy: write.by, createdAt: now };
      this.#tables.quiets.save(made);
      return ok(made);
    });
  }

  async endQuiet(type: Quiet["type"], id: string, write: AlertWrite): Promise<AlertWritten<Quiet>> {
    return await this.#write(write, (now) => {
      const quiet = this.#tables.quiets.byId(id);
      if (quiet === null || quiet.type !== type) return err({ code: "not_found", detail: "No such entry." });
      if (quiet.endsAt <= now) return ok(quiet);
      const ended = { ...quiet, endsAt: now };
      this.#tables.quiets.save(ended);
      return ok(ended);
    });
  }

  async listDeliveries(
    filter: DeliveryFilter,
    limit: number,
    cursor: string | null,
  ): Promise<Result<Page<Delivery>, RegistryError>> {
    return this.#tables.deliveries.list(filter, limit, cursor);
  }

  async getDelivery(id: string): Promise<Delivery | null> {
    return this.#tables.deliveries.byId(id);
  }

  async replay(deliveryId: string, write: AlertWrite): Promise<AlertWritten<Delivery>> {
    return await this.#write(write, (now) => {
      const delivery = this.#tables.deliveries.byId(deliveryId);
      if (delivery === null) return err({ code: "not_found", detail: "No such delivery." });
      if (delivery.state === "pending") return err({ code: "conflict", detail: "It is still being delivered." });
      return this.#queue(delivery.message, now, deliveryId);
    });
  }

  async testChannel(
    channel: string,
    owner: string | null,
    settings: AlertSettings,
    write: AlertWrite,
  ): Promise<AlertWritten<Delivery>> {
    return await this.#write(write, (now) => {
      this.#tables.settings.learn(settings);
      const message = testMessage({ workspace: this.#workspace, channel, owner, settings, now });
      return message.ok ? this.#queue(message.value, now, null) : message;
    });
  }

  /** Ends what is over, tells what is due, sends what waits. Safe to run twice: what is done is no longer there. */
  override async alarm(): Promise<void> {
    const now = Date.now();
    this.#change(() => {
      for (const alert of this.#tables.alerts.expired(now)) {
        this.#turn(alert, resolveAlert(alert, { at: now, by: "system" }), now);
      }
      this.#sweep(now);
    });
    this.#dispatcher.reportFailing();
    let plan = this.#tell(now);
    if (plan.wanted.length > 0) {
      await this.#contacts.learn(plan.wanted, now);
      plan = this.#tell(now);
    }
    const retryAt = plan.wanted.length > 0 ? now + UNKNOWN_RETRY_MS : Infinity;
    await this.#send();
    await this.#wakeBy(Math.min(plan.nextAt ?? Infinity, retryAt, this.#tables.alerts.nextExpiry()));
  }

  /** What is due is told: a message in the queue, and in the alerts that they were told, in one transaction. */
  #tell(now: EpochMs): Plan {
    const { alerts, deliveries, quiets, settings } = this.#tables;
    const told = settings.told();
    const plan = planMessages({
      workspace: this.#workspace,
      alerts: alerts.open(),
      quiets: quiets.present(now),
      ...told,
      settings: settings.settings(),
      contacts: this.#contacts.known(now),
      now,
      newId: () => newId("msg_", now),
    });
    if (plan.alerts.length === 0 && plan.messages.length === 0) return plan;
    this.#change(() => {
      for (const alert of plan.alerts) alerts.save(alert);
      for (const message of plan.messages) deliveries.add(newId("dlv_", now), message, now);
      settings.keepTold({ flushes: plan.flushes, sent: plan.sent });
    });
    return plan;
  }

  /** Most attempts are done when this settles; a slow one goes on by itself, with its claim and the alarm behind it. */
  async #send(): Promise<void> {
    const sending = this.#dispatcher.run().then(() => this.#wakeBy(this.#dispatcher.nextAt()));
    this.ctx.waitUntil(sending);
    try {
      await within(sending, ALARM_WAIT_MS, "sending");
    } catch (error) {
      if (!(error instanceof TimeOutError)) throw error;
      await this.#wakeBy(this.#dispatcher.nextAt());
    }
  }

  /** One write of the control API: an answer that was given before is given again. */
  async #write<T>(write: AlertWrite, apply: (now: EpochMs) => Result<T, AlertRefusal>): Promise<AlertWritten<T>> {
    const now = Date.now();
    const written = this.#change((): AlertWritten<T> => {
      const first = this.#tables.settings.answerTo<T>(write, now);
      if (!first.ok) return first;
      if (first.value !== null) return ok({ value: first.value.value, replayed: true });
      const applied = apply(now);
      if (!applied.ok) return applied;
      this.#tables.settings.keepAnswer(write, applied.value, now);
      return ok({ value: applied.value, replayed: false });
    });
    if (written.ok && !written.value.replayed) await this.#wakeBy(now);
    return written;
  }

  /** All or nothing, in memory too. No `await` inside. */
  #change<T>(work: () => T): T {
    try {
      return this.ctx.storage.transactionSync(work);
    } catch (error) {
      // What is in memory may be ahead of what was undone. The dispatcher's tables hold nothing there.
      this.#tables = openTables(this.ctx.storage.sql, Date.now());
      throw error;
    }
  }

  #turn(before: Alert, after: Alert, now: EpochMs): Alert {
    if (after === before) return before;
    this.#tables.alerts.save(after);
    const mark = after.phase === "resolved" ? after.resolved : after.acknowledged;
    this.#tables.alerts.note(
      after,
      after.phase === "resolved" ? "resolved" : "acknowledged",
      mark?.by ?? "system",
      now,
    );
    return after;
  }

  #queue(message: Delivery["message"], now: EpochMs, replayOf: string | null): Result<Delivery, AlertRefusal> {
    const id = newId("dlv_", now);
    this.#tables.deliveries.add(id, message, now, replayOf);
    const queued = this.#tables.deliveries.byId(id);
    return queued === null ? err({ code: "conflict", detail: "Too many messages wait." }) : ok(queued);
  }

  #show(alert: Alert): ShownAlert {
    const now = Date.now();
    return showAlert(alert, this.#tables.quiets.present(now), now);
  }

  /** A channel that fails is an alert like any other, told through those that work. */
  #reportChannel(channel: string, isFailing: boolean): void {
    const now = Date.now();
    this.#change(() => takeConditions(this.#tables, [channelCondition(channel, isFailing, now)], now));
    this.ctx.waitUntil(this.#wakeBy(now + this.#tables.settings.settings().groupMs));
  }

  #sweep(now: EpochMs): void {
    if (now - this.#tables.settings.sweptAt() < SWEEP_EVERY_MS) return;
    this.#tables.settings.keepSwept(now);
    const until = now - RETENTION_DAYS * DAY_MS;
    this.#tables.alerts.sweep(until);
    this.#tables.quiets.sweep(until);
    this.#tables.deliveries.sweep(until);
  }

  async #wakeBy(at: EpochMs): Promise<void> {
    if (!Number.isFinite(at)) return;
    const present = await this.ctx.storage.getAlarm();
    const wanted = Math.max(at, Date.now());
    if (present === null || present > wanted) await this.ctx.storage.setAlarm(wanted);
  }
}

/** Named in `gateway.config.ts`, which is reviewed like code. */
function readVariable(env: Env, name: string): string | undefined {
  const value: unknown = Reflect.get(env, name);
  return typeof value === "string" && value !== "" ? value : undefined;
}
