import type { PricingConfig } from "../config.ts";
import type { Family } from "../usage/metrics-text.ts";
import { DEFAULT_MAX_AGE_DAYS, DEFAULT_STALE_DAYS } from "./catalogue.ts";
import { type MeasureEnv, readMeasures } from "./collect.ts";
import { measureFamilies } from "./families.ts";

/** The measures of the last 24 hours, for a scraper: it comes each quarter of a minute, and they are read once a minute. */

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;
const KEPT_MS = MINUTE_MS;
/** Workspaces whose figures an isolate keeps. */
const MAX_KEPT = 50;
export const MAX_TOP = 50;

interface Kept {
  readonly at: number;
  readonly families: readonly Family[];
}

const kept = new Map<string, Kept>();

/** @param top single keys to tell of; 0: none. Throws where they cannot be read. */
export async function scrapeMeasures(
  env: MeasureEnv,
  workspace: string,
  { top, pricing, now }: { readonly top: number; readonly pricing: PricingConfig | null; readonly now: number },
): Promise<readonly Family[]> {
  const name = `${workspace} ${top}`;
  const known = kept.get(name);
  if (known !== undefined && known.at <= now && now < known.at + KEPT_MS) return known.families;
  const to = (Math.floor(now / MINUTE_MS) + 1) * MINUTE_MS;
  const policy = { maxAgeDays: DEFAULT_MAX_AGE_DAYS, staleDays: DEFAULT_STALE_DAYS };
  const read = await readMeasures(env, workspace, { from: to - DAY_MS, to, ...policy, top: Math.max(1, top), pricing });
  if (!read.ok) throw new Error("measures could not be read", { cause: read.error });
  const families = measureFamilies(read.value.measures, workspace, top > 0);
  if (kept.size >= MAX_KEPT) kept.clear();
  kept.set(name, { at: now, families });
  return families;
}
