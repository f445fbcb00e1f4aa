import type { AuditEntry } from "../../../durable-objects/key-registry/api.ts";
import { htmlAnswer } from "../answer.ts";
import { label, plural, whole } from "../format.ts";
import { changedUrl, pageUrl } from "../paths.ts";
import { Frame, PageHead } from "../view/layout.tsx";
import type { PageContext } from "../view/page.ts";
import { Empty, Pager, Panel, Scroll, Show, Time } from "../view/parts.tsx";

/** `/_latchkey/audit`: who did what to which key, when, from where; and whether the chain of it is whole. */

const PAGE_ROWS = 50;
const ACTIONS = [
  "key.create",
  "key.rotate",
  "key.revoke",
  "key.update",
  "key.disable",
  "key.enable",
  "key.import",
  "key.revoke_tokens",
  "owner.put",
  "owner.disable",
  "owner.enable",
] as const;

export async function auditPage(context: PageContext): Promise<Response> {
  const { calls, url, now } = context;
  const value = (name: string): string | undefined => url.searchParams.get(name)?.trim() || undefined;
  const asked = {
    subject: value("subject"),
    actor: value("actor"),
    action: value("action"),
    from: time(value("from")),
    to: time(value("to")),
  };
  const [page, verified] = await Promise.all([
    calls.listAudit({ ...asked, limit: PAGE_ROWS, cursor: value("cursor") }),
    url.searchParams.has("verify") ? calls.verifyAudit() : null,
  ]);
  return await htmlAnswer(
    <Frame context={context} title="Audit" place="audit">
      <PageHead
        title="Audit"
        lead="Who did what, when and from where, in a chain that shows what was changed or taken out."
      >
        <a class="button" href={changedUrl(url, { verify: "1" })}>
          Verify the chain
        </a>
      </PageHead>
      {verified === null ? null : (
        <Show of={verified}>
          {({ valid, entries, head, firstBadSequence }) => (
            <p class={`note ${valid ? "good" : "warn"}`} role="status">
              {valid ? (
                <>
                  <b>The chain is whole:</b> {plural(entries, "entry", "entries")} read and recomputed. Its head is{" "}
                  <code>{head}</code>; keep it elsewhere to notice a trail that was cut short.
                </>
              ) : (
                <>
                  <b>The chain is broken</b> at entry {whole(firstBadSequence ?? 0)} of {whole(entries)}: it, or one
                  before it, was changed or taken out.
                </>
              )}
            </p>
          )}
        </Show>
      )}
      <Panel title="Entries" wide>
        <Filters parameters={url.searchParams} />
        <Show of={page}>
          {({ data, nextCursor }) => (
            <>
              {data.length === 0 ? <Empty title="Nothing fits" /> : <Entries entries={data} now={now} />}
              <Pager url={url} nextCursor={nextCursor} />
            </>
          )}
        </Show>
      </Panel>
    </Frame>,
  );
}

/** What `<input type=datetime-local>` sends, as UTC. */
function time(text: string | undefined): string | undefined {
  return text !== undefined && /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}$/.test(text) ? `${text}:00Z` : text;
}

function Filters({ parameters }: { readonly parameters: URLSearchParams }) {
  const value = (name: string): string => parameters.get(name) ?? "";
  const action = value("action");
  return (
    <form method="get" action={pageUrl("audit")} class="filters" role="search">
      <label class="grow">
        Key or owner
        <input name="subject" value={value("subject")} placeholder="key_… or an owner" />
      </label>
      <label>
        By
        <input name="actor" value={value("actor")} placeholder="root, key_…, an e-mail" />
      </label>
      <label>
        Action
        <select name="action">
          <option value="">Any</option>
          {[...new Set([...ACTIONS, ...(action === "" ? [] : [action])])].map((name) => (
            <option value={name} selected={name === action}>
              {label(name)}
            </option>
          ))}
        </select>
      </label>
      <label>
        From (UTC)
        <input type="datetime-local" name="from" value={value("from")} />
      </label>
      <label>
        To (UTC)
        <input type="datetime-local" name="to" value={value("to")} />
      </label>
      <button>Filter</button>
      <a class="button" href={pageUrl("audit")}>
        Clear
      </a>
    </form>
  );
}

function Entries({ entries, now }: { readonly entries: readonly AuditEntry[]; readonly now: number }) {
  return (
    <Scroll name="Entries">
      <table class="table">
        <thead>
          <tr>
            <th scope="col">When</th>
            <th scope="col">What</th>
            <th scope="col">To</th>
            <th scope="col">By</th>
            <th scope="col" class="wide-only">
              From
            </th>
            <th scope="col">Changed</th>
          </tr>
        </thead>
        <tbody>
          {entries.map((entry) => (
            <tr>
              <td class="tight">
                <Time at={entry.time} now={now} />
              </td>
              <th scope="row">
                <b>{label(entry.action)}</b>
                {entry.note === null ? null : <div class="soft">{entry.note}</div>}
              </th>
              <td>
                <Subject subject={entry.subject} />
              </td>
              <td>
                <a class="plain" href={pageUrl("audit", { actor: entry.actor.id })}>
                  {entry.actor.id}
                </a>
              </td>
              <td class="wide-only">{entry.actor.address ?? "–"}</td>
              <td>
                <Changes entry={entry} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function Subject({ subject: { kind, id } }: Pick<AuditEntry, "subject">) {
  if (kind === "key")
    return (
      <a class="plain mono" href={pageUrl(`keys/${id}`)}>
        {id}
      </a>
    );
  if (kind === "owner")
    return (
      <a class="plain" href={pageUrl(`owners/${id}`)}>
        {id}
      </a>
    );
  return <>{id}</>;
}

const DULL: ReadonlySet<string> = new Set(["updatedAt", "generation", "id", "workspace", "lineageId"]);

/** Members that differ. Records in the trail hold no secrets. */
export function changedMembers(
  before: unknown,
  after: unknown,
): readonly (readonly [name: string, from: string, to: string])[] {
  const [old, fresh] = [membersOf(before), membersOf(after)];
  const names = [...new Set([...Object.keys(old), ...Object.keys(fresh)])];
  return names.flatMap((name) => {
    const [from, to] = [JSON.stringify(old[name]) ?? "–", JSON.stringify(fresh[name]) ?? "–"];
    return from === to || DULL.has(name) ? [] : [[name, from, to] as const];
  });
}

function membersOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

function Changes({ entry: { before, after, sequence, hash } }: { readonly entry: AuditEntry }) {
  const changes = changedMembers(before, after);
  return (
    <details>
      <summary>{changes.length === 0 ? "Details" : plural(changes.length, "field")}</summary>
      <dl class="changes">
        {changes.map(([name, from, to]) => (
          <div>
            <dt>{name}</dt>
            <dd>
              {before === null ? null : <code class="old">{from}</code>} <code>{to}</code>
            </dd>
          </div>
        ))}
        <div>
          <dt>Entry</dt>
          <dd>
            {whole(sequence)}, <code>{hash.slice(0, 16)}…</code>
          </dd>
        </div>
      </dl>
    </details>
  );
}
