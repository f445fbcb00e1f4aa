import type { EpochMs } from "../keys/record.ts";
import { err, ok } from "../result.ts";
import type { Result } from "../result.ts";
import { isAlertKind, isSeverity } from "./kinds.ts";
import type { AlertKind, Severity } from "./kinds.ts";

/**
 * What a reporter says is so at this moment: of one key, one network, one part of Latchkey. Saying it again changes nothing, so a
 * reporter repeats it for as long as it holds, and whoever is cut off sends its whole batch anew.
 */
export interface Condition {
  readonly kind: AlertKind;
  readonly severity: Severity;
  readonly owner: string | null;
  readonly team: string | null;
  /** Key id, network, channel …; `""` where the kind says it all. */
  readonly subject: string;
  /** One sentence for people. */
  readonly summary: string;
  readonly evidence: Evidence;
  readonly at: EpochMs;
  /** Rises where the same thing gets more pressing and is worth telling again: 30, 7, 1 days before an end. Default 0. */
  readonly stage?: number;
  /** It is no longer so. */
  readonly over?: boolean;
}

export interface Evidence {
  /** Below this deployment's origin: `/_latchkey/keys/…?from=…`. */
  readonly path: string;
  readonly numbers: Readonly<Record<string, number>>;
}

export const MAX_SUMMARY_CHARACTERS = 300;
const MAX_SUBJECT_CHARACTERS = 128;
const MAX_PATH_CHARACTERS = 512;
const MAX_NUMBERS = 12;
const MAX_STAGE = 100;
/** Names of owners and teams, as the control API takes them. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/;
const NUMBER_NAME = /^[a-zA-Z][a-zA-Z0-9_]{0,39}$/;
const EVIDENCE_PATH = /^\/_latchkey\/[A-Za-z0-9._~:/?&=,%+-]*$/;
const UNPRINTABLE = /[\p{Cc}\p{Cs}\u2028\u2029]/u;

/**
 * The condition, or which member is at fault. Texts are passed through `hideSecrets` first: what looks like a credential never gets into
 * an alert, whoever reported it.
 */
export function readCondition(value: Condition, hideSecrets: (text: string) => string): Result<Condition, string> {
  const { kind, severity, owner, team, subject, summary, evidence, at, stage } = value;
  if (!isAlertKind(kind)) return err("kind");
  if (!isSeverity(severity)) return err("severity");
  if (owner !== null && !isCleanName(owner, hideSecrets)) return err("owner");
  if (team !== null && !isCleanName(team, hideSecrets)) return err("team");
  if (typeof subject !== "string" || subject.length > MAX_SUBJECT_CHARACTERS || UNPRINTABLE.test(subject)) {
    return err("subject");
  }
  if (typeof summary !== "string" || summary === "") return err("summary");
  if (!Number.isSafeInteger(at) || at < 0) return err("at");
  if (stage !== undefined && !(Number.isInteger(stage) && stage >= 0 && stage <= MAX_STAGE)) return err("stage");
  const path = hideSecrets(evidence.path);
  if (path.length > MAX_PATH_CHARACTERS || !EVIDENCE_PATH.test(path)) return err("evidence.path");
  const numbers = Object.entries(evidence.numbers);
  const sound = numbers.every(([name, number]) => NUMBER_NAME.test(name) && Number.isFinite(number));
  if (!sound || numbers.length > MAX_NUMBERS) return err("evidence.numbers");
  return ok({
    kind,
    severity,
    owner,
    team,
    at,
    subject: hideSecrets(subject),
    summary: hideSecrets(summary.replaceAll(new RegExp(UNPRINTABLE, "gu"), " ")).slice(0, MAX_SUMMARY_CHARACTERS),
    evidence: { path, numbers: Object.fromEntries(numbers) },
    ...(stage === undefined ? {} : { stage }),
    ...(value.over === true ? { over: true } : {}),
  });
}

function isCleanName(name: string, hideSecrets: (text: string) => string): boolean {
  return NAME.test(name) && hideSecrets(name) === name;
}
