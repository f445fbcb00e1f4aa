import { describe, expect, test } from "vitest";
import { detectCredentialStuffing } from "../../src/detection/credential-stuffing.ts";
import { detectInMinutes } from "../../src/detection/detect.ts";
import type { Finding } from "../../src/detection/finding.ts";
import { FINDING_KINDS } from "../../src/detection/finding.ts";
import { isFlatNearLimit } from "../../src/detection/quiet-thief.ts";
import type { KeyFacts, KeyHour, KeyMinute } from "../../src/detection/rows.ts";
import { sentenceOf } from "../../src/detection/sentence.ts";
import { DEFAULT_THRESHOLDS } from "../../src/detection/thresholds.ts";
import { dryRun, joinFindings, judgeHour, newWatch, noteHour, profileOf } from "../../src/detection/watch.ts";
import { FIRST_HOUR, keyHour, place } from "../support/detection-rows.ts";

/** Each detector on traffic that was written by hand: speaks where it should, and is silent a step beside it. */

const FACTS: KeyFacts = { keyId: "key_a", environment: "live", limitPerMinute: 100, isCanary: false };
const HOME = place();
const ELSEWHERE = place({ country: "BR", asn: 64_700, network: "10.9.9.0/24" });
const WEEKS = 6;
const NOW = FIRST_HOUR + WEEKS * 168;

/** Busy by day, quiet by night, a little different from hour to hour. */
function usualAt(hour: number): number {
  const ofDay = hour % 24;
  return (ofDay >= 8 && ofDay < 20 ? 1_000 : 100) + ((hour * 37) % 20);
}

function usualRow(hour: number, changes: Partial<KeyHour> = {}): KeyHour {
  const requests = usualAt(hour);
  return keyHour(hour, { requests, places: [{ ...HOME, requests }], ...changes });
}

/** What is found from `NOW` on, of rows that differ from the usual as `change` says. */
function findingsOf(
  change: (hour: number) => KeyHour,
  { facts = FACTS, hours = 48, weeks = WEEKS }: { facts?: KeyFacts; hours?: number; weeks?: number } = {},
): readonly Finding[] {
  const rows: KeyHour[] = [];
  for (let hour = NOW - weeks * 168; hour < NOW + hours; hour++) rows.push(hour < NOW ? usualRow(hour) : change(hour));
  return dryRun(facts, rows, NOW * 3_600, DEFAULT_THRESHOLDS);
}

function kindsOf(findings: readonly Finding[]): readonly string[] {
  return findings.map(({ kind }) => kind);
}

/** Usual, and so many more from somewhere. */
function more(hour: number, requests: number, from = HOME): KeyHour {
  const usual = usualAt(hour);
  return keyHour(hour, {
    requests: usual + requests,
    places: [
      { ...HOME, requests: usual },
      { ...from, requests },
    ],
  });
}

test("usual traffic raises nothing", () => {
  expect(findingsOf(usualRow, { hours: 168 })).toEqual([]);
});

describe("spike", () => {
  test("from known networks it takes two hours in a row; from a new provider one", () => {
    const at = NOW + 10;
    const once = (hour: number) => (hour === at ? more(hour, 20_000) : usualRow(hour));
    const twice = (hour: number) => (hour === at || hour === at + 1 ? more(hour, 20_000) : usualRow(hour));
    const thief = (hour: number) => (hour === at ? more(hour, 4_000, ELSEWHERE) : usualRow(hour));
    expect(kindsOf(findingsOf(once))).toEqual([]);
    expect(kindsOf(findingsOf(twice))).toEqual(["spike"]);
    expect(kindsOf(findingsOf(thief))).toContain("spike");
  });

  test("the present hour may be judged before it is over, and judging it notes nothing", () => {
    const watch = newWatch();
    for (let hour = FIRST_HOUR; hour < NOW + 10; hour++) noteHour(watch, FACTS, usualRow(hour), DEFAULT_THRESHOLDS);
    const judge = (requests: number) =>
      kindsOf(judgeHour(watch, FACTS, more(NOW + 10, requests, ELSEWHERE), DEFAULT_THRESHOLDS));
    expect(judge(50)).toEqual([]);
    expect(judge(9_000)).toContain("spike");
    expect(judge(50)).toEqual([]);
  });

  test("a deploy that doubles the rate for good raises nothing", () => {
    const doubled = (hour: number) => more(hour, usualAt(hour));
    expect(findingsOf(doubled, { hours: 14 * 24 })).toEqual([]);
  });
});

