import path from "node:path";

/** Command lines of what a person starts. */

const DEFAULT_PORT = 8787;

export class UsageError extends Error {}

/** `null` when there is nothing to run: help was asked for and printed, or the line is wrong, which is said; the exit status is set. */
export function readCommandLine<T>(help: string, read: (argv: readonly string[]) => T | null): T | null {
  try {
    const options = read(process.argv.slice(2));
    if (options === null) process.stdout.write(help);
    return options;
  } catch (error) {
    // `parseArgs` throws a TypeError with a word for people.
    if (!(error instanceof UsageError || error instanceof TypeError)) throw error;
    console.error(`${error.message}\n\n${help}`);
    process.exitCode = 2;
    return null;
  }
}

export function readPort(text = String(DEFAULT_PORT)): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text);
  throw new UsageError(`--port must be 0 to 65535, not "${text}"`);
}

export function readState(text: string | undefined, fallback: string): string {
  if (text === "") throw new UsageError("--state must name a directory");
  return path.resolve(text ?? fallback);
}
