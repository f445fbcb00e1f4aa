import type { NewWorkload, RegistryError, WriteContext } from "../../durable-objects/key-registry/api.ts";
import { connectRegistry } from "../../durable-objects/key-registry/client.ts";
import type { GatewayConfig } from "../config.ts";
import { ISSUER_COOL_DOWN_MS } from "../constants.ts";
import { digestKey } from "../keys/digest.ts";
import type { EpochMs, KeyId, LineageId } from "../keys/record.ts";
import { counters } from "../platform/counters.ts";
import { logError, logWarning } from "../platform/log.ts";
import { err, ok } from "../result.ts";
import type { Result } from "../result.ts";
import type { Fetch } from "./bounded-fetch.ts";
import { readForeignToken, verifyForeignToken } from "./foreign-token.ts";
import type { ForeignClaims } from "./foreign-token.ts";
import { RemoteJwks } from "./remote-jwks.ts";
import type { WaitUntil } from "./token-keys.ts";
import { compileTrust, findSource, matchRule } from "./trust.ts";
import type { CompiledRule, Source } from "./trust.ts";
import { WorkloadMemory } from "./workload-memory.ts";
import type { KnownWorkload } from "./workload-memory.ts";
import { describeWorkload } from "./workload-record.ts";

/** JWTs of trusted issuers as subjects of the exchange: from a token to the lineage that stands for whoever holds it. */

/** What an isolate keeps: the rules, their issuers' keys, the identities that it has met. */
export interface Trust {
  readonly sources: ReadonlyMap<string, Source>;
  readonly keys: ReadonlyMap<string, RemoteJwks>;
  readonly memory: WorkloadMemory;
}

/** For a configuration without faults. */
export function createTrust({ tokens }: Pick<GatewayConfig, "tokens">): Trust {
  const sources = compileTrust(tokens);
  const keys = new Map([...sources].map(([id, source]) => [id, new RemoteJwks(source)]));
  return { sources, keys, memory: new WorkloadMemory() };
}

export interface WorkloadSubject {
  readonly keyId: KeyId;
  readonly lineageId: LineageId;
  readonly workspace: string;
  /** As the rule says; `null`: as the deployment says. */
  readonly ttlSeconds: number | null;
  readonly rule: string;
  readonly subject: string;
}

export interface WorkloadRefusal {
  /** `revoked`: stopped by an operator (revoked, disabled, expired), itself or with its owner. `full`: its rule has as many identities as it may. */
  readonly kind: "invalid" | "revoked" | "full" | "unavailable";
  /** Safe to show: repeats nothing of the token. */
  readonly detail: string;
  readonly retryAfterSeconds?: number;
}

export interface WorkloadDeps {
  readonly trust: Trust;
  readonly registry: Env["KEY_REGISTRY"];
  readonly fetch: Fetch;
  readonly now: EpochMs;
  readonly waitUntil: WaitUntil;
  /** Latchkey's issuer: the audience of rules that name none. */
  readonly audience: string;
  /** For the audit trail. */
  readonly request: { readonly id: string | null; readonly address: string | null };
}

/**
 * Whom a foreign token stands for. Never throws. Revocation is only looked at when the registry is asked: whoever mints from this
 * has the key's meter admit it first, as for any key.
 */
export async function resolveWorkload(
  jwt: string,
  deps: WorkloadDeps,
): Promise<Result<WorkloadSubject, WorkloadRefusal>> {
  const verified = await verify(jwt, deps);
  if (!verified.ok) {
    counters.foreignTokensRefused++;
    return verified;
  }
  const { source, claims } = verified.value;
  const matched = matchRule(source.rules, claims, deps.audience);
  if (!matched.ok) {
    counters.foreignTokensRefused++;
    return invalid(
      matched.error === "audience"
        ? "The token is for another audience, or for several: it must be for this service alone."
        : "No trust rule is for this workload.",
    );
  }
  const rule = matched.value;
  const known = await ensure(rule, source, claims, deps);
  if (!known.ok) return known;
  const {
    rule: { name, ttlSeconds = null },
    workspace,
  } = rule;
  // It may outlive the foreign token: a job outlasts the five minutes of GitHub's.
  return ok({ ...known.value, workspace, ttlSeconds, rule: name, subject: claims.subject });
}

