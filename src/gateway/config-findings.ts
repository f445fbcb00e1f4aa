import { MAX_ASSERTION_TTL_SECONDS, MAX_REQUEST_BODY_BYTES } from "../constants.ts";

/** What is wrong with a configuration, and where. */
export interface ConfigError {
  /** `routes[2].scopes[0]` */
  readonly place: string;
  readonly detail: string;
}

export type Fields = Readonly<Record<string, unknown>>;

const NAME = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/;
/** The names of `config.workspaces` and others become properties; these would be the prototype's. */
const RESERVED_NAMES: ReadonlySet<string> = new Set([
  "constructor",
  "prototype",
  "toString",
  "valueOf",
  "hasOwnProperty",
]);
/** A Worker may wait as long as its client does; an hour is a stream, and streams have their time-out at the first byte. */
const MAX_TIMEOUT_SECONDS = 3_600;

/** Collects faults. Each look at a value says whether it may be read further; a fault never stops the others from being found. */
export class Findings {
  readonly errors: ConfigError[] = [];

  add(place: string, detail: string): void {
    this.errors.push({ place, detail });
  }

  /** An object with no other fields than these: a misspelt one would be a rule that silently does not hold. */
  object(place: string, value: unknown, known: readonly string[]): Fields | null {
    const fields = asFields(value);
    if (fields === null) {
      this.add(place, "must be an object");
      return null;
    }
    for (const field of Object.keys(fields)) {
      if (!known.includes(field)) this.add(place, `has an unknown field ${field}; known are ${known.join(", ")}`);
    }
    return fields;
  }

  entries(place: string, value: unknown, atLeast = 0): readonly (readonly [string, unknown])[] {
    const fields = asFields(value);
    if (fields === null) {
      this.add(place, "must be an object");
      return [];
    }
    const entries = Object.entries(fields);
    if (entries.length < atLeast) this.add(place, `must name at least ${atLeast}`);
    return entries;
  }

  list(place: string, value: unknown): readonly unknown[] {
    if (Array.isArray(value)) return value;
    this.add(place, "must be a list");
    return [];
  }

  name(place: string, name: string): void {
    if (!NAME.test(name) || RESERVED_NAMES.has(name)) {
      this.add(place, "is not a name: 1 to 64 letters, digits, . _ : -, the first a letter or digit");
    }
  }

  optionalBoolean(place: string, value: unknown): void {
    if (value !== undefined && typeof value !== "boolean") this.add(place, "must be true or false");
  }

  optionalOneOf(place: string, value: unknown, allowed: readonly string[]): void {
    if (value !== undefined && !(typeof value === "string" && allowed.includes(value))) {
      this.add(place, `must be one of ${allowed.join(", ")}`);
    }
  }

  optionalInteger(place: string, value: unknown, min: number, max: number): void {
    if (value !== undefined) this.integer(place, value, min, max);
  }

  integer(place: string, value: unknown, min: number, max: number): void {
    if (!(typeof value === "number" && Number.isInteger(value) && value >= min && value <= max)) {
      this.add(place, `must be a whole number from ${min} to ${max}`);
    }
  }

  environments(place: string, value: unknown): void {
    if (value === undefined) return;
    const environments = this.list(place, value);
    if (environments.length === 0 && Array.isArray(value)) this.add(place, "must name live, test or both");
    for (const environment of environments) this.optionalOneOf(place, environment ?? null, ["live", "test"]);
  }

  /** What a route and an upstream say alike. */
  forwarding(place: string, fields: Fields): void {
    const { timeoutSeconds } = fields;
    const sound = typeof timeoutSeconds === "number" && timeoutSeconds > 0 && timeoutSeconds <= MAX_TIMEOUT_SECONDS;
    if (timeoutSeconds !== undefined && !sound) {
      this.add(`${place}.timeoutSeconds`, `must be a number above 0, at most ${MAX_TIMEOUT_SECONDS}`);
    }
    this.#assertion(`${place}.assertion`, fields["assertion"]);
    this.optionalInteger(`${place}.maxBodyBytes`, fields["maxBodyBytes"], 0, 50 * MAX_REQUEST_BODY_BYTES);
    if (fields["refundOn"] === undefined) return;
    for (const reason of this.list(`${place}.refundOn`, fields["refundOn"])) {
      this.optionalOneOf(`${place}.refundOn`, reason ?? null, ["upstream_unreachable", "upstream_timeout"]);
    }
  }

  #assertion(place: string, value: unknown): void {
    if (value === undefined || typeof value === "boolean") return;
    const fields = this.object(place, value, ["ttlSeconds"]);
    if (fields !== null) this.integer(`${place}.ttlSeconds`, fields["ttlSeconds"], 1, MAX_ASSERTION_TTL_SECONDS);
  }
}

function asFields(value: unknown): Fields | null {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
  // Seen to be an object that is no array; what its fields hold stays unknown.
  return value as Fields;
}
