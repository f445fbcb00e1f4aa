/**
 * The demo's Worker with a clock that is moved through the past. Events go through its real queue, consumer, ledger, watch and alert
 * center; costs are had of the real meters. Entry module while a demo is filled; never deployed, never reached but by the filler.
 */
import { acquireFrom } from "../../durable-objects/key-meter/client.ts";
import {
  AlertCenter as RealAlertCenter,
  HashClaims as RealHashClaims,
  KeyMeter as RealKeyMeter,
  KeyRegistry as RealKeyRegistry,
  LeaseBroker as RealLeaseBroker,
  ReplayGuard as RealReplayGuard,
  RequestLog as RealRequestLog,
  SigningKeys as RealSigningKeys,
  UsageLedger as RealUsageLedger,
  Watch as RealWatch,
} from "../../src/index.ts";
import { allHeld, type HeldAlarm, type Holding, holdingAlarms, takeDue } from "./held-alarms.ts";
import { moveClock } from "./moved-clock.ts";
import { END_PATH, type Spend, type Step, STEP_PATH } from "./step.ts";
import worker from "./gateway-worker.ts";

export { Verifier } from "./gateway-worker.ts";

export const AlertCenter = holdingAlarms("ALERT_CENTER", RealAlertCenter);
export const HashClaims = holdingAlarms("HASH_CLAIMS", RealHashClaims);
export const KeyMeter = holdingAlarms("KEY_METER", RealKeyMeter);
export const KeyRegistry = holdingAlarms("KEY_REGISTRY", RealKeyRegistry);
export const LeaseBroker = holdingAlarms("LEASE_BROKER", RealLeaseBroker);
export const ReplayGuard = holdingAlarms("REPLAY_GUARD", RealReplayGuard);
export const RequestLog = holdingAlarms("REQUEST_LOG", RealRequestLog);
export const SigningKeys = holdingAlarms("SIGNING_KEYS", RealSigningKeys);
export const UsageLedger = holdingAlarms("USAGE_LEDGER", RealUsageLedger);
export const Watch = holdingAlarms("WATCH", RealWatch);

/** The queue hands on what it is given at once; what it has not by then, it will not. */
const QUEUE_PATIENCE_MS = 30_000;
const SPENDS_AT_ONCE = 20;
/** An alarm that sets another one for a moment that is past already is rung so often. */
const RINGS_AT_MOST = 50;

/** Batches that the queue was given, and that its consumer had. */
const batchCounts = { sent: 0, consumed: 0 };

async function takeStep({ batches, spends, cron, until }: Step, env: Env): Promise<void> {
  moveClock(cron[0] ?? until);
  await Promise.all(batches.map((batch) => env.USAGE.send(batch)));
  batchCounts.sent += batches.length;
  await spend(spends, env);
  await untilConsumed();
  for (const at of cron) {
    moveClock(at);
    await ringDue(env);
    await worker.scheduled({ cron: "* * * * *", scheduledTime: at, noRetry: () => undefined }, env);
  }
  moveClock(until);
  await ringDue(env);
}

async function untilConsumed(): Promise<void> {
  const end = performance.now() + QUEUE_PATIENCE_MS;
  for (; batchCounts.consumed < batchCounts.sent; await scheduler.wait(1)) {
    if (performance.now() > end)
      throw new Error(`the queue delivered ${batchCounts.consumed} of ${batchCounts.sent} batches`);
  }
}

/** As isolates do: what a request costs is had of the meter, which writes it down before it answers. */
async function spend(spends: readonly Spend[], env: Env): Promise<void> {
  const left = spends.values();
  const pay = async (): Promise<void> => {
    for (const { meter, keyId, limits, cost, hour } of left) {
      const answer = await acquireFrom(env.KEY_METER, meter, {
        holder: "demo",
        keyId,
        // Whatever the record is by now: what is paid here was let in then.
        generation: Number.MAX_SAFE_INTEGER,
        limits,
        cost,
        hour,
        want: 0,
        urgent: 0,
        holdings: [],
        returned: [],
        spent: [],
        ttlMs: 0,
      });
      if (answer.outcome !== "granted") throw new Error(`${meter} refused ${cost} units: ${JSON.stringify(answer)}`);
    }
  };
  await Promise.all(Array.from({ length: SPENDS_AT_ONCE }, pay));
}

async function ringDue(env: Env): Promise<void> {
  for (let round = 0; round < RINGS_AT_MOST; round++) {
    const due = takeDue(Date.now());
    if (due.length === 0) return;
    await Promise.all(due.map((alarm) => objectOf(env, alarm).ring()));
  }
}

function objectOf(env: Env, { binding, object }: HeldAlarm): Holding {
  // Every class above answers these calls beside its own.
  return env[binding].getByName(object) as unknown as Holding;
}

export default {
  ...worker,
  async fetch(request, env, ctx): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === STEP_PATH) {
      await takeStep(await request.json<Step>(), env);
      return Response.json({});
    }
    if (pathname === END_PATH) {
      await Promise.all(allHeld().map(async (alarm) => await objectOf(env, alarm).handOver(alarm.at)));
      return Response.json({});
    }
    return await worker.fetch(request, env, ctx);
  },
  async queue(batch, env): Promise<void> {
    await worker.queue(batch, env);
    // One that is given back comes again, and is counted when it came first: what is missing at the end is seen in the ledger.
    batchCounts.consumed += batch.messages.filter(({ attempts }) => attempts === 1).length;
  },
} satisfies ExportedHandler<Env>;
