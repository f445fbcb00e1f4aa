import type { Outcome } from "../../control/problem.ts";
import { USAGE_DIMENSIONS, type UsageAnswer, type UsageDimension } from "../../usage/query.ts";
import { csvDownload, htmlAnswer } from "../answer.ts";
import { dollars, label, milliseconds, percent, short, whole } from "../format.ts";
import { changedUrl, pageUrl } from "../paths.ts";
import { bucketStarts, rangeParameters, readTimeRange, type TimeRange, usageRange } from "../time-range.ts";
import { alongTime, sumBy, type Summed, textOf, type UsageRow } from "../usage-sums.ts";
import { Chart, type Line } from "../view/chart.tsx";
import { Frame, PageHead } from "../view/layout.tsx";
import type { PageContext } from "../view/page.ts";
import { Bar, Empty, Figure, KeyLink, Panel, RangePicker, Scroll, Show } from "../view/parts.tsx";
import { readKeys } from "./overview.tsx";
import { problemAnswer } from "./problem.tsx";
import type { KeyRecord } from "../../../durable-objects/key-registry/api.ts";

/** `/_latchkey/usage`: who used what, by any two of the ledger's dimensions. What it shows is what `GET /usage` answers. */

const MAX_ROWS = 200;
const NAMED = 25;
const TONES = ["one", "two", "three", "warn"] as const;

const NAMES: Readonly<Record<UsageDimension, string>> = {
  key: "Key",
  owner: "Owner",
  route: "Route",
  status: "Status",
  code: "Outcome",
  country: "Country",
  environment: "Environment",
  lineage: "Lineage",
  asn: "Network (ASN)",
  upstream: "Upstream",
};

export async function usagePage(context: PageContext): Promise<Response> {
  const { calls, url, now } = context;
  const range = readTimeRange(url.searchParams, now);
  const dimension = readDimension(url.searchParams.get("groupBy"));
  const filters = filtersOf(url.searchParams);
  if (url.searchParams.get("format") === "csv") return await csvAnswer(context, range, dimension);
  const asked = { ...usageRange(range), ...filters };
  const [total, grouped] = await Promise.all([
    calls.readUsage({ ...asked, distributions: "true" }),
    dimension === null ? null : calls.readUsage({ ...asked, groupBy: dimension }),
  ]);
  // Many groups in many buckets are more than one answer holds: their sums, without their course, are less.
  const sums =
    grouped === null || grouped.ok
      ? grouped
      : await calls.readUsage({ ...asked, granularity: "day", groupBy: dimension ?? "" });
  const onlyRefused = url.searchParams.get("outcome") === "refused";
  const shown = sums !== null && sums.ok && onlyRefused ? withoutAllowed(sums) : sums;
  const names =
    dimension === "key" && shown?.ok === true ? await namesOf(context, shown.value) : new Map<string, KeyRecord>();
  return await htmlAnswer(
    <Frame context={context} title="Usage" place="usage" scripts={["uplot", "charts"]}>
      <PageHead title="Usage" lead="Who used what: some seconds behind, exact, and kept for 25 months.">
        <a class="button" href={changedUrl(url, { format: "csv" })} download>
          Download CSV
        </a>
        <RangePicker range={range} url={url} presets={["1h", "24h", "7d", "30d", "90d"]} />
      </PageHead>
      <Panel title="Filters" wide>
        <FilterForm url={url} range={range} dimension={dimension} />
      </Panel>
      <div class="spacer" />
      <Show of={total}>
        {({ totals }) => (
          <div class="figures">
            <Figure name="Requests" value={short(totals.requests)} exact={whole(totals.requests)} note={range.title} />
            <Figure
              name="Refused"
              value={percent(totals.requests === 0 ? 0 : totals.refused / totals.requests, 1)}
              exact={whole(totals.refused)}
              href={changedUrl(url, { groupBy: "code", outcome: "refused" })}
              note={whole(totals.refused)}
            />
            <Figure name="Cost units" value={short(totals.cost)} exact={whole(totals.cost)} />
            <Figure name="Platform cost" value={dollars(totals.estimatedCostUsd)} note="estimated" />
            <Figure
              name="Latency p95"
              value={milliseconds(totals.latencyMs?.p95)}
              note={`p50 ${milliseconds(totals.latencyMs?.p50)}, p99 ${milliseconds(totals.latencyMs?.p99)}`}
            />
            <Figure name="Addresses" value={short(totals.distinctAddresses ?? 0)} note="different ones" />
          </div>
        )}
      </Show>
      <div class="grid">
        <Panel
          title={dimension === null ? "Requests" : `Requests by ${NAMES[dimension].toLowerCase()}`}
          note={range.title}
          wide
        >
          <Course
            total={total}
            grouped={grouped?.ok === true && shown?.ok === true ? shown : null}
            range={range}
            dimension={dimension}
            names={names}
          />
        </Panel>
        {dimension === null || shown === null ? null : (
          <Panel title={NAMES[dimension]} wide>
            <Show of={shown}>
              {({ series }) => (
                <Groups rows={sumBy(series, dimension)} dimension={dimension} url={url} range={range} names={names} />
              )}
            </Show>
          </Panel>
        )}
      </div>
    </Frame>,
  );
}

