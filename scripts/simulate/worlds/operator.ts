import type {
  KeyPatch,
  KeyRecord,
  KeyRegistryApi,
  NewKey,
  WriteContext,
  WriteResult,
} from "../../../durable-objects/key-registry/api.ts";
import { digestKey } from "../../../src/keys/digest.ts";
import { generateKey } from "../../../src/keys/generate.ts";
import { hintOf } from "../../../src/keys/hint.ts";
import type { Limit } from "../../../src/limits/limit.ts";
import { pick, type Random, wholeBetween } from "../clock/random.ts";
import type { Actor } from "../clock/virtual-time.ts";
import type { World } from "../platform/world.ts";
import type { Auditor } from "./auditor.ts";
import { drawLimit, type LineagePlan, type WorldPlan } from "./plan.ts";
import type { Trace } from "./trace.ts";

/** Makes keys and changes them, through the registry as it is, and tells the auditor what was answered. */

export interface ManagedKey {
  readonly id: string;
  readonly presentedKey: string;
  readonly meter: string;
  readonly strict: boolean;
  limits: readonly Limit[];
}

export interface OperatorParts {
  readonly registry: KeyRegistryApi;
  readonly world: World;
  readonly trace: Trace;
  readonly auditor: Auditor;
  readonly workspace: string;
  readonly actor: Actor;
}

const CONTEXT: WriteContext = {
  actor: { kind: "root", id: "root", address: null, requestId: null },
  idempotency: null,
  ifGeneration: null,
};

export class Operator {
  readonly keys: ManagedKey[] = [];
  readonly #parts: OperatorParts;
  readonly #ownerLimits = new Map<string, readonly Limit[]>();

  constructor(parts: OperatorParts) {
    this.#parts = parts;
  }

  async setUp(plan: WorldPlan): Promise<void> {
    const { registry, workspace, auditor, world } = this.#parts;
    for (const { id, limits } of plan.owners) {
      if (limits.length === 0) continue;
      await registry.putOwner(id, { name: null, limits, metadata: {} }, CONTEXT);
      auditor.limitsBegin(`${workspace}/owner/${id}`, limits, world.time.now);
      this.#ownerLimits.set(id, limits);
    }
    for (const lineage of plan.lineages) await this.#create(lineage);
  }

  planChanges(count: number, random: Random, { begin, end }: { readonly begin: number; readonly end: number }): void {
    const { world, actor } = this.#parts;
    for (let n = 0; n < count; n++) {
      world.time.at(begin + random() * (end - begin), actor, () => void this.#change(random));
    }
  }

  async #create(lineage: LineagePlan): Promise<void> {
    const { registry } = this.#parts;
    const presentedKey = drawKey();
    const input: NewKey = {
      hash: digestKey(presentedKey),
      hint: hintOf(presentedKey),
      name: "simulated",
      owner: lineage.owner,
      environment: "live",
      kind: "secret",
      scopes: ["things:read"],
      plan: null,
      limits: lineage.limits,
      bindings: {},
      policy: lineage.policy,
      metadata: {},
      tags: [],
      purpose: null,
      notBefore: null,
      expiresAt: null,
    };
    this.#manage(await registry.create(input, CONTEXT), presentedKey);
  }

