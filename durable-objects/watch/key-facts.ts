import { MAX_KEYS_AT_ONCE, REGISTRY_TIMEOUT_MS } from "../../src/constants.ts";
import type { FindingKind } from "../../src/detection/finding.ts";
import { ruleFor, type WatchPolicy } from "../../src/detection/policy.ts";
import type { KeyFacts } from "../../src/detection/rows.ts";
import type { Thresholds } from "../../src/detection/thresholds.ts";
import { effectiveLimits } from "../../src/limits/effective.ts";
import type { Limit } from "../../src/limits/limit.ts";
import { unitsPerMinute } from "../../src/limits/units-per-minute.ts";
import { within } from "../../src/platform/clock.ts";
import type { KeyRegistryApi, WatchedFacts } from "../key-registry/api.ts";

/** What the registry knows of keys that detectors want to know: asked once, and then every few hours. */

const FACTS_KEPT_MS = 6 * 3_600_000;
/** Some 300 bytes each. */
const MOST_IN_MEMORY = 10_000;
/** A key that nobody has a reason to use has this tag. */
export const CANARY_TAG = "canary";

export interface StoredFacts {
  readonly environment: "live" | "test";
  readonly owner: string | null;
  readonly team: string | null;
  readonly plan: string | null;
  readonly tags: readonly string[];
  /** Of its own, beside its plan's. */
  readonly limits: readonly Limit[];
  /** Epoch ms; 0: the registry was never asked. */
  readonly readAt: number;
}

/** The part of a registry that is asked here. */
type FactsRegistry = Pick<KeyRegistryApi, "watchedFacts">;

export class KeyFactsBook {
  readonly #sql: SqlStorage;
  readonly #inMemory = new Map<string, StoredFacts>();

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  of(keyId: string): StoredFacts | null {
    return this.#inMemory.get(keyId) ?? this.#read(keyId);
  }

  #read(keyId: string): StoredFacts | null {
    const [row] = this.#sql.exec<{ facts: string }>(`SELECT facts FROM key_facts WHERE key_id = ?`, keyId).toArray();
    if (row === undefined) return null;
    // Written by `#put`, so its shape is known.
    const facts = JSON.parse(row.facts) as StoredFacts;
    this.#remember(keyId, facts);
    return facts;
  }

  /** Throws when the registry does not answer in time: then what was known holds. */
  async refresh(registry: FactsRegistry, keyIds: readonly string[], now: number): Promise<void> {
    const due = keyIds.filter((keyId) => (this.of(keyId)?.readAt ?? 0) + FACTS_KEPT_MS <= now);
    for (let from = 0; from < due.length; from += MAX_KEYS_AT_ONCE) {
      const ids = due.slice(from, from + MAX_KEYS_AT_ONCE);
      const found = await within(registry.watchedFacts(ids), REGISTRY_TIMEOUT_MS, "the registry");
      const byId = new Map(found.map((facts) => [facts.id, facts]));
      // One that the registry does not know is asked for again as seldom as the others.
      for (const id of ids) this.#put(id, toStored(byId.get(id), this.of(id), now));
    }
  }

  #put(keyId: string, facts: StoredFacts): void {
    this.#remember(keyId, facts);
    this.#sql.exec(`INSERT OR REPLACE INTO key_facts (key_id, facts) VALUES (?, ?)`, keyId, JSON.stringify(facts));
  }

  #remember(keyId: string, facts: StoredFacts): void {
    this.#inMemory.delete(keyId);
    this.#inMemory.set(keyId, facts);
    const oldest = this.#inMemory.keys().next();
    if (this.#inMemory.size > MOST_IN_MEMORY && oldest.done !== true) this.#inMemory.delete(oldest.value);
  }
}

function toStored(told: WatchedFacts | undefined, before: StoredFacts | null, now: number): StoredFacts {
  if (told === undefined) return { ...(before ?? NOTHING), readAt: now };
  const { environment, owner, team, plan, tags, limits } = told;
  return { environment, owner, team, plan, tags, limits, readAt: now };
}

/** Of a key that the registry was not asked of yet: what depends on it is silent. */
export const NOTHING: StoredFacts = {
  environment: "live",
  owner: null,
  team: null,
  plan: null,
  tags: [],
  limits: [],
  readAt: 0,
};

/** A key's facts for the detectors, with the thresholds that hold for it. */
export interface Ruled {
  readonly facts: KeyFacts;
  readonly thresholds: Thresholds;
  readonly off: ReadonlySet<FindingKind>;
}

export function ruled(keyId: string, facts: StoredFacts, { rules, plans }: WatchPolicy): Ruled {
  const limitPerMinute = unitsPerMinute(effectiveLimits(facts, plans, []));
  return {
    ...ruleFor(rules, facts),
    facts: { keyId, environment: facts.environment, limitPerMinute, isCanary: isCanary(facts) },
  };
}

export function isCanary({ tags }: StoredFacts): boolean {
  return tags.includes(CANARY_TAG);
}