interface Verified {
  readonly source: Source;
  readonly claims: ForeignClaims;
}

async function verify(jwt: string, deps: WorkloadDeps): Promise<Result<Verified, WorkloadRefusal>> {
  const { trust, now } = deps;
  const token = readForeignToken(jwt);
  if (!token.ok) return invalid(token.error);
  const { header, payload } = token.value;
  const source = findSource(trust.sources, payload);
  const keys = source === null ? undefined : trust.keys.get(source.id);
  if (source === null || keys === undefined) return invalid("The token's issuer is not trusted here.");
  // Before any question: an issuer is not asked for the key of a token that no key could help.
  if (!source.algorithms.includes(header.alg ?? "")) return invalid("The token's algorithm is not allowed.");
  const key = await keys.find(header, deps);
  if (!key.ok) {
    if (key.error === "unknown_key") return invalid("The token's signing key is not one of its issuer's.");
    return unavailable("The keys of the token's issuer cannot be read right now.", ISSUER_COOL_DOWN_MS / 1_000);
  }
  const claims = await verifyForeignToken(jwt, source, key.value, now);
  return claims.ok ? ok({ source, claims: claims.value }) : invalid(claims.error);
}

async function ensure(
  rule: CompiledRule,
  source: Source,
  { subject }: ForeignClaims,
  deps: WorkloadDeps,
): Promise<Result<KnownWorkload, WorkloadRefusal>> {
  const wanted = describeWorkload(rule, source.id, subject);
  const digest = digestKey(JSON.stringify(wanted));
  const { memory } = deps.trust;
  const known = memory.get(digest, deps.now);
  if (known !== null) return ok({ keyId: known.keyId, lineageId: known.lineageId });
  const registry = connectRegistry(deps.registry, rule.workspace);
  const answer = await registry.write((keys) => keys.ensureWorkload(wanted, contextOf(wanted, deps)));
  if (!answer.ok) {
    logError(answer.error.cause, { part: "workload-identity", rule: wanted.rule });
    return unavailable("The identity's record cannot be read right now.", 1);
  }
  if (!answer.value.ok) return refuse(answer.value.error, wanted);
  const { value: record, delivered } = answer.value.value;
  if (record.status !== "active") {
    return err({ kind: "revoked", detail: `This workload's identity ${record.id} is ${record.status}.` });
  }
  // Its meter would not know what is minted from it.
  if (!delivered) return unavailable("The identity's record is on its way.", 1);
  const workload = { keyId: record.id, lineageId: record.lineageId };
  memory.put(digest, workload, deps.now);
  return ok(workload);
}

function contextOf({ rule }: NewWorkload, { request }: WorkloadDeps): WriteContext {
  const actor = { kind: "system", id: `trust:${rule}`, address: request.address, requestId: request.id } as const;
  return { actor, idempotency: null, ifGeneration: null };
}

function refuse(error: RegistryError, { rule, owner }: NewWorkload): Result<never, WorkloadRefusal> {
  const { code, detail } = error;
  if (error.pointer === "/owner")
    return err({ kind: "revoked", detail: `This workload's owner ${owner} is disabled.` });
  logWarning("a workload's identity cannot be made", { rule, code, reason: detail });
  if (code === "storage_unavailable") return unavailable("The identity's record cannot be written right now.", 1);
  return err({ kind: "full", detail: "The trust rule for this workload takes no further identities." });
}

function invalid(detail: string): Result<never, WorkloadRefusal> {
  return err({ kind: "invalid", detail });
}

function unavailable(detail: string, retryAfterSeconds: number): Result<never, WorkloadRefusal> {
  return err({ kind: "unavailable", detail, retryAfterSeconds });
}
