import type { OwnerRecord } from "../../../durable-objects/key-registry/api.ts";
import { coversAdminScope } from "../../keys/admin-scopes.ts";
import { htmlAnswer, seeOther } from "../answer.ts";
import { dollars, percent, short, whole } from "../format.ts";
import { pageUrl } from "../paths.ts";
import { rangeParameters, readTimeRange, usageRange } from "../time-range.ts";
import { sumBy, type Summed } from "../usage-sums.ts";
import { Frame, PageHead } from "../view/layout.tsx";
import type { PageContext } from "../view/page.ts";
import { Badge, Empty, Figure, Pager, Panel, RangePicker, Scroll, Show, Time } from "../view/parts.tsx";
import { KeyTable } from "./keys.tsx";
import { History } from "./key.tsx";
import { RequestsChart } from "./overview.tsx";
import { problemAnswer } from "./problem.tsx";

/** `/_latchkey/owners` and one owner's page: whose keys there are, what they used, and the stop of all of them at once. */

const PAGE_ROWS = 50;
const KEY_ROWS = 50;
const AUDIT_ROWS = 10;

export async function ownersPage(context: PageContext): Promise<Response> {
  const { calls, url, now } = context;
  const range = readTimeRange(url.searchParams, now);
  const [page, usage] = await Promise.all([
    calls.listOwners({ limit: PAGE_ROWS, cursor: url.searchParams.get("cursor") ?? undefined }),
    calls.readUsage({ ...usageRange(range), granularity: "day", groupBy: "owner" }),
  ]);
  const used = new Map(usage.ok ? sumBy(usage.value.series, "owner").map((sum) => [sum.group, sum] as const) : []);
  return await htmlAnswer(
    <Frame context={context} title="Owners" place="owners">
      <PageHead title="Owners" lead="Whose keys there are. An owner comes into being with its first key.">
        <RangePicker range={range} url={url} presets={["24h", "7d", "30d"]} />
      </PageHead>
      <Panel title="Owners" wide note={usage.ok ? `Requests: ${range.title.toLowerCase()}` : undefined}>
        <form method="get" action={pageUrl("owners/find")} class="filters" role="search">
          <label class="grow">
            Open by name
            <input name="id" required maxlength={64} />
          </label>
          <button>Open</button>
        </form>
        <Show of={page}>
          {({ data, nextCursor }) => (
            <>
              {data.length === 0 ? (
                <Empty title="No owners">They come with keys.</Empty>
              ) : (
                <OwnerTable owners={data} used={used} query={rangeParameters(range)} />
              )}
              <Pager url={url} nextCursor={nextCursor} />
            </>
          )}
        </Show>
      </Panel>
    </Frame>,
  );
}

/** `?id=`: to the page of that owner. */
export async function findOwner({ url }: PageContext): Promise<Response> {
  return seeOther(pageUrl(`owners/${url.searchParams.get("id")?.trim() ?? ""}`));
}

interface OwnerTableProps {
  readonly owners: readonly OwnerRecord[];
  readonly used: ReadonlyMap<string, Summed>;
  readonly query: Readonly<Record<string, string>>;
}

