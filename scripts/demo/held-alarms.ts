import type { DurableObject } from "cloudflare:workers";

/**
 * Alarms by the moved clock. The runtime's go by the machine's: one for a moment of last week would ring at once, and again each time
 * that it is set. So they are held here, rung when the clock has passed them, and handed to the runtime at the end.
 */

export type BindingName =
  | "ALERT_CENTER"
  | "HASH_CLAIMS"
  | "KEY_METER"
  | "KEY_REGISTRY"
  | "LEASE_BROKER"
  | "REPLAY_GUARD"
  | "REQUEST_LOG"
  | "SIGNING_KEYS"
  | "USAGE_LEDGER"
  | "WATCH";

export interface HeldAlarm {
  readonly binding: BindingName;
  /** The object's name. */
  readonly object: string;
  /** Epoch ms. */
  readonly at: number;
}

/** What an object answers beside its own calls. */
export interface Holding {
  ring(): Promise<void>;
  /** The alarm is the runtime's from now on. */
  handOver(at: number): Promise<void>;
}

const held = new Map<string, HeldAlarm>();

type ObjectClass = new (ctx: DurableObjectState, env: Env) => DurableObject<Env>;

export function holdingAlarms<T extends ObjectClass>(binding: BindingName, base: T): T {
  const Base: ObjectClass = base;
  const made = class extends Base implements Holding {
    constructor(ctx: DurableObjectState, env: Env) {
      super(hold(binding, ctx), env);
    }

    async ring(): Promise<void> {
      await this.alarm?.();
    }

    async handOver(at: number): Promise<void> {
      await beneath(this.ctx.storage).setAlarm.call(this.ctx.storage, at);
    }
  };
  // It has all that `base` has, and is made in the same way.
  return made as unknown as T;
}

/** Alarms that are due by the moved clock, the oldest first; the objects have none from now on, as when the runtime rings. */
export function takeDue(now: number): readonly HeldAlarm[] {
  const due = [...held].filter(([, { at }]) => at <= now).toSorted(([, a], [, b]) => a.at - b.at);
  for (const [name] of due) held.delete(name);
  return due.map(([, alarm]) => alarm);
}

export function allHeld(): readonly HeldAlarm[] {
  return [...held.values()];
}

/** Own members of the storage that this object has; those of the runtime are beneath. */
function hold(binding: BindingName, ctx: DurableObjectState): DurableObjectState {
  const object = ctx.id.name ?? "";
  const name = `${binding} ${object}`;
  Object.defineProperties(ctx.storage, {
    getAlarm: { value: async () => held.get(name)?.at ?? null },
    setAlarm: { value: async (at: number | Date) => void held.set(name, { binding, object, at: Number(at) }) },
    deleteAlarm: { value: async () => void held.delete(name) },
  });
  return ctx;
}

function beneath(storage: DurableObjectStorage): DurableObjectStorage {
  // What `hold` hides by members of the object itself.
  return Object.getPrototypeOf(storage) as DurableObjectStorage;
}
