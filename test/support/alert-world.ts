import {
  acknowledgeAlert,
  applyCondition,
  beginAlert,
  expiresAt,
  isOpen,
  resolveAlert,
} from "../../src/alerts/alert.ts";
import type { Alert } from "../../src/alerts/alert.ts";
import type { Condition } from "../../src/alerts/condition.ts";
import { settingsOf } from "../../src/alerts/config.ts";
import type { AlertsConfig } from "../../src/alerts/config.ts";
import type { AlertMessage } from "../../src/alerts/message.ts";
import { planMessages } from "../../src/alerts/plan.ts";
import type { Plan } from "../../src/alerts/plan.ts";
import type { Quiet } from "../../src/alerts/silence.ts";

/** The pure core with a clock that is moved, as the object drives it, and nothing else of the object. */
export class AlertWorld {
  readonly alerts = new Map<string, Alert>();
  readonly messages: AlertMessage[] = [];
  readonly quiets: Quiet[] = [];
  readonly contacts = new Map<string, boolean>();
  now: number;
  nextAt: number | null = null;
  readonly #config: AlertsConfig;
  #flushes: Plan["flushes"] = {};
  #sent: Plan["sent"] = [];
  #ids = 0;

  constructor(config: AlertsConfig, now: number) {
    this.#config = config;
    this.now = now;
  }

  report(condition: Condition): Alert | null {
    const known = this.active(condition.owner, condition.kind);
    const id = `alt_${String(++this.#ids).padStart(6, "0")}`;
    if (known === null && condition.over === true) return null;
    const alert = known === null ? beginAlert(id, condition) : applyCondition(known, condition);
    this.alerts.set(alert.id, alert);
    return alert;
  }

  active(owner: string | null, kind: Condition["kind"]): Alert | null {
    for (const alert of this.alerts.values()) {
      if (alert.phase !== "resolved" && alert.owner === owner && alert.kind === kind) return alert;
    }
    return null;
  }

  acknowledge(alert: Alert): void {
    this.alerts.set(alert.id, acknowledgeAlert(this.#present(alert), { at: this.now, by: "root" }));
  }

  resolve(alert: Alert): void {
    this.alerts.set(alert.id, resolveAlert(this.#present(alert), { at: this.now, by: "root" }));
  }

  /** One run of the alarm. */
  tick(): readonly AlertMessage[] {
    for (const alert of this.alerts.values()) {
      if (expiresAt(alert) <= this.now) this.alerts.set(alert.id, resolveAlert(alert, { at: this.now, by: "system" }));
    }
    const plan = planMessages({
      workspace: "w",
      alerts: [...this.alerts.values()].filter(isOpen),
      quiets: this.quiets,
      flushes: this.#flushes,
      sent: this.#sent,
      settings: settingsOf(this.#config),
      contacts: this.contacts,
      now: this.now,
      newId: () => `msg_${++this.#ids}`,
    });
    for (const alert of plan.alerts) this.alerts.set(alert.id, alert);
    this.messages.push(...plan.messages);
    this.#flushes = plan.flushes;
    this.#sent = plan.sent;
    this.nextAt = plan.nextAt;
    return plan.messages;
  }

  /** Runs the alarm whenever the core asks for it, until `end`; reports `condition`s again each minute if asked. */
  runUntil(end: number, each: () => void = () => {}): void {
    for (let steps = 0; this.now < end; steps++) {
      if (steps > 20_000) throw new Error("the core asks to be woken without end");
      this.tick();
      const next = Math.min(this.nextAt ?? Infinity, this.now + 60_000, end);
      if (next <= this.now) throw new Error("the core asks to be woken at once, again and again");
      this.now = next;
      each();
    }
    this.tick();
  }

  #present(alert: Alert): Alert {
    const present = this.alerts.get(alert.id);
    if (present === undefined) throw new Error("no such alert");
    return present;
  }
}
