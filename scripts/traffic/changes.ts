import type { Draws } from "./random.ts";
import type { Site } from "./places.ts";
import { carrierSite, cloudSite, countryFor, neighbour } from "./places.ts";
import type { Shape } from "./shapes.ts";

/**
 * What happens to honest keys. None of it should raise an alert. Rates are for one key and week and are guesses, on the high side where
 * nothing was known; `docs/detection.md` has them in a table.
 */

export type Change = { readonly since: number; readonly until: number } & (
  | { readonly kind: "level"; readonly factor: number }
  | { readonly kind: "campaign"; readonly factor: number }
  | { readonly kind: "backfill"; readonly level: number; readonly site: Site | null }
  | { readonly kind: "night_job"; readonly factor: number }
  | { readonly kind: "move"; readonly site: Site }
  | { readonly kind: "extra_site"; readonly site: Site; readonly share: number }
  | { readonly kind: "relabel"; readonly country: string }
  | { readonly kind: "failures"; readonly perHour: number; readonly minutes: number }
  | { readonly kind: "retries"; readonly factor: number; readonly minutes: number }
);

export const CHANGE_RATES = {
  /** A deploy raises or lowers the rate for good. One in seven at least doubles it. */
  deploy: 0.03,
  /** A campaign, a launch, a sale: 2.5 times for hours or days; one in 70 is past 6 times. */
  campaign: 0.02,
  /** Somebody works off a backlog at a fixed rate, mostly just below the limit, for 5 hours, one in 25 for more than 20. */
  backfill: 0.01,
  /** A new job at night, there to stay. */
  nightJob: 0.004,
  /** The same provider, another block: a NAT or a pool that changed. Old addresses end. */
  natChange: 0.02,
  /** One more block of the same provider, beside the old ones. */
  scaleOut: 0.02,
  /** To another provider or region, within hours; the old one ends. */
  migration: 0.003,
  /** A database of addresses puts a block into another country. */
  relabel: 0.002,
  /** A developer's network of two days (people only). */
  travel: 0.05,
  /** An owner's new office (people only). */
  newOffice: 0.005,
  /** Somebody tries a call that the key may not make, a few times. */
  scopeMistake: 0.02,
  /** An old key in a rotation goes on being tried for some hours. */
  straggler: 0.01,
  /** A client that repeats what was refused or slow, for minutes. */
  retries: 0.02,
} as const;

export interface Subject {
  readonly shape: Shape;
  readonly home: Site;
  readonly isCloud: boolean;
}

/** From `start` for `hours`, hours since the epoch. */
export function changesOf(subject: Subject, draws: Draws, start: number, hours: number): readonly Change[] {
  const changes: Change[] = [];
  const weeks = hours / 168;
  const end = start + hours;
  const happen = (perWeek: number, make: (at: number) => Change): void => {
    for (let left = draws.poisson(perWeek * weeks); left > 0; left--) changes.push(make(start + draws.whole(0, hours)));
  };
  const lasting = (at: number, length: number) => ({
    since: at,
    until: Math.min(end, at + Math.max(1, Math.round(length))),
  });
  const R = CHANGE_RATES;
  happen(R.deploy, (at) => ({ kind: "level", since: at, until: end, factor: draws.logNormal(1.3, 0.4) }));
  happen(R.campaign, (at) => ({
    kind: "campaign",
    ...lasting(at, draws.logNormal(10, 0.8)),
    factor: Math.max(1.2, draws.logNormal(2.5, 0.4)),
  }));
  const rests = subject.shape === "idle" || subject.shape === "quarterly";
  happen(rests ? 0 : R.nightJob, (at) => ({ kind: "night_job", since: at, until: end, factor: draws.between(0.2, 2) }));
  happen(R.scopeMistake, (at) => ({
    kind: "failures",
    ...lasting(at, 1),
    perHour: draws.whole(3, 20),
    minutes: draws.whole(2, 20),
  }));
  happen(R.straggler, (at) => ({
    kind: "failures",
    ...lasting(at, draws.whole(2, 12)),
    perHour: draws.whole(2, 60),
    minutes: 60,
  }));
  happen(R.retries, (at) => ({
    kind: "retries",
    ...lasting(at, 1),
    factor: draws.between(2, 6),
    minutes: draws.whole(5, 40),
  }));
  happen(R.backfill, (at) => ({
    kind: "backfill",
    ...lasting(at, Math.min(72, draws.logNormal(5, 0.8))),
    level: draws.between(0.5, 0.95),
    site: draws.chance(0.2) ? neighbour(subject.home, draws) : null,
  }));
  if (subject.shape !== "mobile") placeChanges(subject, draws, { happen, lasting, end });
  return changes;
}

interface Calendar {
  readonly happen: (perWeek: number, make: (at: number) => Change) => void;
  readonly lasting: (at: number, length: number) => { readonly since: number; readonly until: number };
  readonly end: number;
}

function placeChanges({ home, isCloud, shape }: Subject, draws: Draws, { happen, lasting, end }: Calendar): void {
  const R = CHANGE_RATES;
  happen(R.natChange, (at) => ({ kind: "move", since: at, until: end, site: neighbour(home, draws) }));
  happen(R.relabel, (at) => ({ kind: "relabel", since: at, until: end, country: countryFor(draws) }));
  happen(R.migration, (at) => ({
    kind: "move",
    since: at,
    until: end,
    site: isCloud ? cloudSite(draws) : carrierSite(draws, home.country),
  }));
  if (isCloud) {
    happen(R.scaleOut, (at) => ({
      kind: "extra_site",
      since: at,
      until: end,
      site: neighbour(home, draws),
      share: draws.between(0.05, 0.4),
    }));
  }
  if (shape !== "people") return;
  happen(R.travel, (at) => ({
    kind: "move",
    ...lasting(at, draws.whole(8, 120)),
    site: carrierSite(draws, draws.chance(0.5) ? home.country : countryFor(draws)),
  }));
  happen(R.newOffice, (at) => ({
    kind: "extra_site",
    since: at,
    until: end,
    site: carrierSite(draws, draws.chance(0.6) ? home.country : countryFor(draws)),
    share: draws.between(0.1, 0.6),
  }));
}
