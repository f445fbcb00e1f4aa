import type { RegistryStatus } from "../../../durable-objects/key-registry/api.ts";
import type { AuditEntry, KeyRecord, Page } from "../../../durable-objects/key-registry/api.ts";
import type { Outcome } from "../../control/problem.ts";
import { isUndecided, SLOW_CHECK_MS } from "../../usage/health.ts";
import type { UsageAnswer } from "../../usage/query.ts";
import { fragmentAnswer, htmlAnswer } from "../answer.ts";
import { duration, label, milliseconds, percent, plural, short, whole } from "../format.ts";
import { pageUrl } from "../paths.ts";
import { bucketStarts, rangeParameters, readTimeRange, type TimeRange, usageRange } from "../time-range.ts";
import { alongTime, sumBy, sumUnder, textOf, type Summed, type UsageRow } from "../usage-sums.ts";
import { Chart } from "../view/chart.tsx";
import { Frame, PageHead } from "../view/layout.tsx";
import type { PageContext } from "../view/page.ts";
import { Bar, Empty, Figure, KeyLink, Panel, RangePicker, Scroll, Show, Trouble } from "../view/parts.tsx";
import { readKeys, Revocations } from "./overview.tsx";

/** `/_latchkey/on-call`: what fails now, for whom, and since when (row D2). Its middle is asked for again every few seconds. */

const TOP = 8;
const RECENT = 6;
/** A share of failing requests that somebody should look at, and one that somebody should get up for. */
const WARN_SHARE = 0.01;
const BAD_SHARE = 0.05;

interface Findings {
  readonly range: TimeRange;
  readonly over: Outcome<UsageAnswer>;
  readonly rows: Outcome<UsageAnswer>;
  readonly status: Outcome<RegistryStatus>;
  readonly revocations: Outcome<Page<AuditEntry>>;
  readonly keys: ReadonlyMap<string, KeyRecord>;
  readonly now: number;
}

export async function onCallPage(context: PageContext): Promise<Response> {
  const { url } = context;
  const found = await look(context);
  if (url.searchParams.get("part") === "live") return await fragmentAnswer(<Live of={found} />);
  return await htmlAnswer(
    <Frame context={context} title="On call" place="on-call" scripts={["uplot", "charts", "live"]}>
      <PageHead title="On call" lead="What fails, for whom, and since when.">
        <span class="live">
          <span id="live-state">As of this page</span>
          <button id="live-switch" type="button" class="small" hidden>
            Pause
          </button>
          <span id="live-told" class="sr" role="status" />
        </span>
        <RangePicker range={found.range} url={url} presets={["15m", "1h", "6h", "24h"]} />
      </PageHead>
      <div data-live>
        <Live of={found} />
      </div>
    </Frame>,
  );
}

async function look({ calls, url, now }: PageContext): Promise<Findings> {
  const range = readTimeRange(url.searchParams, now, "1h");
  const asked = usageRange(range);
  const [over, rows, status, revocations] = await Promise.all([
    calls.readUsage({ ...asked, distributions: "true" }),
    calls.readUsage({ ...asked, granularity: "day", groupBy: "key,code,status" }),
    calls.registryStatus(),
    calls.listAudit({ action: "key.revoke", limit: RECENT }),
  ]);
  const series = rows.ok ? rows.value.series : [];
  const worst = [failingKeys(series), limitedKeys(series), brokenKeys(series)].flatMap((keys) => keys.slice(0, TOP));
  const keys = await readKeys(
    calls,
    worst.map(({ group }) => group).filter((id) => id !== ""),
  );
  return { range, over, rows, status, revocations, keys, now };
}

function isBroken(row: UsageRow): boolean {
  return Number(row.status) >= 500 || isUndecided(textOf(row.code));
}

function isLimited(row: UsageRow): boolean {
  return Number(row.status) === 429;
}

function failingKeys(series: readonly UsageRow[]): readonly Summed[] {
  return sumUnder(series, (row) => (textOf(row.code) === "allowed" && !isBroken(row) ? null : textOf(row.key)));
}

function limitedKeys(series: readonly UsageRow[]): readonly Summed[] {
  return sumUnder(series, (row) => (isLimited(row) ? textOf(row.key) : null));
}

