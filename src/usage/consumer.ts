import type { IngestAnswer, KeyUse, LedgerBatch } from "../../durable-objects/usage-ledger/api.ts";
import type { LedgerNamespace } from "../../durable-objects/usage-ledger/client.ts";
import { askLedger, directoryLedger, ledgerByName } from "../../durable-objects/usage-ledger/client.ts";
import type { KeyRegistryApi } from "../../durable-objects/key-registry/api.ts";
import {
  QUEUE_ALONE_AFTER_ATTEMPTS,
  QUEUE_RETRY_DELAY_MAX_SECONDS,
  REGISTRY_TIMEOUT_MS,
  REQUEST_LOG_ATTEMPTS,
} from "../constants.ts";
import { now as systemNow, within } from "../platform/clock.ts";
import { logError } from "../platform/log.ts";
import type { DeliverRequests } from "../request-log/deliver.ts";
import type { ForwardEvents } from "../sinks/forward.ts";
import type { UsageBatch, UsageEvent } from "./event.ts";
import { parseBatch } from "./parse-batch.ts";
import { DEFAULT_RETENTION, type Retention } from "./retention.ts";
import { splitByLedger } from "./shard.ts";

/** From the queue to the ledgers. At least once in, once counted: the ledger knows each `batchId`. */

/** What the consumer needs of the Worker's bindings. `Env` fits. */
export interface ConsumerEnv {
  readonly USAGE_LEDGER: LedgerNamespace;
  readonly KEY_REGISTRY: { getByName(name: string): unknown };
}

/** What the deployment's configuration says of events. */
export interface ConsumerPolicy {
  readonly retention: Retention;
  /** Where kept requests go; `null`: they are left away. */
  readonly deliverRequests: DeliverRequests | null;
  /** Takes all events to the sinks' queues; `null`: there is no sink. */
  readonly forwardEvents: ForwardEvents | null;
  /** Told of each event once it is counted, and once alone; never rejects. */
  readonly onCounted: (workspace: string, events: readonly UsageEvent[]) => Promise<void>;
}

export const DEFAULT_POLICY: ConsumerPolicy = {
  retention: DEFAULT_RETENTION,
  deliverRequests: null,
  forwardEvents: null,
  onCounted: async () => undefined,
};

/** A message of which every part is counted, or not. */
interface Entry {
  readonly message: Message;
  readonly batch: UsageBatch;
  failed: boolean;
}

/** What one ledger object is to count, of several messages. */
interface Delivery {
  readonly name: string;
  readonly workspace: string;
  readonly batches: LedgerBatch[];
  readonly entries: Entry[];
}

/** Workspaces that this isolate has put on the list. */
const listed = new Set<string>();

/**
 * Counts the events of these messages. A message is acknowledged once all of its parts are counted. One that cannot be read is
 * left to the dead-letter queue; it and those whose ledger failed are retried, and hold up no other.
 */
export async function consumeUsage(
  batch: MessageBatch,
  env: ConsumerEnv,
  policy: ConsumerPolicy = DEFAULT_POLICY,
): Promise<void> {
  const now = systemNow();
  const entries: Entry[] = [];
  const deliveries = new Map<string, Delivery>();
  for (const message of batch.messages) {
    const parsed = parseBatch(message.body, now);
    if (!parsed.ok) {
      refusePoison(message, parsed.error);
      continue;
    }
    const entry = { message, batch: parsed.value, failed: false };
    entries.push(entry);
    addDeliveries(deliveries, entry, parsed.value.batchId, splitByLedger(parsed.value));
  }
  const [counted] = await Promise.all([
    Promise.all(Array.from(deliveries.values(), (delivery) => deliver(delivery, policy, env))),
    policy.deliverRequests === null ? null : deliverKept(entries, policy.deliverRequests),
    policy.forwardEvents === null ? null : forwardAll(entries, policy.forwardEvents),
  ]);
  for (const { message, failed } of entries) {
    if (failed) message.retry({ delaySeconds: retryDelaySeconds(message.attempts) });
    else message.ack();
  }
  await Promise.all([
    ...counted.map((of) => reportUses(of, env)),
    ...counted.filter(({ fresh }) => fresh.length > 0).map((of) => policy.onCounted(of.workspace, of.fresh)),
    listWorkspaces(deliveries.values(), env),
  ]);
}

/** Many messages in one call; a message that failed often goes alone. */
function addDeliveries(
  deliveries: Map<string, Delivery>,
  entry: Entry,
  batchId: string,
  parts: ReadonlyMap<string, { readonly workspace: string; readonly events: readonly UsageEvent[] }>,
): void {
  for (const [name, part] of parts) {
    const key = entry.message.attempts > QUEUE_ALONE_AFTER_ATTEMPTS ? `${name} ${entry.message.id}` : name;
    let delivery = deliveries.get(key);
    if (delivery === undefined) {
      delivery = { name, workspace: part.workspace, batches: [], entries: [] };
      deliveries.set(key, delivery);
    }
    delivery.batches.push({ batchId, events: part.events });
    delivery.entries.push(entry);
  }
}

