import type { KeyFilter, KeyRecord } from "../../../durable-objects/key-registry/api.ts";
import { coversAdminScope } from "../../keys/admin-scopes.ts";
import { htmlAnswer } from "../answer.ts";
import { pageUrl } from "../paths.ts";
import { Frame, PageHead } from "../view/layout.tsx";
import type { PageContext } from "../view/page.ts";
import { Empty, Environment, KeyLink, Pager, Panel, Scroll, Show, StatusBadge, Time } from "../view/parts.tsx";

/** `/_latchkey/keys`: every key with its owner, what it may do, when it ends and when it was last used (row G4). */

const PAGE_ROWS = 50;
const DAY_MS = 86_400_000;
const FILTERS = ["q", "owner", "status", "environment", "kind", "scope", "tag", "plan", "createdAfter"] as const;

export async function keysPage(context: PageContext): Promise<Response> {
  const { calls, url, now, deps, visitor } = context;
  const page = await calls.listKeys({
    ...readFilter(url.searchParams, now),
    limit: PAGE_ROWS,
    cursor: url.searchParams.get("cursor") ?? undefined,
  });
  const mayIssue = coversAdminScope(visitor.caller.scopes, "keys:write");
  return await htmlAnswer(
    <Frame context={context} title="Keys" place="keys">
      <PageHead
        title="Keys"
        lead="Every key of this workspace. What is shown of a key is a hint: the key itself is stored nowhere."
      >
        {mayIssue ? (
          <a class="button primary" href={pageUrl("keys/new")}>
            Issue a key
          </a>
        ) : null}
      </PageHead>
      <Panel title="Inventory" wide>
        <Filters parameters={url.searchParams} plans={Object.keys(deps.control.config.plans ?? {})} />
        <Show of={page}>
          {({ data, nextCursor }) => (
            <>
              {data.length === 0 ? (
                <Empty title="No key fits">
                  {isFiltered(url.searchParams) ? (
                    <a href={pageUrl("keys")}>Take the filters away</a>
                  ) : (
                    "Issue the first one."
                  )}
                </Empty>
              ) : (
                <KeyTable keys={data} now={now} />
              )}
              <Pager url={url} nextCursor={nextCursor} />
            </>
          )}
        </Show>
      </Panel>
    </Frame>,
  );
}

/** `expires=30d` and `unused=90d` count from now, so that a link to them stays true. */
export function readFilter(
  parameters: URLSearchParams,
  now: number,
): { readonly [K in keyof KeyFilter]?: string | undefined } {
  const plain = Object.fromEntries(FILTERS.map((name) => [name, parameters.get(name)?.trim() || undefined]));
  const expires = readDays(parameters.get("expires"));
  const unused = readDays(parameters.get("unused"));
  return {
    ...plain,
    expiresBefore: expires === null ? undefined : new Date(now + expires * DAY_MS).toISOString(),
    lastUsedBefore: unused === null ? undefined : new Date(now - unused * DAY_MS).toISOString(),
  };
}

function readDays(text: string | null): number | null {
  const days = /^(\d{1,4})d$/.exec(text ?? "")?.[1];
  return days === undefined ? null : Number(days);
}

function isFiltered(parameters: URLSearchParams): boolean {
  return [...FILTERS, "expires", "unused"].some((name) => (parameters.get(name) ?? "") !== "");
}

function Filters({ parameters, plans }: { readonly parameters: URLSearchParams; readonly plans: readonly string[] }) {
  const value = (name: string): string => parameters.get(name) ?? "";
  return (
    <form method="get" action={pageUrl("keys")} class="filters" role="search">
      <label class="grow">
        Search
        <input type="search" name="q" value={value("q")} placeholder="Name, owner, purpose, id or hint" />
      </label>
      <label>
        Owner
        <input name="owner" value={value("owner")} />
      </label>
      <Select
        name="status"
        text="Status"
        value={value("status")}
        options={["active", "rotating", "disabled", "expired", "revoked"]}
      />
      <Select name="environment" text="Environment" value={value("environment")} options={["live", "test"]} />
      <Select name="kind" text="Kind" value={value("kind")} options={["secret", "publishable", "admin", "workload"]} />
      {plans.length === 0 ? null : <Select name="plan" text="Plan" value={value("plan")} options={plans} />}
      <Select name="expires" text="Expires within" value={value("expires")} options={["1d", "7d", "30d", "90d"]} />
      <Select name="unused" text="Unused for" value={value("unused")} options={["7d", "30d", "90d"]} />
      <label>
        Scope
        <input name="scope" value={value("scope")} placeholder="charges:read" />
      </label>
      <label>
        Tag
        <input name="tag" value={value("tag")} />
      </label>
      <button>Filter</button>
      {isFiltered(parameters) ? (
        <a class="button" href={pageUrl("keys")}>
          Clear
        </a>
      ) : null}
    </form>
  );
}

interface SelectProps {
  readonly name: string;
  readonly text: string;
  readonly value: string;
  readonly options: readonly string[];
}

export function Select({ name, text, value, options }: SelectProps) {
  return (
    <label>
      {text}
      <select name={name}>
        <option value="">Any</option>
        {options.map((option) => (
          <option value={option} selected={option === value}>
            {option}
          </option>
        ))}
      </select>
    </label>
  );
}

export function KeyTable({ keys, now }: { readonly keys: readonly KeyRecord[]; readonly now: number }) {
  return (
    <Scroll name="Keys">
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Key</th>
            <th scope="col">Owner</th>
            <th scope="col">Status</th>
            <th scope="col" class="wide-only">
              Environment
            </th>
            <th scope="col" class="wide-only">
              Scopes
            </th>
            <th scope="col" class="wide-only">
              Plan
            </th>
            <th scope="col" class="wide-only">
              Expires
            </th>
            <th scope="col">Last used</th>
          </tr>
        </thead>
        <tbody>
          {keys.map((key) => (
            <tr>
              <th scope="row">
                <KeyLink id={key.id} name={key.name} hint={key.hint} />
              </th>
              <td>
                <a class="plain" href={pageUrl(`owners/${key.owner}`)}>
                  {key.owner}
                </a>
              </td>
              <td>
                <StatusBadge status={key.status} />
              </td>
              <td class="wide-only">
                <Environment name={key.environment} />
                {key.kind === "secret" ? null : (
                  <>
                    {" "}
                    <span class="tag">{key.kind}</span>
                  </>
                )}
              </td>
              <td class="wide-only">
                <Scopes scopes={key.scopes} />
              </td>
              <td class="wide-only">{key.plan ?? <span class="soft">–</span>}</td>
              <td class="tight wide-only">
                <Time at={endOfKey(key)} now={now} />
              </td>
              <td class="tight">
                <Time at={key.lastUsedAt} now={now} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

const SHOWN_SCOPES = 2;

function Scopes({ scopes }: { readonly scopes: readonly string[] }) {
  const more = scopes.length - SHOWN_SCOPES;
  return (
    <div class="tags" title={scopes.join(" ")}>
      {scopes.slice(0, SHOWN_SCOPES).map((scope) => (
        <code>{scope}</code>
      ))}
      {more > 0 ? <span class="soft">+{more}</span> : null}
    </div>
  );
}

/** The earlier of its expiry and the end of its overlap. */
export function endOfKey({ expiresAt, notAfter }: Pick<KeyRecord, "expiresAt" | "notAfter">): string | null {
  if (expiresAt === null || notAfter === null) return expiresAt ?? notAfter;
  return expiresAt < notAfter ? expiresAt : notAfter;
}
