/** What happened when, in ms since the drill began. Lines go to the progress output at once. */
export interface Moment {
  readonly atMs: number;
  readonly what: string;
}

export class Timeline {
  readonly moments: Moment[] = [];
  readonly #startedAt = Date.now();
  readonly #onMoment: (moment: Moment) => void;

  constructor(onMoment: (moment: Moment) => void) {
    this.#onMoment = onMoment;
  }

  /** `at`: epoch ms, for what is known only afterwards. */
  note(what: string, at: number = Date.now()): void {
    const moment = { atMs: at - this.#startedAt, what };
    this.moments.push(moment);
    this.#onMoment(moment);
  }

  get elapsedMs(): number {
    return Date.now() - this.#startedAt;
  }
}

export function momentLine({ atMs, what }: Moment): string {
  return `${`+${Math.round(atMs).toLocaleString("en-US")} ms`.padStart(12)}  ${what}`;
}
