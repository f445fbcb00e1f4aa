import type { KeyRecord, WriteContext } from "../../durable-objects/key-registry/api.ts";
import { err, ok } from "../result.ts";
import { checkEscalation } from "./issuance-rules.ts";
import type { Answer, Call } from "./operation.ts";
import type { Outcome } from "./problem.ts";

/** What comes before a change to a key that exists, and after one that was lost to another. */

type KeyCall = Call<unknown, unknown>;

/**
 * The record as it is, when this caller may change it. The change to an admin key is bound to the state that was looked at, so
 * that its scopes cannot grow in between; other keys have nothing to look at and are not bound.
 */
export async function readForChange(
  call: KeyCall,
): Promise<Outcome<{ readonly record: KeyRecord; readonly context: WriteContext }>> {
  const current = await call.registry.read((keys) => keys.get(call.id));
  if (!current.ok) return current;
  const record = current.value;
  const allowed = checkEscalation(call.caller, record.kind, record.scopes);
  if (!allowed.ok) return allowed;
  const ifGeneration = call.context.ifGeneration ?? (record.kind === "admin" ? record.generation : null);
  return ok({ record, context: { ...call.context, ifGeneration } });
}

/** A 412 for a precondition that the caller never sent would puzzle: it is a conflict, and sending it again is right. */
export function lostRace<T>(written: Outcome<T> & { readonly ok: false }, call: KeyCall): Outcome<Answer> {
  if (written.error.code !== "precondition_failed" || call.context.ifGeneration !== null) return written;
  return err({ code: "conflict", detail: "The key was changed at the same moment. Try again." });
}
