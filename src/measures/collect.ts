import { alertCenterOf, askAlertCenter } from "../../durable-objects/alert-center/client.ts";
import type { KeyRecord, KeyRegistryApi } from "../../durable-objects/key-registry/api.ts";
import { connectRegistry } from "../../durable-objects/key-registry/client.ts";
import { askLedger, ledgerByName, queryUsage } from "../../durable-objects/usage-ledger/client.ts";
import type { AlertKind } from "../alerts/kinds.ts";
import type { PricingConfig } from "../config.ts";
import { logError } from "../platform/log.ts";
import { err, ok, type Result } from "../result.ts";
import type { UsageAnswer, UsageFilters, UsageQuery } from "../usage/query.ts";
import { ledgerNames } from "../usage/shard.ts";
import { computeMeasures, type Measure } from "./compute.ts";
import { leakTimeOf } from "./leak-note.ts";
import { isLeak, isWithin } from "./measured.ts";
import type { KeyCodeUse, MeasuredKey, MeasureSources, RevocationSighting } from "./sources.ts";

/** Reads what the measures of a workspace are computed from: its registry, ledgers and alert center. All reads, none of them repeated. */

export type MeasureEnv = Pick<Env, "KEY_REGISTRY" | "USAGE_LEDGER" | "ALERT_CENTER">;

export interface MeasureQuestion extends Pick<MeasureSources, "from" | "to" | "maxAgeDays" | "staleDays" | "top"> {
  readonly pricing: PricingConfig | null;
}

export interface MeasuresRead {
  readonly measures: readonly Measure[];
  /** What the ledger counted: whole buckets. Epoch ms. */
  readonly from: number;
  readonly to: number;
}

const KEYS_PER_PAGE = 200;
/** 10,000 keys; what is past them is said not to be in the figures. */
const MOST_PAGES = 50;
const MOST_ALERT_PAGES = 10;
/** Leaks of one answer that are looked at one by one. */
const MOST_LEAKS = 20;
/** Of one call to a ledger. */
const SIGHTINGS_PER_CALL = 500;

/** Kinds that tell of somebody who should not be there. */
const ABUSE: ReadonlySet<AlertKind> = new Set<AlertKind>([
  "spike",
  "odd_hours_spend",
  "quiet_thief",
  "new_place",
  "auth_failures",
  "credential_stuffing",
  "idle_key_woke",
  "live_key_in_test",
  "canary_used",
]);

/** `err`: registry or ledger did not answer; without either there is nothing to compute from. */
export async function readMeasures(
  env: MeasureEnv,
  workspace: string,
  question: MeasureQuestion,
): Promise<Result<MeasuresRead, unknown>> {
  const { from, to, pricing } = question;
  const ask = (query: Pick<UsageQuery, "groupBy"> & Partial<UsageQuery>) =>
    queryUsage(env.USAGE_LEDGER, workspace, { ...whole(from, to), filters: {}, ...query });
  const [keys, use, spread, abuseAlerts] = await Promise.all([
    readKeys(env, workspace),
    ask({ groupBy: ["key", "code"] }),
    ask({ groupBy: [], distributions: true }),
    readAbuse(env, workspace, question),
  ]);
  if (!keys.ok) return keys;
  if (!spread.ok) return err(spread.error);
  // More keys than one answer holds: what is not of single keys can be told all the same.
  const useCut = !use.ok && use.error.code === "request_invalid";
  const counted = useCut ? await ask({ groupBy: ["code"] }) : use;
  if (!counted.ok) return err(counted.error);
  try {
    const sightings = await readSightings(env, workspace, keys.value.keys, question);
    const leaks = await readLeakTimes(env, workspace, question);
    const all = keys.value.keys.map((key) => ({ ...key, leakedAt: leaks.get(key.id) ?? key.leakedAt }));
    const afterLeak = await readAfterLeak(env, workspace, all, question);
    const measures = computeMeasures({
      ...question,
      countedMs: Date.parse(counted.value.to) - Date.parse(counted.value.from),
      use: usesOf(counted.value),
      useCut,
      authMs: spread.value.totals.authMs ?? null,
      keys: all,
      keysCut: keys.value.cut,
      sightings,
      afterLeak,
      abuseAlerts,
      pricing: pricing === null ? null : { ...pricing, perUnitByPlan: pricing.perUnitByPlan ?? {} },
    });
    return ok({ measures, from: Date.parse(counted.value.from), to: Date.parse(counted.value.to) });
  } catch (cause) {
    return err(cause);
  }
}

/** One bucket, however long: the ledger takes whole days from within it, and hours and minutes at its edges where it has them. */
function whole(from: number, to: number): Pick<UsageQuery, "from" | "to" | "granularity" | "periods"> {
  return { from, to, granularity: "month", periods: [from, to] };
}

function usesOf({ series }: UsageAnswer): readonly KeyCodeUse[] {
  return series.map((row) => ({
    keyId: typeof row["key"] === "string" ? row["key"] : null,
    code: String(row["code"]),
    requests: row.requests,
    units: row.cost,
  }));
}

type Listed = Awaited<ReturnType<KeyRegistryApi["list"]>>;

