import type { LeftOut } from "./kept-request.ts";

/** Different ones that are told apart; what is past them is counted under its workspace and code alone. */
const MAX_APART = 50;

type Counting = { -readonly [K in keyof LeftOut]: LeftOut[K] };

/** How many requests were left out, by workspace, key and code. */
export class LeftCount {
  readonly #counts = new Map<string, Counting>();

  add(left: LeftOut): void {
    const isNew = !this.#counts.has(nameOf(left));
    const under = isNew && this.#counts.size >= MAX_APART ? { ...left, keyId: null } : left;
    const name = nameOf(under);
    const known = this.#counts.get(name);
    if (known === undefined) this.#counts.set(name, { ...under });
    else known.count += left.count;
  }

  /** What was counted; begins anew. */
  take(): readonly LeftOut[] {
    const all = [...this.#counts.values()];
    this.#counts.clear();
    return all;
  }
}

function nameOf({ workspace, keyId, code }: LeftOut): string {
  return `${workspace} ${keyId ?? ""} ${code}`;
}
