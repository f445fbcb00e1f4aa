import type { GatewayConfig } from "../config.ts";
import { DEFAULT_BROKER_SHARDS } from "../constants.ts";
import type { Result } from "../result.ts";
import { SignatureKeys } from "../signatures/signature-keys.ts";
import { TokenCache } from "../tokens/token-cache.ts";
import type { CheckParts } from "./check.ts";
import { FailureShield } from "./failure-shield.ts";
import { LeaseBook } from "./lease-book.ts";
import { brokeredMeters, homeMeters } from "./meters.ts";
import { createTrust, type Trust } from "../tokens/workload-subject.ts";
import { RecordCache } from "./record-cache.ts";
import { ISOLATE_BOUNDS, KeepBudget } from "../request-log/keep-budget.ts";
import { requestLogOf } from "../request-log/policy.ts";
import { createTokenKeys } from "../tokens/signing-keys.ts";
import { type ConfigError, compileConfig, type RouteTable } from "./routes.ts";

/** What an isolate keeps between requests: the compiled configuration, the record cache, the lease book, the shield. */
export interface Isolate {
  readonly config: GatewayConfig;
  readonly table: RouteTable;
  readonly parts: CheckParts;
  /** Whose tokens are taken in place of a key, and those issuers' public keys. */
  readonly trust: Trust;
  /** Which requests are kept with what they were decided on; `null`: none. */
  readonly requestLog: { readonly sampleRate: number; readonly budget: KeepBudget } | null;
  /** Where this isolate is, as `locationOf` says: told by the first request that reaches it. */
  location: string | null;
}

/** Made once per isolate, from the configuration and the bindings; says what is wrong with the configuration, place by place. */
export function createIsolate(config: GatewayConfig, env: Env): Result<Isolate, readonly ConfigError[]> {
  const compiled = compileConfig(config, { ...env });
  if (!compiled.ok) return compiled;
  const table = compiled.value;
  const location = (): string | null => isolate.location;
  const tokenKeys = createTokenKeys(config, env.SIGNING_KEYS, location);
  const parts: CheckParts = {
    book: new LeaseBook(),
    cache: new RecordCache(),
    shield: new FailureShield(env.FAILURE_SHIELD),
    meters:
      config.leaseBrokers === false ? homeMeters(env) : brokeredMeters(env, { shards: shardsOf(config), location }),
    replayGuard: env.REPLAY_GUARD,
    signatureKeys: new SignatureKeys(env),
    store: env.KEYS,
    prefixes: table.prefixes,
    importedKeys: table.importedKeys,
    plans: table.plans,
    tokens: { keys: tokenKeys, cache: new TokenCache(), issuer: config.tokens?.issuer ?? null },
  };
  const isolate: Isolate = {
    config,
    table,
    parts,
    trust: createTrust(config),
    requestLog: keeping(config),
    location: null,
  };
  return { ok: true, value: isolate };
}

function shardsOf({ leaseBrokers }: GatewayConfig): number {
  return typeof leaseBrokers === "object" ? leaseBrokers.shardsPerLocation : DEFAULT_BROKER_SHARDS;
}

function keeping(config: GatewayConfig): Isolate["requestLog"] {
  const policy = requestLogOf(config);
  return policy === null ? null : { sampleRate: policy.sampleRate, budget: new KeepBudget(ISOLATE_BOUNDS) };
}
