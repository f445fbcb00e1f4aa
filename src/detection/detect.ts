import { detectAuthFailures } from "./auth-failures.ts";
import { detectCanary } from "./canary.ts";
import { detectErrorJump } from "./error-jump.ts";
import type { Finding } from "./finding.ts";
import { detectIdleKey } from "./idle-key.ts";
import { detectNewPlace } from "./new-place.ts";
import { detectOddHours } from "./odd-hours.ts";
import { detectQuietThief } from "./quiet-thief.ts";
import { detectSpike } from "./spike.ts";
import { detectTestContext } from "./test-context.ts";
import type { KeyView, MinuteView } from "./view.ts";

/** Which detectors are asked when. */

const HOURLY = [detectCanary, detectTestContext, detectSpike, detectQuietThief, detectNewPlace, detectIdleKey] as const;
const BY_MINUTE = [detectAuthFailures, detectErrorJump] as const;

/** Of a key's present hour. May be asked again while the hour goes on. */
export function detectInHour(view: KeyView): readonly Finding[] {
  return HOURLY.flatMap((detect) => detect(view) ?? []);
}

/** Of a key's last minutes. */
export function detectInMinutes(view: MinuteView): readonly Finding[] {
  return BY_MINUTE.flatMap((detect) => detect(view) ?? []);
}

/** Once a day, with a history that ends with the last hour that is over. */
export function detectInDay(view: KeyView): readonly Finding[] {
  const finding = detectOddHours(view);
  return finding === null ? [] : [finding];
}