async function readKeys(
  env: MeasureEnv,
  workspace: string,
): Promise<Result<{ readonly keys: readonly MeasuredKey[]; readonly cut: boolean }, unknown>> {
  const registry = connectRegistry(env.KEY_REGISTRY, workspace);
  const keys: MeasuredKey[] = [];
  let cursor: string | null = null;
  for (let page = 0; page < MOST_PAGES; page++) {
    const at: string | null = cursor;
    const asked = await registry.read((all): Promise<Listed> => all.list({}, KEYS_PER_PAGE, at));
    if (!asked.ok) return err(asked.error.cause);
    const listed: Listed = asked.value;
    if (!listed.ok) return err(listed.error);
    keys.push(...listed.value.data.map(measuredKey));
    cursor = listed.value.nextCursor;
    if (cursor === null) return ok({ keys, cut: false });
  }
  return ok({ keys, cut: true });
}

export function measuredKey(key: KeyRecord): MeasuredKey {
  const at = (time: string | null): number | null => (time === null ? null : Date.parse(time));
  const { leakedAt } = key.metadata;
  const leaked = typeof leakedAt === "string" ? Date.parse(leakedAt) : Number.NaN;
  return {
    id: key.id,
    status: key.status,
    plan: key.plan,
    environment: key.environment,
    createdAt: Date.parse(key.createdAt),
    expiresAt: at(key.expiresAt),
    notAfter: at(key.notAfter),
    rotatedFrom: key.rotatedFrom,
    revokedAt: at(key.revokedAt),
    revokedReason: key.revokedReason,
    lastUsedAt: at(key.lastUsedAt),
    leakedAt: Number.isFinite(leaked) ? leaked : null,
  };
}

async function readSightings(
  env: MeasureEnv,
  workspace: string,
  keys: readonly MeasuredKey[],
  { from, to }: MeasureQuestion,
): Promise<readonly RevocationSighting[]> {
  const revoked = keys.filter(({ revokedAt }) => isWithin(revokedAt, from, to)).map(({ id }) => id);
  const seen: RevocationSighting[] = [];
  for (let first = 0; first < revoked.length; first += SIGHTINGS_PER_CALL) {
    const some = revoked.slice(first, first + SIGHTINGS_PER_CALL);
    // A lineage's events are in one ledger; which, a key's id does not tell.
    for (const name of ledgerNames(workspace))
      seen.push(...(await askLedger(ledgerByName(env.USAGE_LEDGER, name).revocationsSeen(some))));
  }
  return seen;
}

/** As whoever revoked a key said. */
async function readLeakTimes(
  env: MeasureEnv,
  workspace: string,
  { from, to }: MeasureQuestion,
): Promise<ReadonlyMap<string, number>> {
  const registry = connectRegistry(env.KEY_REGISTRY, workspace);
  const filter = { action: "key.revoke", from: new Date(from).toISOString(), to: new Date(to).toISOString() };
  const times = new Map<string, number>();
  let cursor: string | null = null;
  for (let page = 0; page < MOST_PAGES; page++) {
    const at: string | null = cursor;
    const asked = await registry.read((audit): Promise<Audited> => audit.listAudit(filter, KEYS_PER_PAGE, at));
    if (!asked.ok) throw asked.error.cause;
    const listed: Audited = asked.value;
    if (!listed.ok) throw new Error(listed.error.detail);
    for (const { subject, note } of listed.value.data) {
      const time = leakTimeOf(note);
      if (time !== null) times.set(subject.id, time);
    }
    cursor = listed.value.nextCursor;
    if (cursor === null) break;
  }
  return times;
}

type Audited = Awaited<ReturnType<KeyRegistryApi["listAudit"]>>;

async function readAfterLeak(
  env: MeasureEnv,
  workspace: string,
  keys: readonly MeasuredKey[],
  { from, to }: MeasureQuestion,
): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  const leaks = keys
    .filter((key) => isLeak(key.revokedReason) && isWithin(key.revokedAt, from, to))
    .slice(0, MOST_LEAKS);
  for (const { id, leakedAt } of leaks) {
    if (leakedAt === null || leakedAt >= to) continue;
    const filters: UsageFilters = { key: [id] };
    const after = await queryUsage(env.USAGE_LEDGER, workspace, { ...whole(leakedAt, to), groupBy: [], filters });
    if (after.ok) counts.set(id, after.value.totals.allowed);
  }
  return counts;
}

/** `null`: they could not be read, and the other measures can be told without. */
async function readAbuse(
  env: MeasureEnv,
  workspace: string,
  { from, to }: MeasureQuestion,
): Promise<ReadonlyMap<string, number> | null> {
  const kinds = new Map<string, number>();
  try {
    let cursor: string | null = null;
    for (let page = 0; page < MOST_ALERT_PAGES; page++) {
      const listed: Awaited<ReturnType<ReturnType<typeof alertCenterOf>["list"]>> = await askAlertCenter(
        alertCenterOf(env, workspace).list({}, KEYS_PER_PAGE, cursor),
      );
      if (!listed.ok) throw new Error(listed.error.detail);
      for (const { kind, startedAt } of listed.value.data) {
        if (ABUSE.has(kind) && isWithin(startedAt, from, to)) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
      }
      cursor = listed.value.nextCursor;
      if (cursor === null) break;
    }
    return kinds;
  } catch (error) {
    logError(error, { part: "measures", message: "alerts could not be read" });
    return null;
  }
}
