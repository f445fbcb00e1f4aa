/**
 * When a detector speaks. Every figure can be set by a policy; `docs/detection.md` has where each came from and what it costs.
 * Times in hours where the name does not say otherwise.
 */

export interface SpikeThresholds {
  readonly historyHours: number;
  /** Hours with requests. */
  readonly activeHours: number;
  /** Times the usual for this hour of the week, two hours in a row. */
  readonly ratio: number;
  /** … one hour, when most of what is above it comes from providers that are new to a key that stays with its own. */
  readonly ratioFromNewProviders: number;
  /** … and times the most unusual hour in memory, so that a key of bursts is judged by its own. */
  readonly overOwnWorst: number;
  /** Requests above the usual. */
  readonly leastExcess: number;
}

export interface OddHoursThresholds {
  readonly historyHours: number;
  /** Share of these hours that had requests: a key that is used now and then has no nights. */
  readonly activeShare: number;
  /** Rise of the odd hours' spend that is not explained by the others' rise: 0.2 is +20 %. */
  readonly rise: number;
  /** So many nights, of which at least so many must have risen: a backlog that is worked off takes one or two. */
  readonly nights: readonly { readonly of: number; readonly least: number }[];
  /** Times the largest rise of so many nights in memory. */
  readonly overOwnMost: number;
  /** … each by so many robust deviations of this key's own nights. */
  readonly deviations: number;
  /** Units more than usual in a night, and as a share of a whole day's. */
  readonly leastUnits: number;
  readonly leastShare: number;
}

export interface QuietThiefThresholds {
  readonly historyHours: number;
  /** Share of the limit that the minutes of an hour must reach for it to count, and that all of these hours must reach together. */
  readonly nearLimit: number;
  readonly nearLimitTogether: number;
  /** The busy tenth of the minutes over the quiet tenth. */
  readonly flatness: number;
  /** Such hours on end, day or night, when most comes from providers or countries that are new to the key, and else. */
  readonly hoursFromNewProvider: number;
  readonly hoursFromKnownProviders: number;
  /** A key that had such hours for more than this share of its past always did so. */
  readonly ownHabit: number;
}

export interface NewPlaceThresholds {
  readonly historyHours: number;
  /** Hours with requests, without which its places are not known. */
  readonly activeHours: number;
  /** Requests from the new place since it appeared. */
  readonly leastFromCountry: number;
  readonly leastFromProvider: number;
  readonly leastFromNetwork: number;
  /** Hours for which the known places must go on beside it. */
  readonly hours: number;
  /** For a new network of a known provider, which may be no more than another machine of the owner's: hours … */
  readonly hoursForNetwork: number;
  /** … and share of the usual that it must add. */
  readonly networkShare: number;
  /** The known places must go on with this share of their usual: else the key has moved, or travels. */
  readonly usualGoesOn: number;
  /** New ones in the four weeks before that a key may have had: more, and it is one that goes around. */
  readonly mostNewBefore: number;
}

export interface AuthFailureThresholds {
  readonly historyHours: number;
  /** Failures in a window of so many minutes. */
  readonly windows: readonly { readonly minutes: number; readonly least: number }[];
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
  /** Hours with requests, without which its usual share is not known. */
  readonly activeHours: number;
  readonly windowMinutes: number;
  readonly least: number;
  /** Lower end of the share of errors. */
  readonly share: number;
  /** Times the key's usual share. */
  readonly ratio: number;
  /** The worst minutes on end are left out: what is over by then was a stumble. */
  readonly stumbleMinutes: number;
  /** Standard errors. */
  readonly deviations: number;
}

export interface IdleThresholds {
  readonly silenceHours: number;
  /** Times the longest silence before. */
  readonly overOwnLongest: number;
  readonly least: number;
  /** Share of the requests from networks where the key was used before: its owner came back, unless an hour has … */
  readonly knownShare: number;
  /** … so many times the requests of the largest hour that the key ever had. */
  readonly overOwnLargest: number;
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
  spike: {
    historyHours: 504,
    activeHours: 48,
    ratio: 7,
    ratioFromNewProviders: 3,
    overOwnWorst: 1.5,
    leastExcess: 200,
  },
  oddHours: {
    historyHours: 672,
    activeShare: 0.25,
    rise: 0.2,
    nights: [
      { of: 3, least: 3 },
      { of: 5, least: 4 },
      { of: 7, least: 5 },
    ],
    overOwnMost: 1.3,
    deviations: 2.6,
    leastUnits: 100,
    leastShare: 0.01,
  },
  quietThief: {
    historyHours: 336,
    nearLimit: 0.45,
    nearLimitTogether: 0.6,
    flatness: 1.35,
    hoursFromNewProvider: 6,
    hoursFromKnownProviders: 30,
    ownHabit: 0.03,
  },
  newPlace: {
    historyHours: 504,
    activeHours: 48,
    leastFromCountry: 100,
    leastFromProvider: 120,
    leastFromNetwork: 300,
    hours: 5,
    hoursForNetwork: 20,
    networkShare: 1,
    usualGoesOn: 0.6,
    mostNewBefore: 1,
  },
  authFailures: {
    historyHours: 72,
    windows: [
      { minutes: 10, least: 35 },
      { minutes: 30, least: 50 },
    ],
    ratio: 4,
    share: 0.005,
  },
  stuffing: { keysRefused: 20, share: 0.5 },
  errorJump: {
    historyHours: 72,
    activeHours: 24,
    windowMinutes: 15,
    least: 15,
    share: 0.03,
    ratio: 3,
    stumbleMinutes: 5,
    deviations: 3,
  },
  idle: { silenceHours: 720, overOwnLongest: 2, least: 10, knownShare: 0.8, overOwnLargest: 3 },
  testContext: { least: 1 },
  canary: { least: 1 },
};
