import type { AuditEntry, KeyRecord } from "../../../durable-objects/key-registry/api.ts";
import { htmlAnswer } from "../answer.ts";
import { coversAdminScope } from "../../keys/admin-scopes.ts";
import type { LimitView } from "../../limits/limit.ts";
import { requireScope, type Outcome } from "../../control/problem.ts";
import { duration, label, milliseconds, percent, plural, short, whole } from "../format.ts";
import { pageUrl } from "../paths.ts";
import { rangeParameters, readTimeRange, type TimeRange, usageRange } from "../time-range.ts";
import { sumBy } from "../usage-sums.ts";
import { Frame, PageHead } from "../view/layout.tsx";
import { LineageDrawing } from "../view/lineage.tsx";
import type { PageContext } from "../view/page.ts";
import {
  Bar,
  Empty,
  Environment,
  Figure,
  Panel,
  RangePicker,
  Scroll,
  Show,
  StatusBadge,
  Time,
} from "../view/parts.tsx";
import { FindingTable } from "./detections.tsx";
import { RequestsChart } from "./overview.tsx";
import { problemAnswer } from "./problem.tsx";

/** `/_latchkey/keys/{id}`: all that there is to know of one key. */

const LINEAGE_LIMIT = 200;
const AUDIT_ROWS = 20;
const FINDING_ROWS = 5;

export async function keyPage(context: PageContext, id: string): Promise<Response> {
  const { calls, url, now, request } = context;
  const found = await calls.readKey(id);
  if (!found.ok) return await problemAnswer(request, found.error);
  const record = found.value;
  const range = readTimeRange(url.searchParams, now);
  const asked = { ...usageRange(range), key: id };
  const [usage, byCode, limits, lineage, findings, audit] = await Promise.all([
    calls.readUsage({ ...asked, distributions: "true" }),
    calls.readUsage({ ...asked, granularity: "day", groupBy: "code" }),
    limitsOf(context, record),
    lineageOf(context, record),
    calls.listDetections({ subject: id, limit: FINDING_ROWS }),
    calls.listAudit({ subject: id, limit: AUDIT_ROWS }),
  ]);
  return await htmlAnswer(
    <Frame context={context} title={record.name} place="keys" scripts={["uplot", "charts"]}>
      <PageHead
        trail={[["Keys", pageUrl("keys")]]}
        title={record.name}
        lead={
          <>
            <StatusBadge status={record.status} /> <code>{record.hint}</code> of{" "}
            <a href={pageUrl(`owners/${record.owner}`)}>{record.owner}</a>
          </>
        }
      >
        <Actions record={record} scopes={context.visitor.caller.scopes} />
      </PageHead>
      <div class="figures">
        <Show of={usage}>
          {({ totals }) => (
            <>
              <Figure
                name="Requests"
                value={short(totals.requests)}
                exact={whole(totals.requests)}
                href={pageUrl("usage", { key: id, ...rangeParameters(range) })}
                note={range.title}
              />
              <Figure
                name="Refused"
                value={percent(totals.requests === 0 ? 0 : totals.refused / totals.requests, 1)}
                href={pageUrl("usage", { key: id, groupBy: "code", outcome: "refused", ...rangeParameters(range) })}
                note={plural(totals.refused, "request")}
              />
              <Figure
                name="Latency p95"
                value={milliseconds(totals.latencyMs?.p95)}
                href={pageUrl("usage", { key: id, ...rangeParameters(range) })}
                note={`p50 ${milliseconds(totals.latencyMs?.p50)}, p99 ${milliseconds(totals.latencyMs?.p99)}`}
              />
              <Figure
                name="Addresses"
                value={short(totals.distinctAddresses ?? 0)}
                href={pageUrl("usage", { key: id, groupBy: "country", ...rangeParameters(range) })}
                note="different ones"
              />
            </>
          )}
        </Show>
      </div>
      <div class="grid">
        <Panel
          title="Requests"
          note={range.title}
          wide
          action={<RangePicker range={range} url={url} presets={["1h", "24h", "7d", "30d"]} />}
        >
          <Show of={usage}>{(answer) => <RequestsChart usage={answer} range={range} />}</Show>
        </Panel>
        <Panel title="Lineage" wide note="Each secret of this key. Limits are counted for all of them together.">
          <Show of={lineage}>{(keys) => <LineageDrawing keys={keys} present={record.id} now={now} />}</Show>
        </Panel>
        <Panel
          title="Limits"
          note="What is left now"
          action={
            coversAdminScope(context.visitor.caller.scopes, "keys:write") && record.status !== "revoked" ? (
              <a href={pageUrl(`keys/${id}/limits`)}>Change</a>
            ) : null
          }
        >
          <Show of={limits}>{(views) => <Limits views={views} />}</Show>
        </Panel>
        <Panel
          title="Outcomes"
          note={range.title}
          action={<a href={pageUrl("usage", { key: id, groupBy: "code", ...rangeParameters(range) })}>More</a>}
        >
          <Show of={byCode}>{({ series }) => <Outcomes rows={sumBy(series, "code")} id={id} range={range} />}</Show>
        </Panel>
        <Panel
          title="Detections"
          wide
          note="What was not like this key, in the last 90 days"
          action={<a href={pageUrl("detections", { subject: id })}>More</a>}
        >
          <Show of={findings}>
            {({ data }) =>
              data.length === 0 ? (
                <Empty title="Nothing found">What compares with a key's past is silent for its first weeks.</Empty>
              ) : (
                <FindingTable findings={data} now={now} />
              )
            }
          </Show>
        </Panel>
        <Panel title="Record" wide>
          <Facts record={record} now={now} />
        </Panel>
        <Panel title="History" wide note="From the audit trail">
          <Show of={audit}>{({ data }) => <History entries={data} now={now} />}</Show>
        </Panel>
      </div>
    </Frame>,
  );
}

