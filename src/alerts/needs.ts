import type { EpochMs } from "../keys/record.ts";
import type { Alert, Told } from "./alert.ts";
import type { AlertSettings } from "./config.ts";
import type { Need } from "./message.ts";
import { destinationsOf } from "./routing.ts";
import type { Destination } from "./routing.ts";

/** Who has still to hear what of an alert, and from when on. Pure. */

export interface Due {
  readonly alert: Alert;
  readonly destination: Destination;
  readonly need: Need;
  readonly at: EpochMs;
}

/** What joined a known alert is told at most so often. */
const SUBJECT_UPDATE_MS = 3_600_000;

/** What became of the alerts that one destination knows under one incident. */
interface Incident {
  readonly isResolved: boolean;
  /** Each is resolved or acknowledged. */
  readonly isHandled: boolean;
}

export type Incidents = ReadonlyMap<string, Incident>;

/** Of channels that think in incidents: a message there is about all alerts that were first told together. */
export function incidentsOf(alerts: readonly Alert[], settings: AlertSettings): Incidents {
  const found = new Map<string, Incident>();
  for (const alert of alerts) {
    for (const [id, told] of Object.entries(alert.told)) {
      if (told.state === "resolved" || !thinksInIncidents(channelOf(id), settings)) continue;
      const key = `${id}|${told.incident}`;
      const before = found.get(key) ?? { isResolved: true, isHandled: true };
      found.set(key, {
        isResolved: before.isResolved && alert.phase === "resolved",
        isHandled: before.isHandled && alert.phase !== "firing",
      });
    }
  }
  return found;
}

export function thinksInIncidents(channel: string, settings: AlertSettings): boolean {
  return settings.channels[channel]?.type === "pagerduty";
}

export function duesOf(alert: Alert, settings: AlertSettings, incidents: Incidents): readonly Due[] {
  const destinations = new Map<string, Destination>();
  if (alert.phase === "firing") for (const of of destinationsOf(alert, settings)) destinations.set(of.id, of);
  // What was told somewhere ends there too, whatever the routes say by now.
  else for (const id of Object.keys(alert.told)) destinations.set(id, parseDestination(id));
  const dues: Due[] = [];
  for (const destination of destinations.values()) {
    const due = dueOf(alert, destination, settings, incidents);
    if (due !== null) dues.push({ alert, destination, ...due });
  }
  return dues;
}

function dueOf(
  alert: Alert,
  { id, channel }: Destination,
  settings: AlertSettings,
  incidents: Incidents,
): Pick<Due, "need" | "at"> | null {
  const told = alert.told[id];
  if (told === undefined) return alert.phase === "firing" ? { need: "new", at: alert.startedAt } : null;
  if (told.state === "resolved") return null;
  const asIncident = thinksInIncidents(channel, settings);
  const incident = incidents.get(`${id}|${told.incident}`);
  if (alert.phase === "resolved") {
    if (asIncident && incident?.isResolved !== true) return dueOfAcknowledgement(alert, told, incident);
    return { need: "resolved", at: alert.resolved?.at ?? alert.lastAt };
  }
  if (alert.phase === "acknowledged") return asIncident ? dueOfAcknowledgement(alert, told, incident) : null;
  return dueOfFiring(alert, told, asIncident ? 0 : settings.renotifyMs[alert.severity]);
}

function dueOfAcknowledgement(
  alert: Alert,
  told: Told,
  incident: Incident | undefined,
): Pick<Due, "need" | "at"> | null {
  if (told.acknowledged || alert.acknowledged === null || incident?.isHandled !== true) return null;
  return { need: "acknowledged", at: alert.acknowledged.at };
}

function dueOfFiring(alert: Alert, told: Told, renotifyMs: number): Pick<Due, "need" | "at"> | null {
  if (told.revision < alert.revision) return { need: "changed", at: alert.revisedAt };
  const wider = told.seen < alert.seen ? told.at + SUBJECT_UPDATE_MS : Infinity;
  const again = renotifyMs > 0 ? told.at + renotifyMs : Infinity;
  if (wider === Infinity && again === Infinity) return null;
  return wider <= again ? { need: "changed", at: wider } : { need: "still", at: again };
}

/** What the destination knows once it was told. */
export function markTold(alert: Alert, id: string, incident: string, now: EpochMs): Alert {
  const told: Told = {
    incident: alert.told[id]?.incident ?? incident,
    at: now,
    revision: alert.revision,
    seen: alert.seen,
    state: alert.phase === "resolved" ? "resolved" : "firing",
    acknowledged: alert.acknowledged !== null,
  };
  return { ...alert, told: { ...alert.told, [id]: told } };
}

function parseDestination(id: string): Destination {
  const slash = id.indexOf("/");
  return slash < 0 ? { id, channel: id, owner: null } : { id, channel: id.slice(0, slash), owner: id.slice(slash + 1) };
}

function channelOf(id: string): string {
  return parseDestination(id).channel;
}
