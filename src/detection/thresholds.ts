/**
 * When a detector speaks. Every figure can be set by a policy; `docs/detection.md` has where each came from and what it costs.
 * Times in hours where the name does not say otherwise.
 */

export interface SpikeThresholds {
  readonly historyHours: number;
  /** Times the usual for this hour of the week. */
  readonly ratio: number;
  /** … when most of what is above it comes from places that are new to the key. */
  readonly ratioFromNewPlaces: number;
  /** … and times the most unusual hour in memory, so that a key of bursts is judged by its own. */
  readonly overOwnWorst: number;
  /** Requests above the usual. */
  readonly leastExcess: number;
}

export interface OddHoursThresholds {
  readonly historyHours: number;
  /** Rise of the odd hours' spend that is not explained by the others' rise: 0.2 is +20 %. */
  readonly rise: number;
  /** Robust deviations of this key's own nights, two nights together. */
  readonly deviations: number;
  /** One night is enough for this. */
  readonly riseAtOnce: number;
  readonly deviationsAtOnce: number;
  /** Units more than usual in a night. */
  readonly leastUnits: number;
}

export interface QuietThiefThresholds {
  readonly historyHours: number;
  /** Share of the limit that a minute must reach for its hour to count. */
  readonly nearLimit: number;
  /** The busy tenth of the minutes over the quiet tenth. */
  readonly flatness: number;
  /** Such hours on end, day or night, when most comes from providers (networks, places) that are new to the key, or from known ones. */
  readonly hoursFromNewProvider: number;
  readonly hoursFromNewNetwork: number;
  readonly hoursFromKnownPlaces: number;
  /** A key that had such hours for more than this share of its past always did so. */
  readonly ownHabit: number;
}

export interface NewPlaceThresholds {
  readonly historyHours: number;
  /** Requests from the new place since it appeared. */
  readonly leastFromCountry: number;
  readonly leastFromProvider: number;
  readonly leastFromNetwork: number;
  /** Share of the usual that a new network of a known provider must add. */
  readonly networkShare: number;
  /** The known places must go on with this share of their usual: else the key has moved, or travels. */
  readonly usualGoesOn: number;
  /** New ones in the four weeks before that a key may have had: more, and it is one that goes around. */
  readonly mostNewBefore: number;
}

export interface AuthFailureThresholds {
  readonly historyHours: number;
  readonly windowMinutes: number;
  readonly least: number;
  /** Times what is usual for it. */
  readonly ratio: number;
  /** Of the window's requests. */
  readonly share: number;
}

export interface StuffingThresholds {
  /** Distinct keys that were refused, in a window of about ten minutes. */
  readonly keysRefused: number;
  /** Of the distinct keys tried. */
  readonly share: number;
}

export interface ErrorJumpThresholds {
  readonly historyHours: number;
  readonly windowMinutes: number;
  readonly least: number;
  /** Lower end of the share of errors. */
  readonly share: number;
  /** Times the key's usual share. */
  readonly ratio: number;
  /** Minutes with such a share: shorter is a stumble. */
  readonly leastMinutes: number;
  /** Standard errors. */
  readonly deviations: number;
}

export interface IdleThresholds {
  readonly silenceHours: number;
  /** Times the longest silence before. */
  readonly overOwnLongest: number;
  readonly least: number;
  /** Share of the requests from networks where the key was used before: its owner came back. */
  readonly knownShare: number;
}

export interface Thresholds {
  readonly spike: SpikeThresholds;
  readonly oddHours: OddHoursThresholds;
  readonly quietThief: QuietThiefThresholds;
  readonly newPlace: NewPlaceThresholds;
  readonly authFailures: AuthFailureThresholds;
  readonly stuffing: StuffingThresholds;
  readonly errorJump: ErrorJumpThresholds;
  readonly idle: IdleThresholds;
  /** Uses; each is one too many. */
  readonly testContext: { readonly least: number };
  readonly canary: { readonly least: number };
}

export const DEFAULT_THRESHOLDS: Thresholds = {
  spike: { historyHours: 504, ratio: 5, ratioFromNewPlaces: 3, overOwnWorst: 1.5, leastExcess: 200 },
  oddHours: {
    historyHours: 672,
    rise: 0.2,
    deviations: 5,
    riseAtOnce: 1,
    deviationsAtOnce: 8,
    leastUnits: 100,
  },
  quietThief: {
    historyHours: 336,
    nearLimit: 0.55,
    flatness: 1.35,
    hoursFromNewProvider: 6,
    hoursFromNewNetwork: 12,
    hoursFromKnownPlaces: 24,
    ownHabit: 0.03,
  },
  newPlace: {
    historyHours: 504,
    leastFromCountry: 30,
    leastFromProvider: 60,
    leastFromNetwork: 300,
    networkShare: 0.25,
    usualGoesOn: 0.6,
    mostNewBefore: 1,
  },
  authFailures: { historyHours: 72, windowMinutes: 10, least: 25, ratio: 4, share: 0.1 },
  stuffing: { keysRefused: 20, share: 0.5 },
  errorJump: {
    historyHours: 72,
    windowMinutes: 15,
    least: 20,
    share: 0.05,
    ratio: 3,
    leastMinutes: 6,
    deviations: 3,
  },
  idle: { silenceHours: 720, overOwnLongest: 2, least: 10, knownShare: 0.8 },
  testContext: { least: 1 },
  canary: { least: 1 },
};
