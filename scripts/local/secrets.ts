import { randomBytes } from "node:crypto";
import { appendFileSync, chmodSync, existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { parseEnv } from "node:util";
import { ROOT } from "./bundle.ts";

/** Secrets that local running makes for itself when nobody gave them. */
const MADE_SECRETS: Readonly<Record<string, () => string>> = {
  LATCHKEY_ROOT_TOKEN: () => `lkroot_${randomBytes(32).toString("base64url")}`,
  LATCHKEY_TOKEN_SECRET: () => randomBytes(32).toString("base64url"),
};

/** Settings of local running itself, not of the Worker. */
const OWN_SETTINGS = new Set(["LATCHKEY_DEV_VARS", "LATCHKEY_LOCAL_COUNTRY", "LATCHKEY_LOCAL_CRON_SECONDS"]);

/** `.dev.vars` of the checkout, or the file that `LATCHKEY_DEV_VARS` names. */
export function devVarsPath(environment: NodeJS.ProcessEnv): string {
  return path.resolve(environment["LATCHKEY_DEV_VARS"] ?? path.join(ROOT, ".dev.vars"));
}

/**
 * The Worker's variables and secrets: from `.dev.vars`, overridden by `LATCHKEY_*` of the environment. Secrets that neither
 * has are made and appended to the file, which is then readable by its owner alone.
 */
export function readVariables(environment: NodeJS.ProcessEnv): Record<string, string> {
  const file = devVarsPath(environment);
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  const variables: Record<string, string> = {};
  for (const [name, value] of Object.entries(parseEnv(text))) {
    if (value !== undefined) variables[name] = value;
  }
  for (const [name, value] of Object.entries(environment)) {
    if (name.startsWith("LATCHKEY_") && value !== undefined && value !== "" && !OWN_SETTINGS.has(name))
      variables[name] = value;
  }
  const made: string[] = [];
  for (const [name, make] of Object.entries(MADE_SECRETS)) {
    if (variables[name] !== undefined && variables[name] !== "") continue;
    variables[name] = make();
    made.push(`${name}=${variables[name]}\n`);
  }
  if (made.length > 0) {
    const separator = text === "" || text.endsWith("\n") ? "" : "\n";
    appendFileSync(file, separator + made.join(""), { mode: 0o600 });
    chmodSync(file, 0o600);
  }
  return variables;
}
