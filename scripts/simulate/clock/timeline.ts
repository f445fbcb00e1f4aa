/** What is still to happen, in the order of time; what falls on the same moment, in the order in which it was planned. */

export interface Due {
  readonly at: number;
  readonly sequence: number;
  readonly run: () => void;
  cancelled: boolean;
}

/** A binary heap. */
export class Timeline<T extends Due> {
  readonly #dues: T[] = [];

  get size(): number {
    return this.#dues.length;
  }

  first(): T | undefined {
    return this.#dues[0];
  }

  push(due: T): void {
    const dues = this.#dues;
    let at = dues.length;
    dues.push(due);
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = dues[parentAt];
      if (parent === undefined || !isEarlier(due, parent)) break;
      dues[at] = parent;
      at = parentAt;
    }
    dues[at] = due;
  }

  pop(): T | undefined {
    const dues = this.#dues;
    const first = dues[0];
    const last = dues.pop();
    if (first === undefined || last === undefined || dues.length === 0) return first;
    let at = 0;
    for (;;) {
      let childAt = 2 * at + 1;
      let child = dues[childAt];
      if (child === undefined) break;
      const right = dues[childAt + 1];
      if (right !== undefined && isEarlier(right, child)) {
        child = right;
        childAt++;
      }
      if (!isEarlier(child, last)) break;
      dues[at] = child;
      at = childAt;
    }
    dues[at] = last;
    return first;
  }
}

function isEarlier(a: Due, b: Due): boolean {
  return a.at < b.at || (a.at === b.at && a.sequence < b.sequence);
}
