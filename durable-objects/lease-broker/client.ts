import { BROKER_TIMEOUT_MS } from "../../src/constants.ts";
import type { KeyId } from "../../src/keys/record.ts";
import type { AcquireAnswer, AcquireRequest, ReleaseRequest } from "../../src/limits/acquire.ts";
import type { Introduced, Introduction } from "../../src/limits/introduction.ts";
import { within } from "../../src/platform/clock.ts";
import { fnv1a } from "../../src/platform/fnv.ts";

/**
 * How an isolate talks to the broker nearby. Each call throws when it is not answered in `BROKER_TIMEOUT_MS`; none is repeated.
 * `null` is an answer: the broker is well, and cannot reach what it needs.
 */

type Brokers = Env["LEASE_BROKER"];

/** Whose broker it is, and for which part of the keys. */
export interface BrokerName {
  /** The location that it serves; empty where it is not known. */
  readonly location: string;
  readonly shard: number;
}

export function nameOf({ location, shard }: BrokerName): string {
  return `${location === "" ? "any" : location}/${shard}`;
}

/** Accounts are spread by a text of theirs: a key's hash, an owner's meter. */
export function shardOf(text: string, shards: number): number {
  return fnv1a(text) % shards;
}

export async function acquireThrough(
  brokers: Brokers,
  name: BrokerName,
  meter: string,
  { request, fresh }: { readonly request: AcquireRequest; readonly fresh: boolean },
): Promise<AcquireAnswer | null> {
  const asked = stubOf(brokers, name).acquire(meter, request, fresh);
  return await within<AcquireAnswer | null>(asked, BROKER_TIMEOUT_MS, "the lease broker");
}

export async function releaseThrough(
  brokers: Brokers,
  name: BrokerName,
  account: { readonly meter: string; readonly keyId: KeyId | null },
  request: ReleaseRequest,
): Promise<void> {
  await within(stubOf(brokers, name).release(account, request), BROKER_TIMEOUT_MS, "the lease broker");
}

export async function introduceThrough(
  brokers: Brokers,
  name: BrokerName,
  asked: Introduction,
): Promise<Introduced | null> {
  // The stub's mapped type turns the `unknown` in a record's metadata into `never`.
  const introduced = stubOf(brokers, name).introduce(asked) as unknown as Promise<Introduced | null>;
  return await within(introduced, BROKER_TIMEOUT_MS, "the lease broker");
}

function stubOf(brokers: Brokers, name: BrokerName) {
  // The first call decides where an object lives for good: near those who ask it, and a hint could only move it away.
  return brokers.getByName(nameOf(name));
}
