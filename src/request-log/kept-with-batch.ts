import type { BatchRequests, LeftOut, RequestDetail } from "./kept-request.ts";
import { LeftCount } from "./left-count.ts";

/** What an isolate holds of requests until its events are cut into a batch. */

/** Of one as JSON: names and numbers, and no more than the bounds of its making let stand in lists. Measured at 700 to 1,100. */
const DETAIL_BASE_BYTES = 1_000;

export class KeptWithBatch {
  #kept: RequestDetail[] = [];
  readonly #left = new LeftCount();

  keep(detail: RequestDetail): void {
    this.#kept.push(detail);
  }

  leave(left: LeftOut): void {
    this.#left.add(left);
  }

  /** What is there, and begins anew; `null`: nothing is. */
  cut(): BatchRequests | null {
    const left = this.#left.take();
    const kept = this.#kept;
    if (kept.length === 0 && left.length === 0) return null;
    this.#kept = [];
    return { kept, left };
  }
}

/** About how long it is as JSON. */
export function detailBytes({ key, asked, told, limits }: RequestDetail): number {
  let bytes = DETAIL_BASE_BYTES + (told?.length ?? 0) + limits.length * 100;
  if (asked !== null) bytes += lengthOf(asked.scopes);
  if (key === null) return bytes;
  const { ips = [], origins = [], countries = [] } = key.bindings;
  return bytes + lengthOf(key.scopes) + lengthOf(ips) + lengthOf(origins) + lengthOf(countries);
}

function lengthOf(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + text.length + 3, 0);
}