function readDimension(text: string | null): UsageDimension | null {
  return USAGE_DIMENSIONS.find((dimension) => dimension === text) ?? null;
}

function filtersOf(parameters: URLSearchParams): Readonly<Record<string, string | undefined>> {
  return Object.fromEntries(USAGE_DIMENSIONS.map((name) => [name, parameters.get(name)?.trim() || undefined]));
}

function withoutAllowed(
  answer: Outcome<UsageAnswer> & { readonly ok: true },
): Outcome<UsageAnswer> & { readonly ok: true } {
  const series = answer.value.series.filter((row) => row.refused > 0);
  return { ok: true, value: { ...answer.value, series } };
}

async function namesOf({ calls }: PageContext, { series }: UsageAnswer): Promise<ReadonlyMap<string, KeyRecord>> {
  const ids = sumBy(series, "key").map(({ group }) => group);
  return await readKeys(calls, ids.filter((id) => id !== "").slice(0, NAMED));
}

/** The same numbers as a file. */
async function csvAnswer(
  { calls, url, request }: PageContext,
  range: TimeRange,
  dimension: UsageDimension | null,
): Promise<Response> {
  const asked = { ...usageRange(range), ...filtersOf(url.searchParams), groupBy: dimension ?? undefined };
  const table = await calls.download(asked);
  return table.ok ? csvDownload(table.value, "usage.csv") : await problemAnswer(request, table.error);
}

interface FilterFormProps {
  readonly url: URL;
  readonly range: TimeRange;
  readonly dimension: UsageDimension | null;
}

const PLACEHOLDERS: Readonly<Partial<Record<UsageDimension, string>>> = {
  key: "key_…",
  route: "/reports/*",
  status: "429",
  code: "rate_limited",
  country: "DE",
};

function FilterForm({ url, range, dimension }: FilterFormProps) {
  const value = (name: string): string => url.searchParams.get(name) ?? "";
  const offered: readonly UsageDimension[] = [
    "key",
    "owner",
    "route",
    "status",
    "code",
    "country",
    "environment",
    "upstream",
    "asn",
    "lineage",
  ];
  const some = offered.filter((name, index) => index < 7 || value(name) !== "");
  return (
    <form method="get" action={pageUrl("usage")} class="filters">
      <label>
        Group by
        <select name="groupBy">
          <option value="">Nothing</option>
          {offered.map((name) => (
            <option value={name} selected={name === dimension}>
              {NAMES[name]}
            </option>
          ))}
        </select>
      </label>
      {some.map((name) => (
        <label>
          {NAMES[name]}
          <input name={name} value={value(name)} placeholder={PLACEHOLDERS[name] ?? ""} />
        </label>
      ))}
      <label>
        From (UTC)
        <input type="datetime-local" name="from" value={range.preset === null ? inputTime(range.from) : ""} />
      </label>
      <label>
        To (UTC)
        <input type="datetime-local" name="to" value={range.preset === null ? inputTime(range.to) : ""} />
      </label>
      {range.preset === null ? null : <input type="hidden" name="range" value={range.preset} />}
      <button>Show</button>
      <a class="button" href={pageUrl("usage", rangeParameters(range))}>
        Clear
      </a>
    </form>
  );
}

function inputTime(time: number): string {
  return new Date(time).toISOString().slice(0, 16);
}

interface CourseProps {
  readonly total: Outcome<UsageAnswer>;
  readonly grouped: (Outcome<UsageAnswer> & { readonly ok: true }) | null;
  readonly range: TimeRange;
  readonly dimension: UsageDimension | null;
  readonly names: ReadonlyMap<string, KeyRecord>;
}

