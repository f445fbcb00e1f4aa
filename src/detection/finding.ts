import type { PlaceCount } from "./rows.ts";

/** What a detector says. Plain data: the same rows give the same finding, so that a second run can be recognised. */

export const FINDING_KINDS = [
  "spike",
  "odd_hours_spend",
  "quiet_thief",
  "new_place",
  "auth_failures",
  "credential_stuffing",
  "error_jump",
  "idle_key_woke",
  "live_key_in_test",
  "canary_used",
] as const;
export type FindingKind = (typeof FINDING_KINDS)[number];

export type Severity = "page" | "ticket" | "notice";

export interface Finding {
  readonly kind: FindingKind;
  readonly subject: { readonly type: "key" | "network"; readonly id: string };
  readonly severity: Severity;
  /** The numbers that it stands on, named by what they are; `sentenceOf` says them. */
  readonly evidence: Readonly<Record<string, number>>;
  /** The place that it is about, where it is about one. */
  readonly place: Pick<PlaceCount, "country" | "asn" | "network"> | null;
  /** Epoch seconds, `[since, until)`: the rows that were judged. */
  readonly since: number;
  readonly until: number;
}
