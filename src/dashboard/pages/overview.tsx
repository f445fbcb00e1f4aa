import type { AuditEntry, KeyRecord } from "../../../durable-objects/key-registry/api.ts";
import { DEFAULT_OBJECTIVES } from "../../alerts/config.ts";
import type { Outcome } from "../../control/problem.ts";
import type { UsageAnswer } from "../../usage/query.ts";
import { htmlAnswer } from "../answer.ts";
import type { ControlCalls } from "../control-calls.ts";
import { dollars, percent, plural, short, whole } from "../format.ts";
import { pageUrl } from "../paths.ts";
import { bucketStarts, rangeParameters, readTimeRange, type TimeRange, usageRange } from "../time-range.ts";
import { alongTime, authSuccess, budgetUsed, sumBy, type Summed } from "../usage-sums.ts";
import { AlertTable } from "./alerts.tsx";
import { Chart } from "../view/chart.tsx";
import { Frame, PageHead } from "../view/layout.tsx";
import type { PageContext } from "../view/page.ts";
import { Bar, Empty, Figure, KeyLink, Panel, RangePicker, Scroll, Show, Time } from "../view/parts.tsx";

/** `/_latchkey/`: how the install is doing, for who has a minute (row D1). */

const TOP = 10;
const RECENT = 8;
const ANY_ALERT = { state: undefined, severity: undefined, kind: undefined, owner: undefined } as const;
const SOON_DAYS = 30;
const MAX_COUNTED = 200;

export async function overviewPage(context: PageContext): Promise<Response> {
  const { calls, url, now } = context;
  const range = readTimeRange(url.searchParams, now);
  const asked = usageRange(range);
  const [byCode, overTime, byKey, byOwner, status, issued, expiring, revocations, alerts] = await Promise.all([
    calls.readUsage({ ...asked, granularity: "day", groupBy: "code" }),
    calls.readUsage(asked),
    calls.readUsage({ ...asked, granularity: "day", groupBy: "key" }),
    calls.readUsage({ ...asked, granularity: "day", groupBy: "owner" }),
    calls.registryStatus(),
    calls.listKeys({ createdAfter: new Date(range.from).toISOString(), limit: MAX_COUNTED }),
    calls.listKeys({
      status: "active",
      expiresBefore: new Date(now + SOON_DAYS * 86_400_000).toISOString(),
      limit: MAX_COUNTED,
    }),
    calls.listAudit({ action: "key.revoke", limit: RECENT }),
    calls.listAlerts({ ...ANY_ALERT, state: "firing", limit: RECENT }),
  ]);
  const names = await keyNames(calls, byKey);
  return await htmlAnswer(
    <Frame context={context} title="Overview" place="" scripts={["uplot", "charts"]}>
      <PageHead
        title="Overview"
        lead={
          <>
            What happened in workspace <b>{context.visitor.caller.workspace}</b>.
          </>
        }
      >
        <RangePicker range={range} url={url} presets={["1h", "24h", "7d", "30d"]} />
      </PageHead>
      <div class="figures">
        <Show of={status}>
          {({ keysByStatus }) => (
            <Figure
              name="Active keys"
              value={short(keysByStatus.active + keysByStatus.rotating)}
              exact={whole(keysByStatus.active + keysByStatus.rotating)}
              href={pageUrl("keys", { status: "active" })}
              note={
                issued.ok ? (
                  <a href={pageUrl("keys", { createdAfter: new Date(range.from).toISOString() })}>
                    +{counted(issued.value)} {range.title.toLowerCase()}
                  </a>
                ) : undefined
              }
            />
          )}
        </Show>
        <UsageFigures byCode={byCode} range={range} objective={objectiveOf(context)} />
        {expiring.ok ? (
          <Figure
            name="Expiring soon"
            value={counted(expiring.value)}
            href={pageUrl("keys", { status: "active", expires: `${SOON_DAYS}d` })}
            note={`within ${SOON_DAYS} days`}
          />
        ) : null}
      </div>
      <div class="grid">
        <Panel title="Requests" note={range.title} wide>
          <Show of={overTime}>{(usage) => <RequestsChart usage={usage} range={range} />}</Show>
        </Panel>
        <Panel title="Alerts" note="Firing, in nobody's hand" wide action={<a href={pageUrl("alerts")}>All</a>}>
          <Show of={alerts}>
            {({ data }) =>
              data.length === 0 ? (
                <Empty title="Nothing is wrong">No alert is firing.</Empty>
              ) : (
                <AlertTable alerts={data} now={now} />
              )
            }
          </Show>
        </Panel>
        <Panel
          title="Top keys"
          action={<a href={pageUrl("usage", { groupBy: "key", ...rangeParameters(range) })}>All</a>}
        >
          <Show of={byKey}>
            {({ series }) => (
              <TopTable
                name="Top keys"
                rows={sumBy(series, "key")
                  .filter(({ group }) => group !== "")
                  .slice(0, TOP)}
                head="Key"
                of={(row) => (
                  <KeyLink id={row.group} name={names.get(row.group)?.name} hint={names.get(row.group)?.hint} />
                )}
                filter="key"
                range={range}
              />
            )}
          </Show>
        </Panel>
        <Panel
          title="Top owners"
          action={<a href={pageUrl("usage", { groupBy: "owner", ...rangeParameters(range) })}>All</a>}
        >
          <Show of={byOwner}>
            {({ series }) => (
              <TopTable
                name="Top owners"
                rows={sumBy(series, "owner")
                  .filter(({ group }) => group !== "")
                  .slice(0, TOP)}
                head="Owner"
                of={(row) => (
                  <a class="plain" href={pageUrl(`owners/${row.group}`)}>
                    {row.group}
                  </a>
                )}
                filter="owner"
                range={range}
              />
            )}
          </Show>
        </Panel>
        <Panel title="Recent revocations" wide action={<a href={pageUrl("keys", { status: "revoked" })}>All</a>}>
          <Show of={revocations}>{({ data }) => <Revocations entries={data} now={now} />}</Show>
        </Panel>
      </div>
    </Frame>,
  );
}

