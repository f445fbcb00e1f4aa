import { FINDING_KINDS, type Finding, type FindingKind, type Severity } from "../../src/detection/finding.ts";
import type { FindingFilter, FindingPage, KeptFinding } from "./api.ts";

/** Findings, one row for one that goes on. */

const DAY_SECONDS = 86_400;
/** Found again within a day it is the same one, as in `joinFindings`. */
const ONE_EPISODE_SECONDS = DAY_SECONDS;
export const FINDING_RETENTION_DAYS = 90;
/** What an attacker who makes findings can fill; then the oldest go. */
const MOST_FINDINGS = 20_000;
const SEVERITIES: readonly Severity[] = ["notice", "ticket", "page"];

/** Whom a finding is told of. */
export interface Holder {
  readonly owner: string | null;
  readonly team: string | null;
}

/** A new row, or the one that goes on. */
export function keepFinding(sql: SqlStorage, finding: Finding, { owner, team }: Holder, now: number): void {
  const { kind, subject, since, until } = finding;
  const [open] = sql
    .exec<{ id: number; severity: string; until: number }>(
      `SELECT id, severity, until FROM finding WHERE subject = ? AND kind = ? AND subject_type = ? AND until >= ?
       ORDER BY id DESC LIMIT 1`,
      subject.id,
      kind,
      subject.type,
      since - ONE_EPISODE_SECONDS,
    )
    .toArray();
  if (open === undefined) {
    sql.exec(
      `INSERT INTO finding
         (kind, subject_type, subject, owner, team, severity, since, until, first_seen, last_seen, evidence, place)
       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10, ?11)`,
      kind,
      subject.type,
      subject.id,
      owner,
      team,
      finding.severity,
      since,
      until,
      now,
      JSON.stringify(finding.evidence),
      JSON.stringify(finding.place),
    );
    return;
  }
  sql.exec(
    `UPDATE finding SET severity = ?, until = ?, last_seen = ?, evidence = ?, place = ?, reported = 0 WHERE id = ?`,
    worse(open.severity, finding.severity),
    Math.max(open.until, until),
    now,
    JSON.stringify(finding.evidence),
    JSON.stringify(finding.place),
    open.id,
  );
}

/** What the alert center was not told of yet, the oldest first. */
export function unreported(sql: SqlStorage, limit: number): readonly (KeptFinding & Holder)[] {
  return sql
    .exec<FindingRow>(`SELECT * FROM finding WHERE reported = 0 ORDER BY id LIMIT ?`, limit)
    .toArray()
    .map((row) => ({ ...toKept(row), team: row.team }));
}

/** One that was found again meanwhile is to be told again. */
export function markReported(sql: SqlStorage, findings: readonly Pick<KeptFinding, "id" | "lastSeenAt">[]): void {
  for (const { id, lastSeenAt } of findings) {
    sql.exec(`UPDATE finding SET reported = 1 WHERE id = ? AND last_seen = ?`, id, lastSeenAt);
  }
}

export function findFinding(sql: SqlStorage, id: number): KeptFinding | null {
  const [row] = sql.exec<FindingRow>(`SELECT * FROM finding WHERE id = ?`, id).toArray();
  return row === undefined ? null : toKept(row);
}

export function listFindings(
  sql: SqlStorage,
  filter: FindingFilter,
  limit: number,
  cursor: number | null,
): FindingPage {
  const conditions = ["id < ?"];
  const bound: (string | number)[] = [cursor ?? Number.MAX_SAFE_INTEGER];
  for (const name of ["kind", "severity", "owner", "subject"] as const) {
    const wanted = filter[name];
    if (wanted === undefined) continue;
    conditions.push(`${name} = ?`);
    bound.push(wanted);
  }
  if (filter.since !== undefined) {
    conditions.push("last_seen >= ?");
    bound.push(filter.since);
  }
  const rows = sql
    .exec<FindingRow>(
      `SELECT * FROM finding WHERE ${conditions.join(" AND ")} ORDER BY id DESC LIMIT ?`,
      ...bound,
      limit + 1,
    )
    .toArray();
  const data = rows.slice(0, limit).map(toKept);
  return { data, nextCursor: rows.length > limit ? (data.at(-1)?.id ?? null) : null };
}

export function sweepFindings(sql: SqlStorage, now: number): number {
  return (
    sql.exec(`DELETE FROM finding WHERE last_seen < ?`, now - FINDING_RETENTION_DAYS * DAY_SECONDS * 1_000)
      .rowsWritten +
    sql.exec(`DELETE FROM finding WHERE id <= (SELECT MAX(id) FROM finding) - ?`, MOST_FINDINGS).rowsWritten
  );
}

interface FindingRow extends Record<string, string | number | null> {
  readonly id: number;
  readonly kind: string;
  readonly subject_type: string;
  readonly subject: string;
  readonly owner: string | null;
  readonly team: string | null;
  readonly severity: string;
  readonly since: number;
  readonly until: number;
  readonly first_seen: number;
  readonly last_seen: number;
  readonly evidence: string;
  readonly place: string;
}

function toKept(row: FindingRow): KeptFinding {
  return {
    id: row.id,
    kind: kindOf(row.kind),
    subject: { type: row.subject_type === "key" ? "key" : "network", id: row.subject },
    owner: row.owner,
    severity: severityOf(row.severity),
    // Written by `keepFinding`, so their shapes are known.
    evidence: JSON.parse(row.evidence) as Finding["evidence"],
    place: JSON.parse(row.place) as Finding["place"],
    since: row.since,
    until: row.until,
    firstSeenAt: row.first_seen,
    lastSeenAt: row.last_seen,
  };
}

function kindOf(text: string): FindingKind {
  const kind = FINDING_KINDS.find((known) => known === text);
  if (kind === undefined) throw new RangeError("a finding of no kind");
  return kind;
}

function severityOf(text: string): Severity {
  return SEVERITIES.find((known) => known === text) ?? "notice";
}

function worse(a: string, b: string): Severity {
  return severityOf(SEVERITIES.indexOf(severityOf(a)) > SEVERITIES.indexOf(severityOf(b)) ? a : b);
}