function Course({ total, grouped, range, dimension, names }: CourseProps) {
  if (!total.ok) return <Show of={total}>{() => null}</Show>;
  if (total.value.totals.requests === 0)
    return <Empty title="No requests">Nothing that fits happened in this time.</Empty>;
  const starts = bucketStarts(range);
  const lines =
    grouped === null || dimension === null
      ? outcomeLines(total.value.series, starts)
      : groupLines(grouped.value.series, starts, dimension, names);
  return <Chart title="Requests" times={starts} show={whole} lines={lines} />;
}

function outcomeLines(series: readonly UsageRow[], starts: readonly number[]): readonly Line[] {
  return [
    { name: "Allowed", tone: "one", values: alongTime(series, starts, (row) => row.allowed, 0) },
    { name: "Refused", tone: "bad", values: alongTime(series, starts, (row) => row.refused, 0) },
  ];
}

/** The largest few, and the rest together. */
function groupLines(
  series: readonly UsageRow[],
  starts: readonly number[],
  dimension: UsageDimension,
  names: ReadonlyMap<string, KeyRecord>,
): readonly Line[] {
  const largest = sumBy(series, dimension)
    .slice(0, TONES.length - 1)
    .map(({ group }) => group);
  const lines = largest.map((group, index) => ({
    name: names.get(group)?.name ?? (group === "" ? "Not known" : group),
    tone: TONES[index] ?? "one",
    values: alongTime(
      series.filter((row) => textOf(row[dimension]) === group),
      starts,
      (row) => row.requests,
      0,
    ),
  }));
  const rest = series.filter((row) => !largest.includes(textOf(row[dimension])));
  return rest.length === 0
    ? lines
    : [...lines, { name: "Others", tone: "warn", values: alongTime(rest, starts, (row) => row.requests, 0) }];
}

interface GroupsProps {
  readonly rows: readonly Summed[];
  readonly dimension: UsageDimension;
  readonly url: URL;
  readonly range: TimeRange;
  readonly names: ReadonlyMap<string, KeyRecord>;
}

function Groups({ rows, dimension, url, range, names }: GroupsProps) {
  const most = rows[0]?.requests ?? 0;
  if (most === 0) return <Empty title="Nothing to count" />;
  return (
    <>
      <Scroll name={NAMES[dimension]}>
        <table class="table">
          <thead>
            <tr>
              <th scope="col">{NAMES[dimension]}</th>
              <th scope="col" class="number">
                Requests
              </th>
              <th scope="col" class="number wide-only">
                Allowed
              </th>
              <th scope="col" class="number">
                Refused
              </th>
              <th scope="col" class="number wide-only">
                Cost units
              </th>
              <th scope="col" class="number wide-only">
                Platform cost
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, MAX_ROWS).map((row) => (
              <tr>
                <th scope="row">
                  <GroupName group={row.group} dimension={dimension} names={names} />
                  <Bar share={row.requests / most} />
                </th>
                <td class="number">
                  <a
                    class="plain"
                    href={changedUrl(url, {
                      [dimension]: row.group,
                      groupBy: dimension === "code" ? "key" : "code",
                      outcome: null,
                      ...rangeParameters(range),
                    })}
                  >
                    {whole(row.requests)}
                  </a>
                </td>
                <td class="number wide-only">{whole(row.allowed)}</td>
                <td class="number">{whole(row.refused)}</td>
                <td class="number wide-only">{whole(row.cost)}</td>
                <td class="number wide-only">{dollars(row.estimatedUsd)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      {rows.length > MAX_ROWS ? (
        <p class="panel-body soft">
          The {MAX_ROWS} largest of {whole(rows.length)}: the file has all of them.
        </p>
      ) : null}
    </>
  );
}

function GroupName({
  group,
  dimension,
  names,
}: {
  readonly group: string;
  readonly dimension: UsageDimension;
  readonly names: ReadonlyMap<string, KeyRecord>;
}) {
  if (group === "") return <span class="soft">Not known</span>;
  if (dimension === "key") return <KeyLink id={group} name={names.get(group)?.name} hint={names.get(group)?.hint} />;
  if (dimension === "owner")
    return (
      <a class="plain" href={pageUrl(`owners/${group}`)}>
        {group}
      </a>
    );
  if (dimension === "code" && group !== "allowed")
    return (
      <a class="plain" href={`/_latchkey/problems/${group}`}>
        {label(group)}
      </a>
    );
  return <>{dimension === "code" ? "Allowed" : group}</>;
}