describe("odd_hours_spend", () => {
  const atNight = (share: number, nights: number) => (hour: number) =>
    hour % 24 < 6 && hour < NOW + nights * 24 ? more(hour, usualAt(hour) * share + 40) : usualRow(hour);

  test("speaks after three nights that cost more, not after one or two", () => {
    expect(kindsOf(findingsOf(atNight(0.5, 2), { hours: 10 * 24 }))).toEqual([]);
    expect(kindsOf(findingsOf(atNight(0.5, 3), { hours: 10 * 24 }))).toEqual(["odd_hours_spend"]);
  });

  test("growth by day and night raises nothing", () => {
    const grown = (hour: number) => more(hour, Math.round(usualAt(hour) * 0.6));
    expect(findingsOf(grown, { hours: 10 * 24 })).toEqual([]);
  });
});

describe("quiet_thief", () => {
  const flat = (from: typeof HOME, hours: number) => (hour: number) =>
    hour < NOW + hours
      ? keyHour(hour, { requests: 4_920, places: [{ ...from, requests: 4_920 }], flatNearLimit: true })
      : usualRow(hour);

  test("80 of 100 a minute from a new provider is told after six hours", () => {
    expect(kindsOf(findingsOf(flat(ELSEWHERE, 5)))).not.toContain("quiet_thief");
    expect(kindsOf(findingsOf(flat(ELSEWHERE, 6)))).toContain("quiet_thief");
  });

  test("from where it always was it takes thirty: so long a backlog is rare", () => {
    expect(kindsOf(findingsOf(flat(HOME, 29)))).not.toContain("quiet_thief");
    expect(kindsOf(findingsOf(flat(HOME, 30)))).toContain("quiet_thief");
  });

  test("a job that always ran near its limit is left alone", () => {
    const always = (hour: number) =>
      keyHour(hour, { requests: 4_920, places: [{ ...HOME, requests: 4_920 }], flatNearLimit: true });
    const rows = Array.from({ length: WEEKS * 168 + 100 }, (_none, at) => always(FIRST_HOUR + at));
    expect(dryRun(FACTS, rows, 0, DEFAULT_THRESHOLDS)).toEqual([]);
  });

  test("minutes count as flat and near the limit only when they are both, without 429s", () => {
    const minutes = (cost: (at: number) => number, limited = 0) =>
      Array.from({ length: 60 }, (_none, at) => ({ cost: cost(at), limited }));
    const of = DEFAULT_THRESHOLDS.quietThief;
    expect(
      isFlatNearLimit(
        minutes(() => 80),
        100,
        of,
      ),
    ).toBe(true);
    expect(
      isFlatNearLimit(
        minutes(() => 30),
        100,
        of,
      ),
    ).toBe(false);
    expect(
      isFlatNearLimit(
        minutes((at) => (at % 2 === 0 ? 50 : 100)),
        100,
        of,
      ),
    ).toBe(false);
    expect(
      isFlatNearLimit(
        minutes(() => 100, 40),
        100,
        of,
      ),
    ).toBe(false);
    expect(
      isFlatNearLimit(
        minutes(() => 80),
        null,
        of,
      ),
    ).toBe(false);
  });
});

describe("new_place", () => {
  test("speaks while the key goes on at home, and is silent when it moved", () => {
    const beside = (hour: number) => more(hour, 200, ELSEWHERE);
    const moved = (hour: number) => usualRow(hour, { places: [{ ...ELSEWHERE, requests: usualAt(hour) }] });
    expect(kindsOf(findingsOf(beside))).toContain("new_place");
    expect(kindsOf(findingsOf(moved))).toEqual([]);
  });

  test("a network that a database puts into another country is not new", () => {
    const relabelled = (hour: number) =>
      usualRow(hour, { places: [{ ...HOME, country: "FR", requests: usualAt(hour) }] });
    expect(findingsOf(relabelled)).toEqual([]);
  });
});

describe("idle_key_woke", () => {
  const idle = (silent: number, from: typeof HOME) => {
    const rows: KeyHour[] = [];
    for (let hour = NOW - WEEKS * 168; hour < NOW + 24; hour++) {
      if (hour < NOW - silent * 24) rows.push(usualRow(hour));
      else if (hour >= NOW + 3) rows.push(keyHour(hour, { requests: 9, places: [{ ...from, requests: 9 }] }));
    }
    return kindsOf(dryRun(FACTS, rows, NOW * 3_600, DEFAULT_THRESHOLDS));
  };

  test("after a month of silence, from elsewhere", () => {
    expect(idle(31, ELSEWHERE)).toContain("idle_key_woke");
    expect(idle(31, HOME)).not.toContain("idle_key_woke");
    expect(idle(20, ELSEWHERE)).not.toContain("idle_key_woke");
  });
});