function counted({
  data,
  nextCursor,
}: {
  readonly data: readonly unknown[];
  readonly nextCursor: string | null;
}): string {
  return `${whole(data.length)}${nextCursor === null ? "" : "+"}`;
}

/** Names of the keys that are shown; one that cannot be read is shown by its id. */
export async function keyNames(
  calls: ControlCalls,
  usage: Outcome<UsageAnswer>,
  count = TOP,
): Promise<ReadonlyMap<string, KeyRecord>> {
  const ids = usage.ok ? sumBy(usage.value.series, "key").map(({ group }) => group) : [];
  return await readKeys(calls, ids.filter((id) => id !== "").slice(0, count));
}

export async function readKeys(calls: ControlCalls, ids: readonly string[]): Promise<ReadonlyMap<string, KeyRecord>> {
  const read = await Promise.all([...new Set(ids)].map((id) => calls.readKey(id)));
  return new Map(read.flatMap((record) => (record.ok ? [[record.value.id, record.value] as const] : [])));
}

function objectiveOf({ deps }: PageContext): number {
  return deps.control.config.alerts?.objectives?.authSuccess ?? DEFAULT_OBJECTIVES.authSuccess;
}

interface UsageFiguresProps {
  readonly byCode: Outcome<UsageAnswer>;
  readonly range: TimeRange;
  /** Share of the checks that is to be decided: the one that burn rates are counted against. */
  readonly objective: number;
}

function UsageFigures({ byCode, range, objective }: UsageFiguresProps) {
  if (!byCode.ok) return <Show of={byCode}>{() => null}</Show>;
  const { totals, series } = byCode.value;
  const codes = sumBy(series, "code");
  const success = authSuccess(codes);
  const refused = totals.requests === 0 ? 0 : totals.refused / totals.requests;
  const address = rangeParameters(range);
  return (
    <>
      <Figure
        name="Requests"
        value={short(totals.requests)}
        exact={whole(totals.requests)}
        href={pageUrl("usage", address)}
        note={`${short(totals.cost)} cost units`}
      />
      <Figure
        name="Auth success"
        value={success === null ? "–" : percent(success, 3)}
        href={pageUrl("usage", { groupBy: "code", ...address })}
        {...(success === null ? {} : { tone: success >= objective ? ("good" as const) : ("bad" as const) })}
        note={
          success === null
            ? "no decision was asked for"
            : `objective ${Number((objective * 100).toFixed(3))} %: ${percent(budgetUsed(success, objective), 0)} of its budget used`
        }
      />
      <Figure
        name="Refused"
        value={percent(refused, 1)}
        exact={whole(totals.refused)}
        href={pageUrl("usage", { groupBy: "code", outcome: "refused", ...address })}
        note={plural(totals.refused, "request")}
      />
      <Figure
        name="Platform cost"
        value={dollars(totals.estimatedCostUsd)}
        href={pageUrl("usage", { groupBy: "owner", ...address })}
        note="estimated"
      />
    </>
  );
}

