import type { NewWorkload, WriteContext } from "../../durable-objects/key-registry/api.ts";
import type { TrustRule } from "../../src/config.ts";
import type { KeyStatus } from "../../src/keys/status.ts";
import { createTrust, resolveWorkload } from "../../src/tokens/workload-subject.ts";
import type { Trust, WorkloadDeps } from "../../src/tokens/workload-subject.ts";

/** The way from a token to its identity, outside the runtime: real issuers, a registry in memory, a clock that a test moves. */

export const HERE = "https://gateway.test";

/** What the registry promises, in memory: one record an identity. The real one is tried in `workerd/registry-workloads`. */
export class FakeRegistry {
  readonly records = new Map<string, { readonly id: string; readonly wanted: NewWorkload }>();
  readonly contexts: WriteContext[] = [];
  status: KeyStatus = "active";
  delivered = true;
  /** What each call ends in, in place of an answer. */
  failure: Error | null = null;

  /** Only what is called. */
  namespace(): WorkloadDeps["registry"] {
    const stub = {
      ensureWorkload: async (wanted: NewWorkload, context: WriteContext) => {
        this.contexts.push(context);
        if (this.failure !== null) throw this.failure;
        const known = this.records.get(wanted.hash);
        if (known === undefined && this.records.size >= wanted.maxIdentities)
          return { ok: false, error: { code: "conflict", detail: "no more" } };
        const id = known?.id ?? `key_${this.records.size}`;
        this.records.set(wanted.hash, { id, wanted });
        const value = { id, lineageId: `lin_${id}`, status: this.status };
        return { ok: true, value: { value, replayed: false, delivered: this.delivered } };
      },
    };
    return { getByName: () => stub } as unknown as WorkloadDeps["registry"];
  }
}

export class WorkloadLab {
  readonly registry = new FakeRegistry();
  /** URLs that were fetched. */
  readonly fetched: string[] = [];
  readonly background: Promise<unknown>[] = [];
  now = Date.now();
  trust: Trust;
  readonly #rules: readonly TrustRule[];

  constructor(...rules: readonly TrustRule[]) {
    this.#rules = rules;
    this.trust = createTrust({ tokens: { trust: rules } });
  }

  /** Another isolate, of the same or another configuration: it knows nobody's keys. */
  restart(...rules: readonly TrustRule[]): void {
    this.trust = createTrust({ tokens: { trust: rules.length > 0 ? rules : this.#rules } });
  }

  deps(): WorkloadDeps {
    return {
      trust: this.trust,
      registry: this.registry.namespace(),
      fetch: (url, init) => {
        this.fetched.push(url);
        return fetch(url, init);
      },
      now: this.now,
      waitUntil: (work) => void this.background.push(work),
      audience: HERE,
      request: { id: "req_1", address: "192.0.2.7" },
    };
  }

  resolve(jwt: string): ReturnType<typeof resolveWorkload> {
    return resolveWorkload(jwt, this.deps());
  }

  /** The rule that let a token in, or why it was refused. */
  async outcome(jwt: string): Promise<string> {
    const result = await this.resolve(jwt);
    await Promise.all(this.background.splice(0));
    return result.ok ? result.value.rule : `${result.error.kind}: ${result.error.detail}`;
  }
}

export function githubRule(issuer: string, change: Partial<TrustRule> = {}): TrustRule {
  return {
    name: "github",
    issuer,
    subject: "repo:acme/api:ref:refs/heads/main",
    owner: "acme",
    environment: "live",
    scopes: ["charges:read"],
    ...change,
  };
}
