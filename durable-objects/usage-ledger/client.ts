import { LEDGER_TIMEOUT_MS } from "../../src/constants.ts";
import { within } from "../../src/platform/clock.ts";
import { DEFAULT_WORKSPACE } from "../../src/usage/make-event.ts";
import { ledgerName } from "../../src/usage/shard.ts";
import type { UsageLedgerApi } from "./api.ts";

/** How everything else talks to ledger objects. */

/** The part of a Durable Object namespace that is needed; `Env["USAGE_LEDGER"]` fits, and so does a stand-in in a test. */
export interface LedgerNamespace {
  getByName(name: string): unknown;
}

/** A stub by the object's full name, `<workspace>/<shard>`. */
export function ledgerByName(namespace: LedgerNamespace, name: string): UsageLedgerApi {
  // The generated Env knows the class, whose type would pull it in here; its RPC surface is this interface.
  return namespace.getByName(name) as UsageLedgerApi;
}

/** The one ledger that keeps the list of workspaces. */
export function directoryLedger(namespace: LedgerNamespace): UsageLedgerApi {
  return ledgerByName(namespace, ledgerName(DEFAULT_WORKSPACE, "0"));
}

/** One call with its time-out. Throws; whether to call again is the caller's to know (`ingest` may always be repeated). */
export async function askLedger<T>(call: Promise<T>, timeoutMs = LEDGER_TIMEOUT_MS): Promise<T> {
  return await within(call, timeoutMs, "the usage ledger");
}