function brokenKeys(series: readonly UsageRow[]): readonly Summed[] {
  return sumUnder(series, (row) => (isBroken(row) ? textOf(row.key) : null));
}

function Live({ of: found }: { readonly of: Findings }) {
  const { rows, over, range, status, revocations, now } = found;
  return (
    <>
      {rows.ok && over.ok ? (
        <State rows={rows.value} over={over.value} range={range} />
      ) : (
        <Trouble problem={problemOf(rows, over)} />
      )}
      <div class="grid">
        {over.ok ? <Charts over={over.value} range={range} /> : null}
        {rows.ok ? <Worst found={found} series={rows.value.series} /> : null}
        <Panel
          title="Recent revocations"
          wide
          note={status.ok ? deliveryNote(status.value) : undefined}
          action={<a href={pageUrl("audit", { action: "key.revoke" })}>All</a>}
        >
          <Show of={revocations}>{({ data }) => <Revocations entries={data} now={now} />}</Show>
        </Panel>
      </div>
    </>
  );
}

function problemOf(...outcomes: readonly Outcome<unknown>[]) {
  for (const outcome of outcomes) if (!outcome.ok) return outcome.error;
  return { code: "internal_error", detail: "" } as const;
}

function deliveryNote({
  revocationDelivery: { lastSeconds, maxSeconds },
  outboxPending,
  outboxOldestSeconds,
}: RegistryStatus): string {
  const late =
    outboxPending === 0
      ? "nothing waits"
      : `${plural(outboxPending, "change")} waiting, for ${duration(outboxOldestSeconds)}`;
  if (lastSeconds === null || maxSeconds === null) return `Delivery to meters: ${late}.`;
  return `Delivery to meters: the last took ${milliseconds(lastSeconds * 1_000)}, the longest ${milliseconds(maxSeconds * 1_000)}; ${late}.`;
}

interface StateProps {
  readonly rows: UsageAnswer;
  readonly over: UsageAnswer;
  readonly range: TimeRange;
}

function State({ rows: { series, totals }, over, range }: StateProps) {
  const broken = sum(series.filter(isBroken));
  const limited = sum(series.filter(isLimited));
  const share = totals.requests === 0 ? 0 : broken / totals.requests;
  const auth = over.totals.authMs ?? null;
  const slow = auth !== null && auth.p95 > SLOW_CHECK_MS;
  const tone = share >= BAD_SHARE ? "bad" : share >= WARN_SHARE || slow ? "warn" : "good";
  const address = rangeParameters(range);
  return (
    <>
      <p class={`verdict ${tone}`}>
        <span data-verdict>{verdictOf(totals.requests, share, slow)}</span>
      </p>
      <div class="figures">
        <Figure
          name="Failing"
          value={percent(share)}
          exact={whole(broken)}
          href={pageUrl("usage", { groupBy: "status", ...address })}
          note={`${plural(broken, "request")} ended in 5xx`}
        />
        <Figure
          name="Refused"
          value={percent(totals.requests === 0 ? 0 : totals.refused / totals.requests, 1)}
          exact={whole(totals.refused)}
          href={pageUrl("usage", { groupBy: "code", outcome: "refused", ...address })}
          note={plural(totals.refused, "request")}
        />
        <Figure
          name="429"
          value={short(limited)}
          exact={whole(limited)}
          href={pageUrl("usage", { groupBy: "key", status: "429", ...address })}
          note="over a limit"
        />
        <Figure
          name="Auth p95"
          value={milliseconds(auth?.p95)}
          href={pageUrl("usage", { ...address })}
          note={`p50 ${milliseconds(auth?.p50)}, p99 ${milliseconds(auth?.p99)}`}
          {...(slow ? { tone: "warn" as const } : {})}
        />
        <Figure
          name="Latency p95"
          value={milliseconds(over.totals.latencyMs?.p95)}
          href={pageUrl("usage", { groupBy: "route", ...address })}
          note={`p50 ${milliseconds(over.totals.latencyMs?.p50)}, p99 ${milliseconds(over.totals.latencyMs?.p99)}`}
        />
      </div>
    </>
  );
}

