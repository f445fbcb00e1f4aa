import type { GatewayConfig } from "../../../src/config.ts";
import { check, type CheckOutcome } from "../../../src/gateway/check.ts";
import { createIsolate, type Isolate } from "../../../src/gateway/isolate.ts";
import { EventBuffer } from "../../../src/usage/buffer.ts";
import { makeEvent } from "../../../src/usage/make-event.ts";
import { newId } from "../../../src/platform/ids.ts";
import { createSend, type Send } from "../../../src/usage/send.ts";
import type { Place } from "./objects.ts";
import type { World } from "./world.ts";

/** One isolate of the gateway: the product's own check, over its own caches, at one location. */

export interface Asked {
  readonly presentedKey: string;
  readonly cost: number;
  readonly strictRoute?: boolean;
}

const waitUntil = (work: Promise<unknown>): void => void work.catch(() => undefined);
const BACKGROUND = { waitUntil };

export class SimulatedIsolate {
  readonly place: Place;
  readonly isolate: Isolate;
  readonly events = new EventBuffer();
  /** Events made here. */
  made = 0;
  readonly #send: Send;

  constructor(world: World, place: Place, config: GatewayConfig) {
    this.place = place;
    const env = world.envFor(place);
    const created = createIsolate(config, env);
    if (!created.ok) throw new Error(`the simulated configuration is wrong: ${JSON.stringify(created.error)}`);
    this.isolate = created.value;
    this.isolate.location = place.colo.code;
    this.#send = createSend(env);
  }

  /** Steps 2 to 5 of one request. */
  check({ presentedKey, cost, strictRoute = false }: Asked): Promise<CheckOutcome> {
    return check(
      {
        presentedKey,
        facts: { ip: "192.0.2.1", origin: null, country: null, certificateSha256: null },
        budget: null,
        demand: {
          workspace: "*",
          environments: null,
          scopes: [],
          adminKeys: "refused",
          audience: null,
          takesExchangeOnly: false,
        },
        possession: "not asked",
        cost,
        look: false,
        routeLimits: [],
        routePolicy: { strict: strictRoute, onMeterUnavailable: null, graceSeconds: null },
        waitUntil,
      },
      this.isolate.parts,
    );
  }

  /** Step 8. */
  record(outcome: CheckOutcome, startedAt: number, now: number): void {
    this.made++;
    const event = makeEvent({
      requestId: newId("req_", now),
      time: outcome.ok ? outcome.at : now,
      record: outcome.ok ? outcome.admission.record : outcome.refusal.record,
      method: "GET",
      upstream: "api",
      route: "/*",
      status: outcome.ok ? 200 : 403,
      code: outcome.ok ? "allowed" : outcome.refusal.code,
      cost: outcome.ok ? outcome.admission.cost : 0,
      latencyMs: now - startedAt,
      authMs: now - startedAt,
      upstreamMs: null,
      bytesIn: 0,
      bytesOut: 0,
      country: null,
      asn: null,
      colo: this.place.colo.code,
      clientIp: null,
      ipPolicy: "truncated",
      ipSalt: null,
      userAgent: null,
      degraded: outcome.ok && outcome.admission.degraded,
      tokenId: null,
      credentialTag: null,
    });
    this.events.add(event, BACKGROUND, this.#send, now);
  }
}