async function limitsOf(
  { deps, visitor }: PageContext,
  { id, lineageId, workspace }: KeyRecord,
): Promise<Outcome<readonly LimitView[]>> {
  const allowed = requireScope(visitor.caller.scopes, "keys:read");
  if (!allowed.ok) return allowed;
  return await deps.limitsOfKey({ keyId: id, lineageId, workspace });
}

/** Keys of the same lineage, oldest first. An owner of more keys than one page has may have older ones. */
async function lineageOf({ calls }: PageContext, record: KeyRecord): Promise<Outcome<readonly KeyRecord[]>> {
  const keys = await calls.listKeys({ owner: record.owner, limit: LINEAGE_LIMIT });
  if (!keys.ok) return keys;
  const same = keys.value.data.filter(({ lineageId }) => lineageId === record.lineageId);
  const all = same.some(({ id }) => id === record.id) ? same : [...same, record];
  return { ok: true, value: all.toSorted((a, b) => (a.createdAt < b.createdAt ? -1 : 1)) };
}

function Actions({ record, scopes }: { readonly record: KeyRecord; readonly scopes: readonly string[] }) {
  const { id, status, ownStatus } = record;
  const own = ownStatus ?? status;
  const isOver = status === "revoked" || status === "expired";
  const mayWrite = coversAdminScope(scopes, "keys:write") && !isOver && record.kind !== "workload";
  const mayRevoke = coversAdminScope(scopes, "keys:revoke") && status !== "revoked";
  return (
    <>
      {coversAdminScope(scopes, "usage:read") ? (
        <a class="button" href={pageUrl("requests", { key: id })}>
          Requests
        </a>
      ) : null}
      {mayWrite && own !== "rotating" ? (
        <a class="button primary" href={pageUrl(`keys/${id}/rotate`)}>
          Rotate
        </a>
      ) : null}
      {mayWrite ? (
        own === "disabled" ? (
          <a class="button" href={pageUrl(`keys/${id}/enable`)}>
            Enable
          </a>
        ) : (
          <a class="button" href={pageUrl(`keys/${id}/disable`)}>
            Disable
          </a>
        )
      ) : null}
      {mayRevoke ? (
        <a class="button danger-soft" href={pageUrl(`keys/${id}/revoke`)}>
          Revoke
        </a>
      ) : null}
    </>
  );
}

