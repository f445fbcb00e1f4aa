import { parseArgs } from "node:util";

/** Flags of the measuring commands (`bench`, `cost`, `accuracy`, `simulate`, `drill`). Every one of them takes `--json FILE` and `--help`. */

export interface Flag {
  readonly type: "string" | "boolean";
  /** One line for `--help`. */
  readonly about: string;
  /** The name of a string's value in `--help`. */
  readonly value?: string;
}

export type Flags<T extends Readonly<Record<string, Flag>>> = {
  readonly [K in keyof T]: (T[K]["type"] extends "boolean" ? boolean : string) | undefined;
} & { readonly json: string | undefined };

export interface Command<T extends Readonly<Record<string, Flag>>> {
  readonly name: string;
  /** What it measures, and what its exit status says. */
  readonly about: string;
  readonly flags: T;
}

const COMMON = {
  json: { type: "string", about: "write the figures to this file too", value: "FILE" },
  help: { type: "boolean", about: "show this" },
} as const satisfies Readonly<Record<string, Flag>>;

/** Exit status for a command line that cannot be understood, as in sysexits.h; 1 means that a target was missed. */
const EX_USAGE = 64;

/** Reads the command line. Prints help, or what is wrong, and ends the process where there is nothing to run. */
export function readFlags<const T extends Readonly<Record<string, Flag>>>(command: Command<T>): Flags<T> {
  const flags: Readonly<Record<string, Flag>> = { ...command.flags, ...COMMON };
  try {
    const options = Object.fromEntries(Object.entries(flags).map(([name, { type }]) => [name, { type }]));
    const { values } = parseArgs({ options, strict: true });
    if (values["help"] === true) {
      process.stdout.write(helpOf(command, flags));
      process.exit(0);
    }
    // parseArgs has checked each value against its type.
    return values as unknown as Flags<T>;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    process.stderr.write(`${reason}\n\n${helpOf(command, flags)}`);
    process.exit(EX_USAGE);
  }
}

/** A whole number of at least `least`; ends the process with a clear word when the flag holds something else. */
export function wholeNumber(flag: string, text: string | undefined, fallback: number, least = 1): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= least) return value;
  process.stderr.write(`--${flag} takes a whole number of at least ${least}, not "${text}".\n`);
  process.exit(EX_USAGE);
}

function helpOf(command: Command<Readonly<Record<string, Flag>>>, flags: Readonly<Record<string, Flag>>): string {
  const lines = Object.entries(flags).map(([name, { value, about }]) => {
    const flag = value === undefined ? `--${name}` : `--${name} ${value}`;
    return `  ${flag.padEnd(22)}${about}`;
  });
  return `npm run ${command.name} -- [flags]\n\n${command.about}\n\n${lines.join("\n")}\n`;
}
