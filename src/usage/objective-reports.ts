import { reportConditions } from "../../durable-objects/alert-center/client.ts";
import type { KeyRegistryApi } from "../../durable-objects/key-registry/api.ts";
import { askLedger, ledgerByName } from "../../durable-objects/usage-ledger/client.ts";
import { type BurnCount, DEFAULT_MIN_BAD, findBurn } from "../alerts/burn-rate.ts";
import type { Condition } from "../alerts/condition.ts";
import { type AlertsConfig, DEFAULT_OBJECTIVES } from "../alerts/config.ts";
import { ALERT_KINDS, type AlertKind } from "../alerts/kinds.ts";
import { REGISTRY_TIMEOUT_MS, REVOCATION_BOUND_SECONDS } from "../constants.ts";
import { within } from "../platform/clock.ts";
import type { AlertReportEnv } from "./alert-reports.ts";
import { type Health, SLOW_CHECK_MS, sumHealth } from "./health.ts";
import { ledgerNames } from "./shard.ts";

/** Whether the promises about checks are kept, each minute: by burn rates of their error budgets, and for revocations one by one. */

const HOUR_MS = 3_600_000;
/** What was admitted in grace is told of while it goes on. */
const GRACE_SECONDS = 300;
/** Revocations of the last hour: their last requests may come late. The newest of more than this. */
const REVOCATIONS_LOOKED_AT = 200;

/** @param now epoch ms. */
export async function reportObjectives(
  env: AlertReportEnv,
  workspace: string,
  config: AlertsConfig | undefined,
  now: number,
): Promise<void> {
  const health = await readHealth(env, workspace);
  const conditions = conditionsOf(health, { ...DEFAULT_OBJECTIVES, ...config?.objectives }, now);
  await reportConditions(env, workspace, [...conditions, await lookAtRevocations(env, workspace, now)]);
}

async function readHealth(env: AlertReportEnv, workspace: string): Promise<readonly Health[]> {
  const parts: Health[] = [];
  for (const name of ledgerNames(workspace))
    parts.push(...(await askLedger(ledgerByName(env.USAGE_LEDGER, name).health())));
  return sumHealth(parts);
}

/** Each of them, as it is or as being over. Pure. */
function conditionsOf(
  health: readonly Health[],
  { authSuccess, authLatency }: typeof DEFAULT_OBJECTIVES,
  now: number,
): readonly Condition[] {
  const budgets = [
    { kind: "slo_auth_success", objective: authSuccess, bad: "undecided", what: "could not be decided" },
    { kind: "slo_latency", objective: authLatency, bad: "slow", what: `took more than ${SLOW_CHECK_MS} ms to decide` },
  ] as const;
  return [
    ...budgets.map(({ kind, objective, bad, what }) => {
      const counts = health.map((of): BurnCount => ({ start: of.start, good: of.requests - of[bad], bad: of[bad] }));
      return burnCondition(kind, what, { objective, counts, now: Math.floor(now / 1_000) });
    }),
    graceCondition(health, now),
  ];
}

function burnCondition(
  kind: "slo_auth_success" | "slo_latency",
  what: string,
  input: Parameters<typeof findBurn>[0],
): Condition {
  const burn = findBurn(input);
  const share = (value: number): string => `${Number((value * 100).toPrecision(3))} %`;
  if (burn === null)
    return conditionOf(kind, { summary: "The error budget lasts.", numbers: {}, at: input.now * 1_000 });
  const { good, bad, long, short, longSeconds, severity } = burn;
  const hours = longSeconds / 3_600;
  return {
    ...conditionOf(kind, {
      summary: `${bad} of ${good + bad} requests in ${hours} h ${what} (${share(bad / (good + bad))}; the objective allows ${share(1 - input.objective)}): the budget burns ${Math.round(long)} times too fast.`,
      numbers: {
        bad,
        requests: good + bad,
        hours,
        burnRate: Number(long.toFixed(1)),
        burnRateNow: Number(short.toFixed(1)),
      },
      at: input.now * 1_000,
      isSo: true,
    }),
    severity,
  };
}

function graceCondition(health: readonly Health[], now: number): Condition {
  const recent = health.filter(({ start }) => start > now / 1_000 - GRACE_SECONDS - 60);
  const degraded = recent.reduce((sum, of) => sum + of.degraded, 0);
  const requests = recent.reduce((sum, of) => sum + of.requests, 0);
  return conditionOf("degraded", {
    summary: `${degraded} of ${requests} requests in ${GRACE_SECONDS / 60} minutes were admitted in grace: their meter could not be asked.`,
    numbers: { degraded, requests },
    at: now,
    isSo: degraded >= DEFAULT_MIN_BAD,
  });
}

/** One that was late is one too many: each of the last hour is held to the bound. */
async function lookAtRevocations(env: AlertReportEnv, workspace: string, now: number): Promise<Condition> {
  // The generated Env knows the class, whose type would pull it in here; its RPC surface is this interface.
  const registry = env.KEY_REGISTRY.getByName(workspace) as KeyRegistryApi;
  const filter = { action: "key.revoke", from: new Date(now - HOUR_MS).toISOString() };
  const made = await within(
    registry.listAudit(filter, REVOCATIONS_LOOKED_AT, null),
    REGISTRY_TIMEOUT_MS,
    "the registry",
  );
  const revokedAt = new Map(made.ok ? made.value.data.map(({ subject, time }) => [subject.id, Date.parse(time)]) : []);
  const late: { readonly keyId: string; readonly lagMs: number }[] = [];
  for (const name of revokedAt.size === 0 ? [] : ledgerNames(workspace)) {
    const seen = await askLedger(ledgerByName(env.USAGE_LEDGER, name).revocationsSeen([...revokedAt.keys()]));
    for (const { keyId, lastAcceptanceAt } of seen) {
      const lagMs = (lastAcceptanceAt ?? 0) - (revokedAt.get(keyId) ?? Infinity);
      if (lagMs > REVOCATION_BOUND_SECONDS * 1_000) late.push({ keyId, lagMs });
    }
  }
  const worst = late.toSorted((a, b) => b.lagMs - a.lagMs)[0];
  const seconds = (worst?.lagMs ?? 0) / 1_000;
  return conditionOf("slo_revocation_lag", {
    summary:
      worst === undefined
        ? "Revoked keys stop in time."
        : `${late.length} of ${revokedAt.size} keys revoked in the last hour were let in for more than ${REVOCATION_BOUND_SECONDS} s after it, ${worst.keyId} for ${seconds.toFixed(1)} s.`,
    numbers: { late: late.length, revoked: revokedAt.size, longestSeconds: seconds },
    at: now,
    isSo: worst !== undefined,
  });
}

interface Told {
  readonly summary: string;
  readonly numbers: Readonly<Record<string, number>>;
  /** Epoch ms. */
  readonly at: number;
  readonly isSo?: boolean;
}

function conditionOf(kind: AlertKind, { summary, numbers, at, isSo = false }: Told): Condition {
  return {
    kind,
    severity: ALERT_KINDS[kind].severity,
    owner: null,
    team: null,
    subject: "",
    summary,
    evidence: { path: "/_latchkey/on-call", numbers },
    at,
    ...(isSo ? {} : { over: true }),
  };
}
