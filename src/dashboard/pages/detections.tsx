import { SEVERITIES } from "../../alerts/kinds.ts";
import { FINDING_KINDS } from "../../detection/finding.ts";
import { htmlAnswer } from "../answer.ts";
import type { FindingView } from "../control-calls.ts";
import { label } from "../format.ts";
import { pageUrl } from "../paths.ts";
import { Frame, PageHead } from "../view/layout.tsx";
import type { PageContext } from "../view/page.ts";
import { Badge, Empty, KeyLink, Pager, Panel, Scroll, Show, Time } from "../view/parts.tsx";
import { SEVERITY_TONE } from "./alerts.tsx";
import { Select } from "./keys.tsx";

/** `/_latchkey/detections`: which keys and networks did what is not like them, with the numbers. */

const PAGE_ROWS = 50;

export async function detectionsPage(context: PageContext): Promise<Response> {
  const { calls, url, now } = context;
  const value = (name: string): string | undefined => url.searchParams.get(name)?.trim() || undefined;
  const filter = {
    kind: value("kind"),
    severity: value("severity"),
    owner: value("owner"),
    subject: value("subject"),
  };
  const page = await calls.listDetections({ ...filter, limit: PAGE_ROWS, cursor: value("cursor") });
  return await htmlAnswer(
    <Frame context={context} title="Detections" place="detections">
      <PageHead
        title="Detections"
        lead="Keys and networks that did what is not like them. Detectors that compare with the past are silent for a key's first weeks."
      />
      <Panel title="Found" wide note="In the last 90 days. What goes on, or comes again within a day, is one entry.">
        <form method="get" action={pageUrl("detections")} class="filters" role="search">
          <Select name="kind" text="Kind" value={filter.kind ?? ""} options={FINDING_KINDS} />
          <Select name="severity" text="Severity" value={filter.severity ?? ""} options={SEVERITIES} />
          <label>
            Owner
            <input name="owner" value={filter.owner ?? ""} />
          </label>
          <label class="grow">
            Key or network
            <input name="subject" value={filter.subject ?? ""} placeholder="key_…" />
          </label>
          <button>Filter</button>
          <a class="button" href={pageUrl("detections")}>
            Clear
          </a>
        </form>
        <Show of={page}>
          {({ data, nextCursor }) => (
            <>
              {data.length === 0 ? (
                <Empty title="Nothing found">No detector has said anything that fits.</Empty>
              ) : (
                <FindingTable findings={data} now={now} />
              )}
              <Pager url={url} nextCursor={nextCursor} />
            </>
          )}
        </Show>
      </Panel>
    </Frame>,
  );
}

export function FindingTable({ findings, now }: { readonly findings: readonly FindingView[]; readonly now: number }) {
  return (
    <Scroll name="Detections">
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Found</th>
            <th scope="col">Severity</th>
            <th scope="col">Key or network</th>
            <th scope="col" class="wide-only">
              Owner
            </th>
            <th scope="col" class="wide-only">
              First seen
            </th>
            <th scope="col">Last seen</th>
          </tr>
        </thead>
        <tbody>
          {findings.map(({ id, kind, severity, subject, owner, summary, since, firstSeenAt, lastSeenAt }) => (
            <tr id={id}>
              <th scope="row">
                <a class="key-link" href={evidenceUrl(subject, since, lastSeenAt)}>
                  <span class="key-name">{label(kind)}</span>
                  <span class="soft small-text">{summary}</span>
                </a>
              </th>
              <td>
                <Badge tone={SEVERITY_TONE[severity]}>{label(severity)}</Badge>
              </td>
              <td>{subject.type === "key" ? <KeyLink id={subject.id} /> : <code>{subject.id}</code>}</td>
              <td class="wide-only">
                {owner === null ? (
                  <span class="soft">–</span>
                ) : (
                  <a class="plain" href={pageUrl(`owners/${owner}`)}>
                    {owner}
                  </a>
                )}
              </td>
              <td class="wide-only">
                <Time at={firstSeenAt} now={now} />
              </td>
              <td>
                <Time at={lastSeenAt} now={now} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

/** What it stands on: the key's usage around it. A network's requests are refused ones, which belong to no key. */
function evidenceUrl({ type, id }: FindingView["subject"], since: string, lastSeenAt: string): string {
  if (type === "network") return pageUrl("requests", { code: "key_invalid", from: since, to: lastSeenAt });
  return pageUrl(`keys/${id}`, { from: since, to: lastSeenAt });
}