export function Limits({ views }: { readonly views: readonly LimitView[] }) {
  if (views.length === 0) return <Empty title="No limits">Neither the key, its plan nor its owner has any.</Empty>;
  return (
    <div class="limits">
      {views.map(({ name, limit, remaining, resetSeconds, windowSeconds }) => (
        <div>
          <p class="limit-line">
            <b>{name}</b>
            <span class="number">
              {whole(remaining)} of {whole(limit)} left
            </span>
          </p>
          <Bar share={limit === 0 ? 1 : 1 - remaining / limit} />
          <p class="soft small-text">
            in {duration(windowSeconds)}; begins anew in {duration(resetSeconds)}
          </p>
        </div>
      ))}
    </div>
  );
}

interface OutcomesProps {
  readonly rows: ReturnType<typeof sumBy>;
  readonly id: string;
  readonly range: TimeRange;
}

function Outcomes({ rows, id, range }: OutcomesProps) {
  const most = rows[0]?.requests ?? 0;
  if (most === 0) return <Empty title="Not used in this time" />;
  return (
    <Scroll name="Outcomes">
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Outcome</th>
            <th scope="col" class="number">
              Requests
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({ group, requests }) => (
            <tr>
              <th scope="row">
                {group === "allowed" ? (
                  "Allowed"
                ) : (
                  <a class="plain" href={`/_latchkey/problems/${group}`}>
                    {label(group)}
                  </a>
                )}
                <Bar share={requests / most} />
              </th>
              <td class="number">
                <a class="plain" href={pageUrl("usage", { key: id, code: group, ...rangeParameters(range) })}>
                  {whole(requests)}
                </a>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function Facts({ record, now }: { readonly record: KeyRecord; readonly now: number }) {
  const { bindings, policy, metadata } = record;
  const rows: readonly (readonly [string, unknown])[] = [
    ["Id", <code>{record.id}</code>],
    [
      "Kind",
      <>
        <span class="tag">{record.kind}</span> <Environment name={record.environment} />
      </>,
    ],
    [
      "Scopes",
      record.scopes.length === 0 ? (
        "none"
      ) : (
        <span class="tags">
          {record.scopes.map((scope) => (
            <code>{scope}</code>
          ))}
        </span>
      ),
    ],
    ["Plan", record.plan ?? "none"],
    ["Purpose", record.purpose ?? "not given"],
    [
      "Tags",
      record.tags.length === 0 ? (
        "none"
      ) : (
        <span class="tags">
          {record.tags.map((tag) => (
            <code>{tag}</code>
          ))}
        </span>
      ),
    ],
    [
      "Issued",
      <>
        <Time at={record.createdAt} /> by {record.createdBy}
      </>,
    ],
    ["Last used", <Time at={record.lastUsedAt} now={now} />],
    ["Not before", <Time at={record.notBefore} />],
    ["Expires", record.expiresAt === null ? "never" : <Time at={record.expiresAt} />],
    ...(record.notAfter === null ? [] : [["Overlap ends", <Time at={record.notAfter} />] as const]),
    ...(record.revokedAt === null
      ? []
      : [
          [
            "Revoked",
            <>
              <Time at={record.revokedAt} /> ({record.revokedReason})
            </>,
          ] as const,
        ]),
    [
      "Bindings",
      Object.keys(bindings).length === 0 ? "none: it works from anywhere" : <code>{JSON.stringify(bindings)}</code>,
    ],
    ["Policy", Object.keys(policy).length === 0 ? "as the deployment says" : <code>{JSON.stringify(policy)}</code>],
    ["Metadata", Object.keys(metadata).length === 0 ? "none" : <code>{JSON.stringify(metadata)}</code>],
    ["Generation", whole(record.generation)],
  ];
  return (
    <dl class="facts">
      {rows.map(([name, value]) => (
        <div>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function History({ entries, now }: { readonly entries: readonly AuditEntry[]; readonly now: number }) {
  if (entries.length === 0) return <Empty title="Nothing was done to it" />;
  return (
    <ul class="timeline">
      {entries.map((entry) => (
        <li>
          <Time at={entry.time} now={now} />
          <span>
            <b>{label(entry.action)}</b> by {entry.actor.id}
            {entry.actor.address === null ? null : <span class="soft"> from {entry.actor.address}</span>}
            {entry.note === null ? null : <span class="soft"> · {entry.note}</span>}
          </span>
        </li>
      ))}
    </ul>
  );
}
