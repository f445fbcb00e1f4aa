import type { Lease } from "../limits/lease.ts";

/**
 * What a decision stood on. Written down as a request goes, names and small numbers alone, so that it costs next to nothing on the
 * warm path; read for the few requests that are kept (`request-detail.ts`).
 */
export interface Ground {
  /** What was presented looks like: a key of Latchkey's form, some other text, a token, nothing that could be either. */
  form: "own" | "foreign" | "token" | "garbage" | null;
  /** Where the record was read, or where nobody knew one. */
  recordFrom: "isolate" | "broker" | "kv" | "meter" | "miss" | null;
  /** Since somebody who knows said that it is the newest, ms. */
  recordAgeMs: number;
  /** Whose word the last step rests on: a lease in hand, a refusal that is remembered, whoever was asked, or nobody who answered. */
  leaseFrom: "isolate" | "remembered" | "broker" | "meter" | "grace" | "unreachable" | null;
  /** Who had granted the lease in hand. */
  leaseBy: Lease["grantedBy"];
  /** It was granted for this request. */
  leaseGranted: boolean;
  /** Since the lease in hand was granted, ms; -1: there was none. */
  leaseAgeMs: number;
  /** What was left of it, ms; below 0: since when it was over. */
  leaseLeftMs: number;
}

export function newGround(): Ground {
  return {
    form: null,
    recordFrom: null,
    recordAgeMs: 0,
    leaseFrom: null,
    leaseBy: null,
    leaseGranted: false,
    leaseAgeMs: -1,
    leaseLeftMs: 0,
  };
}

/** The lease that is in hand at `now`, whatever comes of it. One that was taken back is told of as it was before. */
export function noteHeld(ground: Ground | undefined, lease: Lease, now: number): void {
  if (ground === undefined || lease.grantedAt === 0 || lease.validUntil === 0) return;
  ground.leaseBy = lease.grantedBy;
  ground.leaseAgeMs = now - lease.grantedAt;
  ground.leaseLeftMs = lease.validUntil - now;
}

export function noteRecord(ground: Ground | undefined, from: Ground["recordFrom"], ageMs: number): void {
  if (ground === undefined) return;
  ground.recordFrom = from;
  ground.recordAgeMs = ageMs;
}

/** On the lease in hand where nobody was asked; else on the one that came of asking. */
export function noteAdmitted(
  ground: Ground | undefined,
  lease: Lease | undefined,
  now: number,
  degraded: boolean,
): void {
  if (ground === undefined || lease === undefined) return;
  noteHeld(ground, lease, now);
  if (degraded) ground.leaseFrom = "grace";
  else if (ground.leaseFrom === null) ground.leaseFrom = "isolate";
  else ground.leaseGranted = true;
}

/** A refusal that is remembered: nobody was asked. */
export function noteRemembered(ground: Ground | undefined, lease: Lease | undefined, now: number): void {
  if (ground === undefined || lease === undefined) return;
  noteHeld(ground, lease, now);
  ground.leaseFrom = "remembered";
}
