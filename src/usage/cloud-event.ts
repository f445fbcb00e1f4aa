import type { UsageEvent } from "./event.ts";

const USAGE_EVENT_TYPE = "dev.latchkey.request.v1";

/** CloudEvents 1.0, structured JSON: what sinks outside of Latchkey are given. */
export interface UsageCloudEvent {
  readonly specversion: "1.0";
  /** Deterministic: with `source` it is the key by which a receiver removes repeats (CloudEvents 1.0 section 3.1.1). */
  readonly id: string;
  readonly source: string;
  readonly type: typeof USAGE_EVENT_TYPE;
  readonly subject?: string;
  readonly time: string;
  readonly datacontenttype: "application/json";
  readonly data: UsageEventData;
}

/** The public form of a usage event: times are RFC 3339 UTC, durations carry their unit. */
type UsageEventData = Omit<UsageEvent, "id" | "time" | "credentialTag"> & { readonly time: string };

/**
 * @param source a URI-reference that names the deployment, for example `https://api.example.com/_latchkey`.
 */
export function toCloudEvent(event: UsageEvent, source: string): UsageCloudEvent {
  const { id, time, credentialTag: _ours, ...rest } = event;
  const at = new Date(time).toISOString();
  return {
    specversion: "1.0",
    id,
    source,
    type: USAGE_EVENT_TYPE,
    // An attribute of CloudEvents is never null: without a key there is no subject.
    ...(event.keyId === null ? {} : { subject: event.keyId }),
    time: at,
    datacontenttype: "application/json",
    data: { time: at, ...rest },
  };
}
