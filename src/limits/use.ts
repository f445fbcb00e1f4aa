/** How often an account is used at a broker, so that one which will be used again soon is kept ready. */
export interface Use {
  /** Epoch ms. */
  lastAt: number;
  /** Between uses, as it has been lately, ms. `Infinity`: there was one use, or a long pause. */
  gapMs: number;
}

/** Uses that are further apart have nothing to do with each other. */
const PAUSE_MS = 20_000;
/** To keep a lease costs a call and part of an alarm every 4 s: of a key that is used less often, more than it spares. */
const KEPT_GAP_MS = 8_000;
/** The newest gap counts for a quarter. */
const SMOOTHING = 4;
/** Units are kept for the uses of this time … */
const HORIZON_MS = 60_000;
/** … and for so many at most: a key that is used more often asks for what it spends. */
const EXPECTED_USES_MAX = 30;

export function newUse(): Use {
  return { lastAt: -Infinity, gapMs: Infinity };
}

export function noteUse(use: Use, now: number): void {
  const gapMs = Math.max(0, now - use.lastAt);
  use.lastAt = now;
  if (gapMs > PAUSE_MS) use.gapMs = Infinity;
  else use.gapMs = use.gapMs === Infinity ? gapMs : use.gapMs + (gapMs - use.gapMs) / SMOOTHING;
}

/** Whether its next use is near. */
export function isInUse({ lastAt, gapMs }: Use, now: number): boolean {
  return gapMs <= KEPT_GAP_MS && now - lastAt < PAUSE_MS;
}

export function expectedUses(use: Use, now: number): number {
  if (!isInUse(use, now)) return 0;
  return Math.min(EXPECTED_USES_MAX, Math.floor(HORIZON_MS / Math.max(1, use.gapMs)));
}