export function RequestsChart({ usage, range }: { readonly usage: UsageAnswer; readonly range: TimeRange }) {
  if (usage.totals.requests === 0)
    return (
      <Empty title="No requests in this time">Choose a longer time, or send some: they show within seconds.</Empty>
    );
  const starts = bucketStarts(range);
  return (
    <Chart
      title="Requests"
      times={starts}
      show={whole}
      lines={[
        { name: "Allowed", tone: "one", values: alongTime(usage.series, starts, (row) => row.allowed, 0) },
        { name: "Refused", tone: "bad", values: alongTime(usage.series, starts, (row) => row.refused, 0) },
      ]}
    />
  );
}

interface TopTableProps {
  readonly name: string;
  readonly rows: readonly Summed[];
  readonly head: string;
  readonly of: (row: Summed) => unknown;
  readonly filter: "key" | "owner";
  readonly range: TimeRange;
}

function TopTable({ name, rows, head, of, filter, range }: TopTableProps) {
  const most = rows[0]?.requests ?? 0;
  if (most === 0) return <Empty title="Nobody called in this time" />;
  return (
    <Scroll name={name}>
      <table class="table">
        <thead>
          <tr>
            <th scope="col">{head}</th>
            <th scope="col" class="number">
              Requests
            </th>
            <th scope="col" class="number wide-only">
              Refused
            </th>
            <th scope="col" class="number">
              Cost
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr>
              <th scope="row">
                {of(row)}
                <Bar share={row.requests / most} />
              </th>
              <td class="number">
                <a class="plain" href={pageUrl("usage", { [filter]: row.group, ...rangeParameters(range) })}>
                  {whole(row.requests)}
                </a>
              </td>
              <td class="number wide-only">{percent(row.requests === 0 ? 0 : row.refused / row.requests, 1)}</td>
              <td class="number" title={`${whole(row.cost)} cost units; on the platform ${dollars(row.estimatedUsd)}`}>
                {short(row.cost)}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

/** The record that an audit entry left behind, as far as it is one of a key. */
export function recordIn(entry: AuditEntry): Partial<KeyRecord> {
  // Entries about keys hold records; what is shown of them is looked at before.
  return typeof entry.after === "object" && entry.after !== null ? entry.after : {};
}

export function Revocations({ entries, now }: { readonly entries: readonly AuditEntry[]; readonly now: number }) {
  if (entries.length === 0)
    return <Empty title="No key was revoked">That is how it should be, most of the time.</Empty>;
  return (
    <Scroll name="Recent revocations">
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Key</th>
            <th scope="col" class="wide-only">
              Owner
            </th>
            <th scope="col">Reason</th>
            <th scope="col" class="wide-only">
              By
            </th>
            <th scope="col">When</th>
          </tr>
        </thead>
        <tbody>
          {entries.map((entry) => {
            const { name, hint, owner, revokedReason } = recordIn(entry);
            return (
              <tr>
                <th scope="row">
                  <KeyLink id={entry.subject.id} name={name} hint={hint} />
                </th>
                <td class="wide-only">
                  {owner === undefined ? (
                    "–"
                  ) : (
                    <a class="plain" href={pageUrl(`owners/${owner}`)}>
                      {owner}
                    </a>
                  )}
                </td>
                <td>{revokedReason ?? "–"}</td>
                <td class="wide-only">{entry.actor.id}</td>
                <td class="tight">
                  <Time at={entry.time} now={now} />
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </Scroll>
  );
}
