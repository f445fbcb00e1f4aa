import { err, ok } from "../result.ts";
import type { Result } from "../result.ts";
import { canonicalPath, furtherReadings } from "./path-reading.ts";

/** Path patterns of routes (`/reports/*`, `/users/:id/keys`) and the tree that finds the most specific one. */

export type Segment =
  | { readonly kind: "literal"; readonly text: string }
  | { readonly kind: "parameter" }
  /** Only at the end: the rest of the path, which may be empty. */
  | { readonly kind: "rest" };

/** More than any API has; it bounds the depth of the walk. */
export const MAX_PATTERN_SEGMENTS = 32;

const PARAMETER = /^:[A-Za-z][A-Za-z0-9_]*$/;

/** Reads a pattern as written in `gateway.config.ts`. Literals come out as `canonicalPath` reads them. One slash at the end does not count. */
export function parsePattern(pattern: string): Result<readonly Segment[], string> {
  if (!pattern.startsWith("/")) return err("must start with /");
  const written = pattern === "/" ? [] : pattern.slice(1, pattern.endsWith("/") ? -1 : undefined).split("/");
  if (written.length > MAX_PATTERN_SEGMENTS) return err(`has more than ${MAX_PATTERN_SEGMENTS} segments`);
  const segments: Segment[] = [];
  for (const [index, text] of written.entries()) {
    const segment = parseSegment(text, index === written.length - 1);
    if (!segment.ok) return segment;
    segments.push(segment.value);
  }
  return ok(segments);
}

function parseSegment(text: string, last: boolean): Result<Segment, string> {
  if (text === "") return err("has an empty segment");
  if (text === "*") return last ? ok({ kind: "rest" }) : err("may have * only at its end");
  if (PARAMETER.test(text)) return ok({ kind: "parameter" });
  if (text.startsWith(":")) return err(`has the parameter ${text}, which is not a name`);
  if (text.includes("*")) return err("may have * only as a whole segment at its end");
  const canonical = canonicalPath(text);
  // A literal that origins read in several ways could never be reached: such requests are refused.
  if (canonical === null || furtherReadings(`/${text}`)?.size !== 1) {
    return err(`has the segment ${text}, which servers read in different ways`);
  }
  return ok({ kind: "literal", text: canonical });
}

interface Node<T> {
  readonly literals: Map<string, Node<T>>;
  parameter: Node<T> | null;
  /** By method, for a path that ends here. */
  readonly ends: Map<string, T>;
  /** By method, for a path that ends here or goes on. */
  readonly rests: Map<string, T>;
}

function makeNode<T>(): Node<T> {
  return { literals: new Map(), parameter: null, ends: new Map(), rests: new Map() };
}

/**
 * A tree of patterns. The most specific pattern that has the method wins, decided segment by segment from the left:
 * literal, then parameter, then rest; at one pattern the method itself, then `GET` for `HEAD`, then `*`.
 * Each node of the tree is visited at most once in a look-up, so no path can make it slow.
 */
export class PatternTree<T> {
  readonly #root: Node<T> = makeNode();
  readonly #fold: boolean;

  /** With `fold`, literals are compared in lower case; the caller looks up lower-case segments. */
  constructor(fold: boolean) {
    this.#fold = fold;
  }

  /** The value that already stands for the same pattern and method, or `null` once the new one does. */
  add(pattern: readonly Segment[], method: string, value: T): T | null {
    let node = this.#root;
    let rest = false;
    for (const segment of pattern) {
      if (segment.kind === "rest") rest = true;
      else if (segment.kind === "parameter") node = node.parameter ??= makeNode();
      else node = this.#literalChild(node, segment.text);
    }
    const values = rest ? node.rests : node.ends;
    const present = values.get(method);
    if (present !== undefined) return present;
    values.set(method, value);
    return null;
  }

  #literalChild(node: Node<T>, text: string): Node<T> {
    const key = this.#fold ? text.toLowerCase() : text;
    const present = node.literals.get(key);
    if (present !== undefined) return present;
    const child = makeNode<T>();
    node.literals.set(key, child);
    return child;
  }

  find(segments: readonly string[], method: string): T | null {
    return findBelow(this.#root, segments, 0, method);
  }
}

function findBelow<T>(node: Node<T>, segments: readonly string[], index: number, method: string): T | null {
  const segment = segments[index];
  if (segment === undefined) return pick(node.ends, method) ?? pick(node.rests, method);
  const literal = node.literals.get(segment);
  if (literal !== undefined) {
    const found = findBelow(literal, segments, index + 1, method);
    if (found !== null) return found;
  }
  // A parameter stands for something: `/users//keys` is not `/users/:id/keys`.
  if (node.parameter !== null && segment !== "") {
    const found = findBelow(node.parameter, segments, index + 1, method);
    if (found !== null) return found;
  }
  return pick(node.rests, method);
}

function pick<T>(values: ReadonlyMap<string, T>, method: string): T | null {
  if (values.size === 0) return null;
  return values.get(method) ?? (method === "HEAD" ? values.get("GET") : undefined) ?? values.get("*") ?? null;
}
