import type { NetworkWindow } from "../../src/detection/rows.ts";
import type { NetworkSighting } from "../../src/usage/sightings.ts";
import { countDistinct, type Distinct, mergeDistinct } from "../../src/usage/distinct.ts";

/** Who tried which keys from where in the last ten minutes. In memory alone: an object that dies begins these ten minutes anew. */

export const WINDOW_MINUTES = 10;
const MINUTE_SECONDS = 60;
/** Of one minute. Those with the most refusals are what is looked for, and they come again in the next minute. */
const MOST_NETWORKS = 5_000;

interface NetworkMinute {
  attempts: number;
  refused: number;
  good: Distinct;
  bad: Distinct;
}

export class NetworkBook {
  readonly #minutes = new Map<number, Map<string, NetworkMinute>>();

  add({ network, minute, attempts, refused, good, bad }: NetworkSighting): void {
    let networks = this.#minutes.get(minute);
    if (networks === undefined) this.#minutes.set(minute, (networks = new Map()));
    let of = networks.get(network);
    if (of === undefined) {
      if (networks.size >= MOST_NETWORKS) return;
      networks.set(network, (of = { attempts: 0, refused: 0, good: [], bad: [] }));
    }
    of.attempts += attempts;
    of.refused += refused;
    of.good = mergeDistinct(of.good, good);
    of.bad = mergeDistinct(of.bad, bad);
  }

  /** Every network with a refusal in the ten minutes that end with `minute`, and forgets what is older. */
  windowsAt(minute: number): readonly NetworkWindow[] {
    const since = minute - (WINDOW_MINUTES - 1) * MINUTE_SECONDS;
    const sums = new Map<string, NetworkMinute>();
    for (const [at, networks] of this.#minutes) {
      if (at < since) {
        this.#minutes.delete(at);
        continue;
      }
      for (const [network, of] of networks) {
        const sum = sums.get(network) ?? { attempts: 0, refused: 0, good: [], bad: [] };
        sum.attempts += of.attempts;
        sum.refused += of.refused;
        sum.good = mergeDistinct(sum.good, of.good);
        sum.bad = mergeDistinct(sum.bad, of.bad);
        sums.set(network, sum);
      }
    }
    return Array.from(sums, ([network, { attempts, refused, good, bad }]) => ({
      network,
      since,
      until: minute + MINUTE_SECONDS,
      attempts,
      refused,
      keysTried: countDistinct(mergeDistinct(good, bad)),
      keysRefused: countDistinct(bad),
    }));
  }
}
