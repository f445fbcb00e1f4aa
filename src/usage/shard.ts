import { fnv1a } from "../platform/fnv.ts";
import type { UsageBatch, UsageEvent } from "./event.ts";

/** Which ledger object keeps which event. Pure, and part of what is stored: the same batch must always split alike. */

/**
 * Ledger objects per workspace. Raise it when one is no longer enough.
 * Raising it moves lineages, and a batch that was counted before could be counted again after: let the queue run empty first.
 */
const LEDGER_SHARDS: number = 1;

/**
 * The shard of a lineage's events: `"0"` … Not of a key's: what a rotated key and its follower spent is compared with one meter.
 * Events without a key are in the first.
 */
export function ledgerShard(lineageId: string | null, shards = LEDGER_SHARDS): string {
  if (lineageId === null || shards === 1) return "0";
  return String(fnv1a(lineageId) % shards);
}

export function ledgerName(workspace: string, shard: string): string {
  return `${workspace}/${shard}`;
}

/** Every ledger object of a workspace. */
export function ledgerNames(workspace: string): readonly string[] {
  return Array.from({ length: LEDGER_SHARDS }, (_none, shard) => ledgerName(workspace, String(shard)));
}

/** The part of a batch that one ledger object keeps. */
export interface LedgerPart {
  readonly workspace: string;
  readonly events: UsageEvent[];
}

/** A batch holds events of whatever an isolate served: its parts by name of the ledger object. */
export function splitByLedger(batch: Pick<UsageBatch, "events">): ReadonlyMap<string, LedgerPart> {
  const parts = new Map<string, LedgerPart>();
  for (const event of batch.events) {
    const name = ledgerName(event.workspace, ledgerShard(event.lineageId));
    const part = parts.get(name);
    if (part === undefined) parts.set(name, { workspace: event.workspace, events: [event] });
    else part.events.push(event);
  }
  return parts;
}
