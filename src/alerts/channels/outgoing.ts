import type { Result } from "../../result.ts";

/** One request to a channel, ready to be sent. Its URL and headers may hold secrets: neither is logged. */
export interface Outgoing {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A variable of the deployment; `undefined` where there is none, or it is empty. */
export type ReadVariable = (name: string) => string | undefined;

export interface FormatContext {
  readonly read: ReadVariable;
  /** Epoch seconds of this attempt. */
  readonly timestamp: number;
  /** Whom an e-mail goes to. */
  readonly recipients: readonly string[];
}

/** The request, or what is missing: a sentence that names variables, never what they hold. */
export type Formatted = Result<Outgoing, string>;

export function missing(name: string): string {
  return `the variable ${name} is not set`;
}