function verdictOf(requests: number, share: number, slow: boolean): string {
  if (requests === 0) return "Quiet: nobody called in this time";
  if (share >= BAD_SHARE) return "Failing: more than one request in twenty ends in an error";
  if (share >= WARN_SHARE) return "Degraded: more than one request in a hundred ends in an error";
  if (slow) return `Slow: deciding takes more than ${SLOW_CHECK_MS} ms for one request in twenty`;
  return "Healthy: requests are decided and answered";
}

function sum(rows: readonly UsageRow[]): number {
  return rows.reduce((total, { requests }) => total + requests, 0);
}

function Charts({ over, range }: { readonly over: UsageAnswer; readonly range: TimeRange }) {
  const starts = bucketStarts(range);
  const quantile = (name: "p50" | "p95" | "p99") =>
    alongTime(over.series, starts, (row) => row.latencyMs?.[name] ?? null, null);
  if (over.totals.requests === 0) return null;
  return (
    <>
      <Panel title="Requests" note={range.title}>
        <Chart
          title="Requests"
          times={starts}
          show={whole}
          lines={[
            { name: "Allowed", tone: "one", values: alongTime(over.series, starts, (row) => row.allowed, 0) },
            { name: "Refused", tone: "bad", values: alongTime(over.series, starts, (row) => row.refused, 0) },
          ]}
        />
      </Panel>
      <Panel title="Latency" note="Total, as clients see it">
        <Chart
          title="Latency"
          kind="lines"
          unit="ms"
          times={starts}
          show={milliseconds}
          lines={[
            { name: "p50", tone: "one", values: quantile("p50") },
            { name: "p95", tone: "two", values: quantile("p95") },
            { name: "p99", tone: "three", values: quantile("p99") },
          ]}
        />
      </Panel>
    </>
  );
}

function Worst({ found: { keys, range }, series }: { readonly found: Findings; readonly series: readonly UsageRow[] }) {
  const address = rangeParameters(range);
  const kinds = sumBy(
    series.filter((row) => textOf(row.code) !== "allowed"),
    "code",
  );
  const toKey = ({ group }: Summed) =>
    group === "" ? (
      <span class="soft">no known key</span>
    ) : (
      <KeyLink id={group} name={keys.get(group)?.name} hint={keys.get(group)?.hint} />
    );
  return (
    <>
      <Panel title="Top failing keys" note="Refused, or ended in 5xx">
        <Counts
          name="Top failing keys"
          head="Key"
          rows={failingKeys(series)}
          of={toKey}
          to={({ group }) => pageUrl("usage", { key: group, groupBy: "code", ...address })}
        />
      </Panel>
      <Panel title="Kinds of refusal">
        <Counts
          name="Kinds of refusal"
          head="Code"
          rows={kinds}
          of={({ group }) => (
            <a class="plain" href={`/_latchkey/problems/${group}`}>
              {label(group)}
            </a>
          )}
          to={({ group }) => pageUrl("usage", { code: group, groupBy: "key", ...address })}
        />
      </Panel>
      <Panel title="429 by key">
        <Counts
          name="429 by key"
          head="Key"
          rows={limitedKeys(series)}
          of={toKey}
          to={({ group }) => pageUrl("usage", { key: group, status: "429", ...address })}
        />
      </Panel>
      <Panel title="5xx by key">
        <Counts
          name="5xx by key"
          head="Key"
          rows={brokenKeys(series)}
          of={toKey}
          to={({ group }) => pageUrl("usage", { key: group, groupBy: "status", ...address })}
        />
      </Panel>
    </>
  );
}

interface CountsProps {
  readonly name: string;
  readonly head: string;
  readonly rows: readonly Summed[];
  readonly of: (row: Summed) => ReturnType<typeof KeyLink>;
  readonly to: (row: Summed) => string;
}

function Counts({ name, head, rows, of, to }: CountsProps) {
  const most = rows[0]?.requests ?? 0;
  if (most === 0) return <Empty title="None in this time" />;
  return (
    <Scroll name={name}>
      <table class="table">
        <thead>
          <tr>
            <th scope="col">{head}</th>
            <th scope="col" class="number">
              Requests
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.slice(0, TOP).map((row) => (
            <tr>
              <th scope="row">
                {of(row)}
                <Bar share={row.requests / most} />
              </th>
              <td class="number">
                <a class="plain" href={to(row)}>
                  {whole(row.requests)}
                </a>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}
