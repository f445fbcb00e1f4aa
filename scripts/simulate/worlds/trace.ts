import { createHash } from "node:crypto";

/** What happened in a world, line by line, and a digest of it: the same seed gives the same. */
export class Trace {
  readonly lines: string[] = [];
  readonly logged: string[] = [];
  readonly #startAt: number;
  readonly #names = new Map<string, string>();

  constructor(startAt: number) {
    this.#startAt = startAt;
  }

  /** A short name for an id that is long. */
  alias(id: string, name: string): void {
    this.#names.set(id, name);
  }

  nameOf(id: string): string {
    return this.#names.get(id) ?? id;
  }

  note(at: number, actor: string, what: string): void {
    this.lines.push(`${((at - this.#startAt) / 1_000).toFixed(4).padStart(9)} s  ${actor.padEnd(14)} ${what}`);
  }

  /** What the product itself logs; its words may hold ids that differ from run to run. */
  log(at: number, actor: string, line: string): void {
    this.logged.push(`${this.lines.length} ${at} ${actor} ${line}`);
  }

  digest(): string {
    return createHash("sha256").update(this.lines.join("\n")).digest("hex").slice(0, 16);
  }
}
