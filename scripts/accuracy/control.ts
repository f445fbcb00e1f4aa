import type { Limit } from "../../src/limits/limit.ts";

/** The three calls of the control API that the measurement needs. */

export interface Target {
  readonly url: string;
  readonly rootToken: string;
}

export interface Issued {
  readonly id: string;
  readonly key: string;
}

/** Throws unless the answer is 201. */
export async function issueKey(target: Target, name: string, limits: readonly Limit[]): Promise<Issued> {
  const body = { name, owner: "accuracy", environment: "live", scopes: ["accuracy:measure"], limits };
  return (await call(target, "/keys", body, 201)) as Issued; // the contract's record, with these among its fields
}

/** Takes `cost` units of the key's limits at once. Throws when they are not granted. */
export async function spendUnits(target: Target, key: string, cost: number): Promise<void> {
  const answer = (await call(target, "/verify", { key, cost }, 200)) as { readonly code: string }; // by the contract
  if (answer.code !== "valid") throw new Error(`spending ${cost} units ahead was answered with ${answer.code}`);
}

/** Resolves when the answer is there. Throws unless it is 200. */
export async function revokeKey(target: Target, id: string): Promise<void> {
  await call(target, `/keys/${id}/revoke`, { reason: "retired" }, 200);
}

async function call(target: Target, path: string, body: unknown, expected: number): Promise<unknown> {
  const response = await fetch(`${target.url}/_latchkey/v1${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${target.rootToken}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  // An answer of `/keys` holds a raw key: only refusals are repeated.
  if (response.status !== expected) throw new Error(`POST ${path} was answered with ${response.status}: ${text}`);
  return JSON.parse(text);
}
