import { SIGNING_KEYS_TTL_MS } from "../../src/constants.ts";
import { logError, logWarning } from "../../src/platform/log.ts";
import { err, ok, type Result } from "../../src/result.ts";
import type {
  KeySetCopy,
  RotateCall,
  Rotated,
  RotateRefusal,
  SigningHealth,
  SigningOff,
  SigningPolicy,
  SigningStatus,
} from "./api.ts";
import { makeKeyPair } from "./key-pair.ts";
import { type Author, type FreshKey, type KeyRow, KeyRows } from "./key-rows.ts";
import { dueAt, dueStep, inState, mayStartFrom, rotatesAt, type Step } from "./timetable.ts";
import { deriveSecret, unwrap, wrap, type WrappingSecret } from "./wrapping.ts";

/** Steps in a row that one call takes; more are left to the next. */
const MAX_STEPS = 20;
/** A step that cannot be taken (no secret) is tried again so much later, or by the next call. */
const RETRY_MS = 3_600_000;
const LOG_SHOWN = 100;

const SYSTEM: Author = {
  actor: { kind: "system", id: "signing-keys", address: null, requestId: null },
  reason: null,
};

export interface HomeParts {
  readonly storage: Pick<DurableObjectStorage, "sql" | "transactionSync" | "setAlarm">;
  /** `LATCHKEY_TOKEN_SECRET`, and the one before it. */
  readonly secret: string | undefined;
  readonly previousSecret: string | undefined;
}

type OpenedKey = NonNullable<KeySetCopy["signing"]>;

interface Secrets {
  /** Wraps what is new; `null`: no key can be made. */
  readonly current: WrappingSecret | null;
  /** Unwrap what there is. */
  readonly known: readonly WrappingSecret[];
}

/** The authority for signing keys. Private parts are opened in memory alone, and leave in `copy` only. */
export class SigningHome {
  readonly #parts: HomeParts;
  readonly #rows: KeyRows;
  #secrets: Secrets | null = null;
  /** The current key, opened. */
  #opened: OpenedKey | null = null;
  #reported: SigningOff | null = null;
  #alarmAt = 0;

  constructor(parts: HomeParts) {
    this.#parts = parts;
    this.#rows = new KeyRows(parts.storage.sql);
  }

  async copy(policy: SigningPolicy): Promise<KeySetCopy> {
    this.#learn(policy);
    await this.tend();
    for (let tries = 0; tries < MAX_STEPS; tries++) {
      const signing = await this.#openCurrent();
      // Read after the last wait: one moment's set.
      const keys = this.#rows.published();
      const current = inState(keys, "current");
      // Another call changed it meanwhile.
      if (signing.ok && current?.kid !== signing.value.kid) continue;
      return {
        validForMs: SIGNING_KEYS_TTL_MS,
        version: this.#rows.version(),
        keys: keys.map(({ kid, alg, jwk }) => ({ kid, alg, jwk })),
        signing: signing.ok ? signing.value : null,
        signingOff: signing.ok ? null : signing.error,
      };
    }
    throw new Error("the signing keys change faster than they are read");
  }

  async status(policy: SigningPolicy): Promise<SigningStatus> {
    this.#learn(policy);
    await this.tend();
    const signing = await this.#openCurrent();
    return this.#describe(policy, signing.ok ? null : signing.error);
  }

  /** Makes nothing: where no key was ever asked for, whether one could be made. */
  async health(): Promise<SigningHealth> {
    const keys = this.#rows.published().length;
    const { current } = await this.#knownSecrets();
    if (keys === 0) return { keys, signingOff: current === null ? "secret_missing" : null };
    const signing = await this.#openCurrent();
    return { keys, signingOff: signing.ok ? null : signing.error };
  }

  async rotate(call: RotateCall): Promise<Result<Rotated, RotateRefusal>> {
    const earlier = this.#earlierAnswer(call);
    if (earlier !== null) return earlier;
    this.#learn(call.policy);
    await this.tend();
    const secrets = await this.#knownSecrets();
    const count = call.emergency ? 2 : 1;
    const fresh = await this.#make(call.policy, count);
    if (fresh === null) return err({ code: "signing_off", why: "secret_missing" });
    const now = Date.now();
    const done = this.#parts.storage.transactionSync((): Result<Rotated, RotateRefusal> => {
      // Another call may have come in while keys were made.
      const repeated = this.#earlierAnswer(call);
      if (repeated !== null) return repeated;
      const changed = call.emergency ? ok(this.#replaceAll(fresh, call, now)) : this.#startNext(fresh, call, secrets);
      if (!changed.ok) return changed;
      const effectiveBy = call.emergency ? now + SIGNING_KEYS_TTL_MS : null;
      const rotated = { status: this.#describe(call.policy, null), effectiveBy, replayed: false };
      const { idempotency } = call;
      if (idempotency !== null)
        this.#rows.keepAnswer(idempotency.key, idempotency.fingerprint, JSON.stringify(rotated), now);
      return ok(rotated);
    });
    this.#setAlarm(call.policy);
    return done;
  }

