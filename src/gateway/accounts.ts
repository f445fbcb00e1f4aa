import { meterOfLineage, meterOfOwner } from "../../durable-objects/key-meter/client.ts";
import type { EdgeRecord, RecordRef } from "../keys/record.ts";
import { beginWait, endWait, type Lease, type Payment } from "../limits/lease.ts";
import type { Limit } from "../limits/limit.ts";
import { sleep } from "../platform/clock.ts";
import type { LeaseBook } from "./lease-book.ts";
import type { AccountAddress } from "./meters.ts";

/** One meter that the request draws on: its lineage's, or its owner's. */
export interface Account extends AccountAddress {
  readonly name: string;
  readonly lease: Lease;
  readonly generation: number;
  /** `null`: only the meter knows them. */
  readonly limits: readonly Limit[] | null;
  /** What this account was paid with for the request in hand. */
  payment: Payment | null;
}

interface Drawn {
  readonly record: EdgeRecord;
  readonly hash: RecordRef;
  readonly limits: readonly Limit[];
  /** What the key's account was paid with already. */
  readonly prepaid: Payment | null;
}

export function openAccounts({ record, hash, limits, prepaid }: Drawn, book: LeaseBook): Account[] {
  const key: Account = {
    name: record.id,
    meter: meterOfLineage(record.workspace, record.lineageId),
    shardKey: hash,
    lease: book.of(record.id),
    keyId: record.id,
    generation: record.generation,
    limits,
    payment: prepaid,
  };
  if (!record.ownerLimited) return [key];
  const meter = meterOfOwner(record.workspace, record.owner);
  const shared = { keyId: null, generation: 0, limits: null, payment: null } as const;
  return [key, { name: meter, meter, shardKey: meter, lease: book.of(meter), ...shared }];
}

/**
 * Another request has asked for units for many, and what it brings may do for this one: a window that turns would else cost a call
 * for each request that is under way. Promises of other requests cannot be awaited, so it is looked at again and again; and after a
 * while, in which that other request may have died, this one asks for itself.
 */
export const WISH_WAIT_MS = 600;
const WISH_POLL_MS = 5;

export async function waitForWish(pending: readonly Account[], cost: number): Promise<void> {
  const now = Date.now();
  for (const { lease } of pending) beginWait(lease, cost, now);
  await sleep(WISH_POLL_MS);
  for (const { lease } of pending) endWait(lease, cost);
}