  #manage(written: WriteResult<KeyRecord>, presentedKey: string): void {
    if (!written.ok) return;
    const { auditor, world, trace, workspace } = this.#parts;
    const { id, lineageId, policy } = written.value.value;
    // Objects of this key's own: the auditor tells limits apart by them.
    const limits = written.value.value.limits.map((limit) => ({ ...limit }));
    trace.alias(id, `key-${this.keys.length}`);
    const meter = `${workspace}/${lineageId}`;
    auditor.limitsBegin(meter, limits, world.time.now);
    this.keys.push({ id, presentedKey, meter, strict: policy.strict === true, limits });
  }

  async #change(random: Random): Promise<void> {
    const key = pick(random, this.keys);
    const kind = pick(random, ["revoke", "rotate", "limits", "policy", "disable", "enable", "owner"] as const);
    this.#note(`asks for ${kind} of ${this.#parts.trace.nameOf(key.id)}`);
    try {
      await this.#carryOut(kind, key, random);
    } catch (error) {
      // The registry was not reached, or its answer was lost: what it did is not known.
      this.#note(`${kind} failed: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  async #carryOut(
    kind: "revoke" | "rotate" | "limits" | "policy" | "disable" | "enable" | "owner",
    key: ManagedKey,
    random: Random,
  ): Promise<void> {
    const { registry, auditor } = this.#parts;
    auditor.keyTouched(key.id);
    switch (kind) {
      case "revoke":
        return this.#confirm(key, await registry.revoke(key.id, "leaked", null, CONTEXT), true);
      case "disable":
        return this.#confirm(key, await registry.setDisabled(key.id, true, CONTEXT), true);
      case "enable":
        return this.#confirm(key, await registry.setDisabled(key.id, false, CONTEXT), false);
      case "policy":
        return this.#confirm(key, await registry.patch(key.id, { policy: { graceSeconds: 5 } }, CONTEXT), false);
      case "limits":
        return await this.#changeLimits(key, random);
      case "rotate":
        return await this.#rotate(key, wholeBetween(random, 0, 6));
      case "owner":
        return await this.#changeOwner(random);
    }
  }

  async #changeLimits(key: ManagedKey, random: Random): Promise<void> {
    const { registry, auditor, world } = this.#parts;
    const before = key.limits;
    const limits = before.map((limit) =>
      random() < 0.8
        ? { ...limit, limit: Math.max(1, Math.floor(limit.limit * pick(random, [0.2, 0.5, 2]))) }
        : drawLimit(random, limit.name, 1),
    );
    const patch: KeyPatch = { limits };
    auditor.limitsBegin(key.meter, limits, world.time.now);
    const written = await registry.patch(key.id, patch, CONTEXT);
    if (!written.ok) return;
    key.limits = limits;
    if (written.value.delivered) auditor.limitsEnd(key.meter, before, world.time.now);
    this.#confirm(key, written, false);
  }

  async #rotate(key: ManagedKey, overlapSeconds: number): Promise<void> {
    const { registry, auditor, world } = this.#parts;
    const presentedKey = drawKey();
    const rotation = { hash: digestKey(presentedKey), hint: hintOf(presentedKey), overlapSeconds };
    const written = await registry.rotate(key.id, rotation, CONTEXT);
    this.#manage(written, presentedKey);
    if (!written.ok) return;
    // The new key may not be known everywhere for a while, and has limits that can be changed apart from the old one's.
    auditor.keyTouched(written.value.value.id);
    const old = await registry.get(key.id);
    if (!old.ok || old.value.notAfter === null || !written.value.delivered) return;
    this.#note(`rotated ${this.#parts.trace.nameOf(key.id)} with ${overlapSeconds} s of overlap`);
    auditor.overlapEnds(key.id, Date.parse(old.value.notAfter), world.time.now);
  }

  async #changeOwner(random: Random): Promise<void> {
    const { registry, auditor, workspace, world } = this.#parts;
    const [owner] = this.#ownerLimits;
    if (owner === undefined) return;
    const [id, before] = owner;
    const limits = before.map((limit) => ({
      ...limit,
      limit: Math.max(1, Math.floor(limit.limit * pick(random, [0.3, 2]))),
    }));
    const meter = `${workspace}/owner/${id}`;
    auditor.limitsBegin(meter, limits, world.time.now);
    const written = await registry.putOwner(id, { name: null, limits, metadata: {} }, CONTEXT);
    if (!written.ok) return;
    this.#ownerLimits.set(id, limits);
    if (written.value.delivered) auditor.limitsEnd(meter, before, world.time.now);
  }

  #confirm(key: ManagedKey, written: WriteResult<KeyRecord>, stops: boolean): void {
    if (!written.ok) return this.#note(`was told ${written.error.code}`);
    const { value, delivered } = written.value;
    const { auditor, world, trace } = this.#parts;
    const { generation } = value;
    this.#note(`has generation ${generation} of ${trace.nameOf(key.id)}${delivered ? "" : ", not delivered yet"}`);
    if (delivered) auditor.changeConfirmed(key.id, { generation, at: world.time.now, stops });
  }

  #note(what: string): void {
    this.#parts.trace.note(this.#parts.world.time.now, "operator", what);
  }
}

function drawKey(): string {
  // The world's randomness, which is what `crypto` gives while it runs.
  return generateKey({
    prefix: "lk",
    environment: "live",
    randomBytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
  });
}