/** What is billed does not wait for it for ever: after some attempts what is kept is given up. */
async function deliverKept(entries: readonly Entry[], deliverRequests: DeliverRequests): Promise<void> {
  const due = entries.filter(
    ({ batch, message }) => batch.requests !== undefined && message.attempts <= REQUEST_LOG_ATTEMPTS,
  );
  if (due.length === 0) return;
  const failed = await deliverRequests(due.map(({ batch }) => batch));
  for (const entry of due) {
    if (failed.has(entry.batch.batchId) && entry.message.attempts < REQUEST_LOG_ATTEMPTS) entry.failed = true;
  }
}

/** Before the message is acknowledged, and all of it whenever it comes: what one attempt counted may not be in the queues of sinks yet. */
async function forwardAll(entries: readonly Entry[], forwardEvents: ForwardEvents): Promise<void> {
  const failed = await forwardEvents(entries.map(({ batch }) => batch));
  for (const entry of entries) if (failed.has(entry.batch.batchId)) entry.failed = true;
}

interface Counted {
  readonly name: string;
  readonly workspace: string;
  readonly uses: readonly KeyUse[];
  /** Events that were not counted before. */
  readonly fresh: readonly UsageEvent[];
}

async function deliver(delivery: Delivery, { retention }: ConsumerPolicy, env: ConsumerEnv): Promise<Counted> {
  const { name, workspace, batches, entries } = delivery;
  try {
    const answer: IngestAnswer = await askLedger(ledgerByName(env.USAGE_LEDGER, name).ingest(batches, retention));
    const fresh: UsageEvent[] = [];
    for (const [index, outcome] of answer.outcomes.entries()) {
      if (outcome === "ingested") fresh.push(...(batches[index]?.events ?? []));
      const entry = entries[index];
      if (outcome !== "forgotten" || entry === undefined) continue;
      entry.failed = true;
      logError("a batch is too old to be counted safely", { ledger: name, messageId: entry.message.id });
    }
    return { name, workspace, uses: answer.uses, fresh };
  } catch (error) {
    for (const entry of entries) entry.failed = true;
    logError(error, {
      message: "the ledger did not take events; they are retried",
      ledger: name,
      messages: entries.length,
    });
    return { name, workspace, uses: [], fresh: [] };
  }
}

/**
 * Tells the registry which keys were used, then the ledger that the registry knows. If either call is lost, the ledger names
 * these uses again: with the next event of the key, or from `reportPendingUses`.
 */
async function reportUses({ name, workspace, uses }: Omit<Counted, "fresh">, env: ConsumerEnv): Promise<void> {
  if (uses.length === 0) return;
  try {
    // The generated Env knows the class, whose type would pull it in here; its RPC surface is this interface.
    const registry = env.KEY_REGISTRY.getByName(workspace) as KeyRegistryApi;
    await within(registry.recordUse(uses), REGISTRY_TIMEOUT_MS, "the registry");
    await askLedger(ledgerByName(env.USAGE_LEDGER, name).confirmUses(uses));
  } catch (error) {
    logError(error, { message: "last uses were not recorded; they are told again", ledger: name, keys: uses.length });
  }
}

const MAX_PENDING_USES = 1_000;

/** For the cron, once an hour: uses that were never confirmed, of keys that were not used again. */
export async function reportPendingUses(name: string, workspace: string, env: ConsumerEnv): Promise<void> {
  const uses = await askLedger(ledgerByName(env.USAGE_LEDGER, name).pendingUses(MAX_PENDING_USES));
  await reportUses({ name, workspace, uses }, env);
}

/** The list that the cron and the metrics go by. Adding a name twice is harmless; one that fails is added with the next events. */
async function listWorkspaces(deliveries: Iterable<Delivery>, env: ConsumerEnv): Promise<void> {
  const names = new Set(Array.from(deliveries, (delivery) => delivery.workspace).filter((name) => !listed.has(name)));
  if (names.size === 0) return;
  try {
    await askLedger(directoryLedger(env.USAGE_LEDGER).registerWorkspaces([...names]));
    for (const name of names) listed.add(name);
  } catch (error) {
    logError(error, { message: "workspaces were not listed" });
  }
}

/** Short: time does not heal it, but a deployment that is newer than its reader may be rolled out meanwhile. */
const POISON_RETRY_DELAY_SECONDS = 5;

/** No event can be told from it: whoever looks after the dead-letter queue finds it there, whole. */
function refusePoison(message: Message, problem: string): void {
  if (message.attempts <= 1) {
    logError(`a usage message cannot be read: ${problem}`, { messageId: message.id });
  }
  message.retry({ delaySeconds: POISON_RETRY_DELAY_SECONDS });
}

/** 2 s, 4 s, 8 s … up to five minutes. */
function retryDelaySeconds(attempts: number): number {
  return Math.min(2 ** Math.min(attempts, 10), QUEUE_RETRY_DELAY_MAX_SECONDS);
}