function OwnerTable({ owners, used, query }: OwnerTableProps) {
  return (
    <Scroll name="Owners">
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Owner</th>
            <th scope="col">State</th>
            <th scope="col" class="number">
              Active keys
            </th>
            <th scope="col" class="number wide-only">
              All keys
            </th>
            <th scope="col" class="number">
              Requests
            </th>
            <th scope="col" class="number wide-only">
              Refused
            </th>
            <th scope="col" class="number wide-only">
              Platform cost
            </th>
            <th scope="col" class="wide-only">
              Since
            </th>
          </tr>
        </thead>
        <tbody>
          {owners.map((owner) => {
            const sum = used.get(owner.id);
            return (
              <tr>
                <th scope="row">
                  <a class="key-link" href={pageUrl(`owners/${owner.id}`)}>
                    <span class="key-name">{owner.name ?? owner.id}</span>
                    {owner.name === null ? null : <code class="hint">{owner.id}</code>}
                  </a>
                </th>
                <td>
                  {owner.disabledAt === undefined ? (
                    <Badge tone="good">Active</Badge>
                  ) : (
                    <Badge tone="warn">Disabled</Badge>
                  )}
                </td>
                <td class="number">
                  <a class="plain" href={pageUrl("keys", { owner: owner.id, status: "active" })}>
                    {whole(owner.keys.active)}
                  </a>
                </td>
                <td class="number wide-only">
                  <a class="plain" href={pageUrl("keys", { owner: owner.id })}>
                    {whole(owner.keys.total)}
                  </a>
                </td>
                <td class="number">
                  <a class="plain" href={pageUrl("usage", { owner: owner.id, ...query })}>
                    {whole(sum?.requests ?? 0)}
                  </a>
                </td>
                <td class="number wide-only">
                  {sum === undefined || sum.requests === 0 ? "–" : percent(sum.refused / sum.requests, 1)}
                </td>
                <td class="number wide-only">{dollars(sum?.estimatedUsd)}</td>
                <td class="tight wide-only">
                  <Time at={owner.createdAt} />
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </Scroll>
  );
}

export async function ownerPage(context: PageContext, id: string): Promise<Response> {
  const { calls, url, now, request, visitor } = context;
  const found = await calls.readOwner(id);
  if (!found.ok) return await problemAnswer(request, found.error);
  const owner = found.value;
  const range = readTimeRange(url.searchParams, now);
  const asked = { ...usageRange(range), owner: id };
  const [usage, keys, audit] = await Promise.all([
    calls.readUsage({ ...asked, distributions: "true" }),
    calls.listKeys({ owner: id, limit: KEY_ROWS }),
    calls.listAudit({ subject: id, limit: AUDIT_ROWS }),
  ]);
  const { scopes } = visitor.caller;
  const isDisabled = owner.disabledAt !== undefined;
  return await htmlAnswer(
    <Frame context={context} title={owner.name ?? owner.id} place="owners" scripts={["uplot", "charts"]}>
      <PageHead
        trail={[["Owners", pageUrl("owners")]]}
        title={owner.name ?? owner.id}
        lead={
          <>
            {isDisabled ? <Badge tone="warn">Disabled</Badge> : <Badge tone="good">Active</Badge>}{" "}
            <code>{owner.id}</code>
          </>
        }
      >
        {coversAdminScope(scopes, "keys:write") && !isDisabled ? (
          <a class="button primary" href={pageUrl("keys/new", { owner: id })}>
            Issue a key
          </a>
        ) : null}
        {coversAdminScope(scopes, "keys:write") ? (
          <form method="post" action={pageUrl(`owners/${id}/portal`)}>
            <input type="hidden" name="csrf" value={visitor.csrf} />
            <button>Link for the owner</button>
          </form>
        ) : null}
        {coversAdminScope(scopes, "owners:write") ? (
          <a
            class={isDisabled ? "button" : "button danger-soft"}
            href={pageUrl(`owners/${id}/${isDisabled ? "enable" : "disable"}`)}
          >
            {isDisabled ? "Enable" : "Disable"}
          </a>
        ) : null}
      </PageHead>
      <Show of={usage}>
        {({ totals }) => (
          <div class="figures">
            <Figure
              name="Active keys"
              value={whole(owner.keys.active)}
              href={pageUrl("keys", { owner: id, status: "active" })}
              note={`of ${whole(owner.keys.total)}`}
            />
            <Figure
              name="Requests"
              value={short(totals.requests)}
              exact={whole(totals.requests)}
              href={pageUrl("usage", { owner: id, groupBy: "key", ...rangeParameters(range) })}
              note={range.title}
            />
            <Figure
              name="Refused"
              value={percent(totals.requests === 0 ? 0 : totals.refused / totals.requests, 1)}
              href={pageUrl("usage", { owner: id, groupBy: "code", outcome: "refused", ...rangeParameters(range) })}
              note={whole(totals.refused)}
            />
            <Figure
              name="Cost units"
              value={short(totals.cost)}
              exact={whole(totals.cost)}
              href={pageUrl("usage", { owner: id, groupBy: "route", ...rangeParameters(range) })}
              note={`${dollars(totals.estimatedCostUsd)} on the platform`}
            />
          </div>
        )}
      </Show>
      <div class="grid">
        <Panel
          title="Requests"
          note={range.title}
          wide
          action={<RangePicker range={range} url={url} presets={["1h", "24h", "7d", "30d"]} />}
        >
          <Show of={usage}>{(answer) => <RequestsChart usage={answer} range={range} />}</Show>
        </Panel>
        <Panel title="Keys" wide action={<a href={pageUrl("keys", { owner: id })}>All</a>}>
          <Show of={keys}>
            {({ data }) => (data.length === 0 ? <Empty title="No keys" /> : <KeyTable keys={data} now={now} />)}
          </Show>
        </Panel>
        <Panel
          title="Shared limits"
          note="Of all keys of this owner together"
          action={coversAdminScope(scopes, "owners:write") ? <a href={pageUrl(`owners/${id}/limits`)}>Change</a> : null}
        >
          {owner.limits.length === 0 ? (
            <Empty title="None" />
          ) : (
            <dl class="facts">
              {owner.limits.map(({ name, limit, window, kind }) => (
                <div>
                  <dt>{name}</dt>
                  <dd>
                    {whole(limit)} in {typeof window === "string" ? `a ${window}` : `${whole(window.seconds)} s`} (
                    {kind})
                  </dd>
                </div>
              ))}
            </dl>
          )}
        </Panel>
        <Panel title="History" note="Of the owner itself">
          <Show of={audit}>{({ data }) => <History entries={data} now={now} />}</Show>
        </Panel>
      </div>
    </Frame>,
  );
}

/** A link for the owner, shown once: whoever has it is the owner for half an hour. */
export async function ownerPortal(context: PageContext, _form: URLSearchParams, id: string): Promise<Response> {
  const made = await context.calls.openPortal(id);
  if (!made.ok) return await problemAnswer(context.request, made.error);
  const { url, expiresAt } = made.value;
  return await htmlAnswer(
    <Frame context={context} title="Link for the owner" place="owners">
      <PageHead
        trail={[
          ["Owners", pageUrl("owners")],
          [id, pageUrl(`owners/${id}`)],
        ]}
        title="Link for the owner"
      />
      <Panel title="The link" wide>
        <div class="panel-body stack">
          <p class="note warn">
            Whoever opens it first sees the keys and the use of <b>{id}</b>, and may do what self-service allows, for
            half an hour. It is good once, until <Time at={expiresAt} />.
          </p>
          <div class="secret">
            <code id="portal-link" data-secret>
              {url}
            </code>
            <button type="button" class="primary" data-copy="portal-link" data-told="portal-told">
              Copy
            </button>
            <span id="portal-told" class="soft" role="status" />
          </div>
        </div>
      </Panel>
    </Frame>,
  );
}
