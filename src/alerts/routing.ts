import type { Alert } from "./alert.ts";
import type { AlertSettings, ChannelConfig } from "./config.ts";
import { matches } from "./silence.ts";

/** Where an alert goes: a channel, and with `to: "owner"` one of its owners. Pure. */
export interface Destination {
  /** `<channel>`, or `<channel>/<owner>`. */
  readonly id: string;
  readonly channel: string;
  readonly owner: string | null;
}

/** Each once, however many routes lead there. */
export function destinationsOf(alert: Alert, settings: AlertSettings): readonly Destination[] {
  const found = new Map<string, Destination>();
  for (const channel of channelsOf(alert, settings)) {
    const config = settings.channels[channel];
    if (config === undefined || isAboutChannel(alert, channel)) continue;
    const owner = goesToOwners(config) ? alert.owner : null;
    // An alert of nobody's has nobody to be told.
    if (goesToOwners(config) && owner === null) continue;
    const id = owner === null ? channel : `${channel}/${owner}`;
    found.set(id, { id, channel, owner });
  }
  return [...found.values()];
}

function channelsOf(alert: Alert, settings: AlertSettings): readonly string[] {
  const channels: string[] = [];
  for (const route of settings.routes) {
    if (!matches(route.match ?? {}, alert)) continue;
    channels.push(...route.channels);
    if (route.continue !== true) return channels;
  }
  return channels.length > 0 ? channels : settings.defaultChannels;
}

export function goesToOwners(config: ChannelConfig): boolean {
  return config.type === "email" && config.to === "owner";
}

/** That a channel fails is not told through it: it would only fill its queue. */
function isAboutChannel(alert: Alert, channel: string): boolean {
  return alert.kind === "channel_failing" && alert.subjects.some(({ subject }) => subject === channel);
}