describe("by minutes", () => {
  function foundIn(minuteOf: (at: number) => Partial<KeyMinute>, hours = 100): readonly string[] {
    const watch = newWatch();
    for (let hour = NOW - hours; hour < NOW; hour++) noteHour(watch, FACTS, usualRow(hour), DEFAULT_THRESHOLDS);
    const minutes = Array.from({ length: 60 }, (_none, at) => {
      const empty = { requests: 20, cost: 20, limited: 0, failures: 0, errors: 0 };
      return { minute: NOW * 3_600 + at * 60, ...empty, ...minuteOf(at) };
    });
    return kindsOf(
      detectInMinutes({ facts: FACTS, minutes, profile: profileOf(watch), thresholds: DEFAULT_THRESHOLDS }),
    );
  }

  test("thirty-five refusals in ten minutes are a burst, thirty-four are none", () => {
    expect(foundIn((at) => ({ failures: at >= 55 ? 7 : 0 }))).toEqual(["auth_failures"]);
    expect(foundIn((at) => ({ failures: at >= 56 ? 7 : at === 55 ? 6 : 0 }))).toEqual([]);
  });

  test("errors that last are a jump, five bad minutes are a stumble", () => {
    expect(foundIn((at) => ({ errors: at >= 45 ? 5 : 0 }))).toEqual(["error_jump"]);
    expect(foundIn((at) => ({ errors: at >= 55 ? 15 : 0 }))).toEqual([]);
  });

  test("a key of less than three days is not judged", () => {
    expect(foundIn((at) => ({ failures: at >= 57 ? 10 : 0, errors: at >= 45 ? 5 : 0 }), 71)).toEqual([]);
  });
});

describe("credential_stuffing", () => {
  const window = { network: "10.0.0.0/24", since: 0, until: 600, attempts: 500, refused: 400 };
  const isFound = (keysRefused: number, keysTried: number) =>
    detectCredentialStuffing({ ...window, keysRefused, keysTried }, DEFAULT_THRESHOLDS.stuffing) !== null;

  test("twenty refused keys, most of those that were tried", () => {
    expect(isFound(20, 22)).toBe(true);
    expect(isFound(19, 22)).toBe(false);
  });

  test("a platform with many customers' keys, some of them dead, is none", () => {
    expect(isFound(30, 600)).toBe(false);
  });

  test("one wrong key, tried without end, is none", () => {
    expect(isFound(1, 1)).toBe(false);
  });
});

describe("one use is enough", () => {
  test("of a canary, known or not for a minute", () => {
    const canary = { ...FACTS, isCanary: true };
    const rows = [keyHour(NOW, { requests: 1, failures: 1, places: [ELSEWHERE] })];
    expect(kindsOf(dryRun(canary, rows, 0, DEFAULT_THRESHOLDS))).toEqual(["canary_used"]);
    expect(kindsOf(dryRun(FACTS, rows, 0, DEFAULT_THRESHOLDS))).toEqual([]);
  });

  test("of a live key in a test context; a test key may be there", () => {
    const rows = [keyHour(NOW, { requests: 1, testContext: 1 })];
    expect(kindsOf(dryRun(FACTS, rows, 0, DEFAULT_THRESHOLDS))).toEqual(["live_key_in_test"]);
    expect(dryRun({ ...FACTS, environment: "test" }, rows, 0, DEFAULT_THRESHOLDS)).toEqual([]);
  });
});

test("cold start is silent: two weeks of history say nothing of volume and place, whatever comes", () => {
  const wild = (hour: number) => more(hour, 50_000, ELSEWHERE);
  expect(kindsOf(findingsOf(wild, { weeks: 2, hours: 12 }))).toEqual([]);
});

test("findings that go on are one; a day's pause makes two", () => {
  // A place is known a day after it was first seen, so the second one comes from another.
  const other = { ...ELSEWHERE, asn: 64_701, network: "10.8.8.0/24" };
  const thief = (hour: number) => {
    if ([10, 11, 20].includes(hour - NOW)) return more(hour, 9_000, ELSEWHERE);
    return hour === NOW + 70 ? more(hour, 9_000, other) : usualRow(hour);
  };
  const spikes = findingsOf(thief, { hours: 96 }).filter(({ kind }) => kind === "spike");
  expect(spikes.map(({ since, until }) => [since / 3_600 - NOW, until / 3_600 - NOW])).toEqual([
    [10, 21],
    [70, 71],
  ]);
  expect(joinFindings(spikes)).toEqual(spikes);
});

test("every kind is said in one sentence, with no number left out", () => {
  const finding = {
    subject: { type: "key", id: "key_a" },
    severity: "ticket",
    evidence: {},
    place: null,
    since: 0,
    until: 1,
  } as const;
  for (const kind of FINDING_KINDS) {
    expect(sentenceOf({ ...finding, kind })).toMatch(/^[^.]*(?:\.\d[^.]*)*\.$/);
    expect(sentenceOf({ ...finding, kind })).not.toMatch(/undefined|NaN/);
  }
});
