import { SIGNING_KEY_AHEAD_SECONDS, SIGNING_KEY_RETIRED_SECONDS } from "../../src/constants.ts";
import type { SigningKeyRecord, SigningPolicy } from "./api.ts";

/** When what happens to signing keys. Pure: functions of the keys, the policy and `now`. Times are epoch ms. */

const DAY_MS = 86_400_000;

/** What is due. */
export type Step =
  /** There is no key yet: two are made, and the first is used at once, as nobody can have asked for keys before. */
  | { readonly kind: "create" }
  | { readonly kind: "rotate"; readonly current: string; readonly next: string }
  /** The next key is of another algorithm than is wanted, and was never used. */
  | { readonly kind: "replace_next"; readonly next: string }
  | { readonly kind: "remove"; readonly kid: string };

export type KeyTimes = Omit<SigningKeyRecord, "removedAt">;

/** The first step that is due, if any. `usable`: whether the next key's private part can be opened. */
export function dueStep(keys: readonly KeyTimes[], policy: SigningPolicy, now: number, usable: boolean): Step | null {
  const gone = keys.find((key) => removesAt(key) <= now);
  if (gone !== undefined) return { kind: "remove", kid: gone.kid };
  const [current, next] = [inState(keys, "current"), inState(keys, "next")];
  if (current === undefined || next === undefined) return { kind: "create" };
  if (!usable) return null;
  if (replacesNextAt(next, policy) <= now) return { kind: "replace_next", next: next.kid };
  if (rotatesAt(keys, policy) <= now) return { kind: "rotate", current: current.kid, next: next.kid };
  return null;
}

/** When the next step is due, past or future; `Infinity`: never. */
export function dueAt(keys: readonly KeyTimes[], policy: SigningPolicy): number {
  const next = inState(keys, "next");
  const replaced = next === undefined ? Infinity : replacesNextAt(next, policy);
  return Math.min(rotatesAt(keys, policy), replaced, ...keys.map(removesAt));
}

/** When the next key starts by itself: at the current one's age, or, being of another algorithm, as soon as it may. */
export function rotatesAt(keys: readonly KeyTimes[], policy: SigningPolicy): number {
  const [current, next] = [inState(keys, "current"), inState(keys, "next")];
  if (current === undefined || next === undefined) return Infinity;
  const ofAge = (current.startedAt ?? current.publishedAt) + policy.rotationDays * DAY_MS;
  const wanted = next.alg === policy.algorithm && current.alg !== policy.algorithm ? 0 : ofAge;
  return Math.max(wanted, mayStartFrom(next));
}

/** Whoever keeps the public keys must have had the time to hear of it. */
export function mayStartFrom({ publishedAt }: KeyTimes): number {
  return publishedAt + SIGNING_KEY_AHEAD_SECONDS * 1_000;
}

/** Not sooner after the last: two versions of a deployment that stand side by side must not go on replacing each other's key. */
function replacesNextAt(next: KeyTimes, policy: SigningPolicy): number {
  return next.alg === policy.algorithm ? Infinity : mayStartFrom(next);
}

function removesAt({ state, retiredAt }: KeyTimes): number {
  return state === "retired" && retiredAt !== null ? retiredAt + SIGNING_KEY_RETIRED_SECONDS * 1_000 : Infinity;
}

export function inState<K extends KeyTimes>(keys: readonly K[], state: "current" | "next"): K | undefined {
  return keys.find((key) => key.state === state);
}