  /** Takes every step that is due, and wraps anew what an earlier secret wrapped. By alarm, and by whoever asks. */
  async tend(): Promise<void> {
    const policy = this.#rows.policy();
    // Nobody has asked for keys yet.
    if (policy === null) return;
    const secrets = await this.#knownSecrets();
    for (let steps = 0; steps < MAX_STEPS; steps++) {
      const step = this.#due(policy, secrets);
      if (step === null) break;
      const fresh = await this.#make(policy, FRESH_KEYS[step.kind]);
      if (fresh === null) break;
      this.#parts.storage.transactionSync(() => {
        // Whoever came in while keys were made may have taken this step.
        if (sameStep(this.#due(policy, secrets), step)) this.#take(step, fresh, Date.now());
      });
    }
    await this.#rewrap(secrets);
    this.#setAlarm(policy);
  }

  #due(policy: SigningPolicy, secrets: Secrets): Step | null {
    const keys = this.#rows.published();
    return dueStep(keys, policy, Date.now(), isUsable(inState(keys, "next"), secrets));
  }

  #take(step: Step, [first, second]: readonly FreshKey[], now: number): void {
    switch (step.kind) {
      case "create":
        if (first === undefined || second === undefined) return;
        this.#clear(now);
        this.#rows.add(first, "current", now);
        this.#rows.add(second, "next", now);
        this.#changed("keys.create", [first.kid, second.kid], SYSTEM, now);
        return;
      case "rotate":
        if (first === undefined) return;
        this.#succeed(step.current, step.next, first, now);
        this.#changed("keys.rotate", [step.current, step.next, first.kid], SYSTEM, now);
        return;
      case "replace_next":
        if (first === undefined) return;
        this.#rows.move(step.next, "removed", now);
        this.#rows.add(first, "next", now);
        this.#changed("keys.replace_next", [step.next, first.kid], SYSTEM, now);
        return;
      case "remove":
        this.#rows.move(step.kid, "removed", now);
        this.#changed("keys.remove", [step.kid], SYSTEM, now);
    }
  }

  /** Inside a transaction. */
  #startNext([fresh]: readonly FreshKey[], call: RotateCall, secrets: Secrets): Result<null, RotateRefusal> {
    const keys = this.#rows.published();
    const [current, next] = [inState(keys, "current"), inState(keys, "next")];
    if (current === undefined || next === undefined || fresh === undefined)
      return err({ code: "signing_off", why: "secret_missing" });
    if (!isUsable(next, secrets)) return err({ code: "signing_off", why: "secret_unknown" });
    const now = Date.now();
    const from = mayStartFrom(next);
    if (from > now) return err({ code: "too_early", from });
    this.#succeed(current.kid, next.kid, fresh, now);
    this.#changed("keys.rotate", [current.kid, next.kid, fresh.kid], call, now);
    return ok(null);
  }

  /** Inside a transaction: nothing that was signed before passes any more. */
  #replaceAll([first, second]: readonly FreshKey[], call: RotateCall, now: number): null {
    if (first === undefined || second === undefined) throw new Error("two keys were made");
    const dropped = this.#clear(now);
    this.#rows.add(first, "current", now);
    this.#rows.add(second, "next", now);
    this.#changed("keys.rotate_emergency", [...dropped, first.kid, second.kid], call, now);
    return null;
  }

  #clear(now: number): readonly string[] {
    const kids = this.#rows.published().map(({ kid }) => kid);
    for (const kid of kids) this.#rows.move(kid, "removed", now);
    return kids;
  }

  #succeed(current: string, next: string, fresh: FreshKey, now: number): void {
    this.#rows.move(current, "retired", now);
    this.#rows.move(next, "current", now);
    this.#rows.add(fresh, "next", now);
  }

  #changed(action: Parameters<KeyRows["note"]>[1], kids: readonly string[], by: Author, now: number): void {
    this.#rows.note(now, action, kids, by);
    this.#rows.raiseVersion();
  }

  /** `null` where there is no secret to wrap them with. */
  async #make({ algorithm }: SigningPolicy, count: number): Promise<readonly FreshKey[] | null> {
    const { current } = await this.#knownSecrets();
    if (count === 0) return [];
    if (current === null) {
      this.#report("secret_missing");
      return null;
    }
    const make = async (): Promise<FreshKey> => {
      const { pkcs8, ...pair } = await makeKeyPair(algorithm);
      return { ...pair, wrapped: await wrap(pair.kid, pkcs8, current) };
    };
    return await Promise.all(Array.from({ length: count }, make));
  }

  async #openCurrent(): Promise<Result<OpenedKey, SigningOff>> {
    const current = inState(this.#rows.published(), "current");
    if (current === undefined || current.wrapped === null) return this.#off("secret_missing");
    if (this.#opened?.kid === current.kid) return ok(this.#opened);
    const { known } = await this.#knownSecrets();
    const opened = await unwrap(current.kid, current.wrapped, known);
    if (!opened.ok) return this.#off(known.length === 0 ? "secret_missing" : opened.error);
    this.#opened = { kid: current.kid, alg: current.alg, pkcs8: opened.value };
    this.#reported = null;
    return ok(this.#opened);
  }

  #off(why: SigningOff): { readonly ok: false; readonly error: SigningOff } {
    this.#report(why);
    return err(why);
  }

  /** Once for each reason and life of the object. */
  #report(why: SigningOff): void {
    if (this.#reported === why) return;
    this.#reported = why;
    logWarning("no token can be signed", { part: "signing-keys", reason: why });
  }

  async #rewrap({ current, known }: Secrets): Promise<void> {
    if (current === null) return;
    const rewrapped: string[] = [];
    for (const { kid, wrapped } of this.#rows.published()) {
      if (wrapped === null || wrapped.secret === current.fingerprint) continue;
      const opened = await unwrap(kid, wrapped, known);
      if (!opened.ok) continue;
      this.#rows.rewrap(kid, wrapped, await wrap(kid, opened.value, current));
      rewrapped.push(kid);
    }
    if (rewrapped.length > 0) this.#rows.note(Date.now(), "keys.rewrap", rewrapped, SYSTEM);
  }

  async #knownSecrets(): Promise<Secrets> {
    if (this.#secrets !== null) return this.#secrets;
    const { secret, previousSecret } = this.#parts;
    const [current, previous] = [await deriveSecret(secret), await deriveSecret(previousSecret)];
    this.#secrets = { current, known: [current, previous].filter((known) => known !== null) };
    return this.#secrets;
  }

  #learn(policy: SigningPolicy): void {
    const known = this.#rows.policy();
    if (known?.algorithm === policy.algorithm && known.rotationDays === policy.rotationDays) return;
    this.#rows.setPolicy(policy);
  }

  #describe(policy: SigningPolicy, signingOff: SigningOff | null): SigningStatus {
    const keys = this.#rows.published();
    const next = inState(keys, "next");
    return {
      policy,
      keys: this.#rows.all(),
      signingOff,
      rotatesAt: next === undefined ? null : rotatesAt(keys, policy),
      mayRotateFrom: next === undefined ? null : mayStartFrom(next),
      log: this.#rows.log(LOG_SHOWN),
    };
  }

  #earlierAnswer({ idempotency }: RotateCall): Result<Rotated, RotateRefusal> | null {
    if (idempotency === null) return null;
    const kept = this.#rows.answerTo(idempotency.key, Date.now());
    if (kept === null) return null;
    if (kept.fingerprint !== idempotency.fingerprint) return err({ code: "idempotency_conflict" });
    // Written by `rotate` from this very type, so its shape is known.
    return ok({ ...(JSON.parse(kept.answer) as Rotated), replayed: true });
  }

  #setAlarm(policy: SigningPolicy): void {
    const at = dueAt(this.#rows.published(), policy);
    if (at === Infinity || at === this.#alarmAt) return;
    const now = Date.now();
    // Set once for a step that cannot be taken: each is a row.
    if (at <= now && this.#alarmAt > now && this.#alarmAt <= now + RETRY_MS) return;
    this.#alarmAt = at <= now ? now + RETRY_MS : at;
    this.#parts.storage.setAlarm(this.#alarmAt).catch((error: unknown) => logError(error, { part: "signing-keys" }));
  }

  /** Before `tend` in an alarm, which is gone by then. */
  forgetAlarm(): void {
    this.#alarmAt = 0;
  }
}

/** Keys that a step takes. */
const FRESH_KEYS = { create: 2, rotate: 1, replace_next: 1, remove: 0 } as const;

/** Whether the next key's private part can be opened, as far as can be told without opening it. */
function isUsable(next: KeyRow | undefined, { known }: Secrets): boolean {
  return known.some(({ fingerprint }) => fingerprint === next?.wrapped?.secret);
}

function sameStep(one: Step | null, other: Step): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
