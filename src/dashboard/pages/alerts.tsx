import { SEVERITIES } from "../../alerts/kinds.ts";
import type { Severity } from "../../alerts/kinds.ts";
import { coversAdminScope } from "../../keys/admin-scopes.ts";
import { htmlAnswer, seeOther } from "../answer.ts";
import type { AlertSilence, AlertView } from "../control-calls.ts";
import { field } from "../form.ts";
import { label, plural, whole } from "../format.ts";
import { HOME_PATH, pageUrl, safeReturn } from "../paths.ts";
import { newToken } from "../session/session.ts";
import { Frame, PageHead } from "../view/layout.tsx";
import type { PageContext } from "../view/page.ts";
import { Badge, Empty, KeyLink, Pager, Panel, Scroll, Show, Time, type Tone } from "../view/parts.tsx";
import { Runbook, RunbookLink } from "../view/runbook.tsx";
import { Select } from "./keys.tsx";
import { problemAnswer } from "./problem.tsx";

/** `/_latchkey/alerts` and one alert's page: what is wrong, and who has it in hand. */

const PAGE_ROWS = 50;
const SILENCES = 20;
const HOUR_MS = 3_600_000;
const LENGTHS: readonly (readonly [hours: string, text: string])[] = [
  ["1", "1 hour"],
  ["4", "4 hours"],
  ["24", "1 day"],
  ["168", "1 week"],
];

export const SEVERITY_TONE: Readonly<Record<Severity, Tone>> = { page: "bad", ticket: "warn", notice: "info" };
const STATE_TONE: Readonly<Record<AlertView["state"], Tone>> = {
  firing: "bad",
  acknowledged: "warn",
  silenced: "idle",
  resolved: "good",
};

export async function alertsPage(context: PageContext): Promise<Response> {
  const { calls, url, now } = context;
  const value = (name: string): string | undefined => url.searchParams.get(name)?.trim() || undefined;
  const filter = { state: value("state"), severity: value("severity"), kind: value("kind"), owner: value("owner") };
  const [page, silences] = await Promise.all([
    calls.listAlerts({ ...filter, limit: PAGE_ROWS, cursor: value("cursor") }),
    calls.listSilences({ limit: SILENCES }),
  ]);
  return await htmlAnswer(
    <Frame context={context} title="Alerts" place="alerts">
      <PageHead title="Alerts" lead="What is wrong, since when, and who has it in hand." />
      <div class="stack">
        <Panel title="Alerts" wide>
          <form method="get" action={pageUrl("alerts")} class="filters" role="search">
            <Select
              name="state"
              text="State"
              value={value("state") ?? ""}
              options={["firing", "acknowledged", "silenced", "resolved"]}
            />
            <Select name="severity" text="Severity" value={value("severity") ?? ""} options={SEVERITIES} />
            <label>
              Owner
              <input name="owner" value={value("owner") ?? ""} />
            </label>
            <label>
              Kind
              <input name="kind" value={value("kind") ?? ""} placeholder="spike" />
            </label>
            <button>Filter</button>
            <a class="button" href={pageUrl("alerts")}>
              Clear
            </a>
          </form>
          <Show of={page}>
            {({ data, nextCursor }) => (
              <>
                {data.length === 0 ? (
                  <Empty title="No alerts">Nothing that fits is wrong, or was in the last 30 days.</Empty>
                ) : (
                  <AlertTable alerts={data} now={now} />
                )}
                <Pager url={url} nextCursor={nextCursor} />
              </>
            )}
          </Show>
        </Panel>
        <Panel title="Silences" wide note="What they match is not told; it goes on underneath.">
          <Show of={silences}>{({ data }) => <Silences context={context} silences={data} />}</Show>
        </Panel>
      </div>
    </Frame>,
  );
}

export function AlertTable({ alerts, now }: { readonly alerts: readonly AlertView[]; readonly now: number }) {
  return (
    <Scroll name="Alerts">
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Alert</th>
            <th scope="col">Severity</th>
            <th scope="col">State</th>
            <th scope="col">Owner</th>
            <th scope="col" class="wide-only">
              Since
            </th>
            <th scope="col" class="wide-only">
              Last seen
            </th>
          </tr>
        </thead>
        <tbody>
          {alerts.map((alert) => (
            <tr>
              <th scope="row">
                <a class="key-link" href={pageUrl(`alerts/${alert.id}`)}>
                  <span class="key-name">{alert.title}</span>
                  <span class="soft small-text">{alert.subjects[0]?.summary ?? label(alert.kind)}</span>
                </a>
                <RunbookLink place={alert.runbook} title={alert.title} />
              </th>
              <td>
                <Badge tone={SEVERITY_TONE[alert.severity]}>{label(alert.severity)}</Badge>
              </td>
              <td>
                <Badge tone={STATE_TONE[alert.state]}>{label(alert.state)}</Badge>
              </td>
              <td>
                {alert.owner === null ? (
                  <span class="soft">–</span>
                ) : (
                  <a class="plain" href={pageUrl(`owners/${alert.owner}`)}>
                    {alert.owner}
                  </a>
                )}
              </td>
              <td class="tight wide-only">
                <Time at={alert.startedAt} now={now} />
              </td>
              <td class="tight wide-only">
                <Time at={alert.lastAt} now={now} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

function Silences({
  context,
  silences,
}: {
  readonly context: PageContext;
  readonly silences: readonly AlertSilence[];
}) {
  const { visitor, now } = context;
  const mayWrite = coversAdminScope(visitor.caller.scopes, "alerts:write");
  const held = silences.filter(({ endsAt }) => Date.parse(endsAt) > now);
  if (held.length === 0) return <Empty title="Nothing is silenced" />;
  return (
    <Scroll name="Silences">
      <table class="table">
        <thead>
          <tr>
            <th scope="col">What</th>
            <th scope="col">Why</th>
            <th scope="col">By</th>
            <th scope="col">Until</th>
            <th scope="col">
              <span class="sr">End it</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {held.map(({ id, match, reason, createdBy, endsAt }) => (
            <tr>
              <th scope="row">
                <code>{JSON.stringify(match)}</code>
              </th>
              <td>{reason}</td>
              <td>{createdBy}</td>
              <td class="tight">
                <Time at={endsAt} now={now} />
              </td>
              <td class="tight">
                {mayWrite ? (
                  <form method="post" action={pageUrl(`alerts/silences/${id}/end`)}>
                    <input type="hidden" name="csrf" value={visitor.csrf} />
                    <button class="small">End</button>
                  </form>
                ) : null}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

export async function alertPage(context: PageContext, id: string): Promise<Response> {
  const { calls, now, request, visitor } = context;
  const found = await calls.readAlert(id);
  if (!found.ok) return await problemAnswer(request, found.error);
  const alert = found.value;
  const mayWrite = coversAdminScope(visitor.caller.scopes, "alerts:write") && alert.state !== "resolved";
  return await htmlAnswer(
    <Frame context={context} title={alert.title} place="alerts">
      <PageHead
        trail={[["Alerts", pageUrl("alerts")]]}
        title={alert.title}
        lead={
          <>
            <Badge tone={STATE_TONE[alert.state]}>{label(alert.state)}</Badge>{" "}
            <Badge tone={SEVERITY_TONE[alert.severity]}>{label(alert.severity)}</Badge> since{" "}
            <Time at={alert.startedAt} now={now} />
            {alert.owner === null ? null : (
              <>
                , of <a href={pageUrl(`owners/${alert.owner}`)}>{alert.owner}</a>
              </>
            )}
          </>
        }
      >
        {mayWrite && alert.state === "firing" ? (
          <Turn context={context} id={id} to="acknowledge" text="Acknowledge" primary />
        ) : null}
        {mayWrite ? <Turn context={context} id={id} to="resolve" text="Resolve" /> : null}
      </PageHead>
      <div class="grid">
        <Panel
          title="What was seen"
          wide
          note={alert.moreSubjects > 0 ? `and about ${plural(alert.moreSubjects, "more", "more")}` : undefined}
        >
          <Subjects alert={alert} now={now} />
        </Panel>
        <Panel title="History">
          <ul class="timeline">
            {alert.history.map(({ at, event, by }) => (
              <li>
                <Time at={at} />
                <span>
                  <b>{label(event)}</b> by {by}
                </span>
              </li>
            ))}
          </ul>
        </Panel>
        <Panel title="Who was told">
          {alert.told.length === 0 ? (
            <Empty title="Nobody">No channel is for it, or it is too young.</Empty>
          ) : (
            <ul class="timeline">
              {alert.told.map(({ destination, at, state }) => (
                <li>
                  <Time at={at} />
                  <span>
                    <b>{destination}</b> ({state})
                  </span>
                </li>
              ))}
            </ul>
          )}
        </Panel>
        {mayWrite ? (
          <Panel title="Silence this kind" wide note={alert.owner === null ? "For everybody" : `For ${alert.owner}`}>
            <form method="post" action={pageUrl(`alerts/${id}/silence`)} class="filters">
              <input type="hidden" name="csrf" value={visitor.csrf} />
              <input type="hidden" name="once" value={newToken()} />
              <label>
                For
                <select name="hours">
                  {LENGTHS.map(([hours, text]) => (
                    <option value={hours}>{text}</option>
                  ))}
                </select>
              </label>
              <label class="grow">
                Why
                <input name="reason" required maxlength={1_024} />
              </label>
              <button>Silence</button>
            </form>
          </Panel>
        ) : null}
        <Panel title="Runbook" wide>
          <Runbook place={alert.runbook} />
        </Panel>
      </div>
    </Frame>,
  );
}

interface TurnProps {
  readonly context: PageContext;
  readonly id: string;
  readonly to: "acknowledge" | "resolve";
  readonly text: string;
  readonly primary?: boolean;
}

function Turn({ context: { visitor }, id, to, text, primary = false }: TurnProps) {
  return (
    <form method="post" action={pageUrl(`alerts/${id}/${to}`)}>
      <input type="hidden" name="csrf" value={visitor.csrf} />
      <button class={primary ? "primary" : ""}>{text}</button>
    </form>
  );
}

function Subjects({ alert: { subjects }, now }: { readonly alert: AlertView; readonly now: number }) {
  return (
    <Scroll name="What was seen">
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Subject</th>
            <th scope="col">What</th>
            <th scope="col" class="wide-only">
              Numbers
            </th>
            <th scope="col">Last seen</th>
          </tr>
        </thead>
        <tbody>
          {subjects.map(({ subject, summary, evidence, lastAt }) => (
            <tr>
              <th scope="row">{subject.startsWith("key_") ? <KeyLink id={subject} /> : subject}</th>
              <td>
                {summary}{" "}
                {evidence.path.startsWith(HOME_PATH) ? <a href={safeReturn(evidence.path)}>Evidence</a> : null}
              </td>
              <td class="wide-only">
                <dl class="numbers-list">
                  {Object.entries(evidence.numbers).map(([name, number]) => (
                    <div>
                      <dt>{label(name)}</dt>
                      <dd class="number">
                        {whole(number) === String(number) ? whole(number) : String(Math.round(number * 1_000) / 1_000)}
                      </dd>
                    </div>
                  ))}
                </dl>
              </td>
              <td class="tight">
                <Time at={lastAt} now={now} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

export async function alertAction(context: PageContext, form: URLSearchParams, id: string): Promise<Response> {
  const { calls, url, request, now } = context;
  const action = url.pathname.slice(url.pathname.lastIndexOf("/") + 1);
  if (action !== "silence") {
    const turned = await calls.turnAlert(id, action === "resolve" ? "resolve" : "acknowledge");
    return turned.ok ? seeOther(pageUrl(`alerts/${id}`)) : await problemAnswer(request, turned.error);
  }
  const found = await calls.readAlert(id);
  if (!found.ok) return await problemAnswer(request, found.error);
  const { kind, owner } = found.value;
  const match = { kinds: [kind], ...(owner === null ? {} : { owners: [owner] }) };
  const hours = LENGTHS.some(([offered]) => offered === form.get("hours")) ? Number(form.get("hours")) : 1;
  // To the minute: the same form, sent again, is the same request.
  const until = new Date(Math.ceil((now + hours * HOUR_MS) / 60_000) * 60_000).toISOString();
  const silenced = await calls.addSilence(
    { match, until, reason: field(form, "reason") ?? "" },
    form.get("once") ?? newToken(),
  );
  return silenced.ok ? seeOther(pageUrl(`alerts/${id}`)) : await problemAnswer(request, silenced.error);
}

export async function endSilenceAction(
  { calls, request }: PageContext,
  _form: URLSearchParams,
  id: string,
): Promise<Response> {
  const ended = await calls.endSilence(id);
  return ended.ok ? seeOther(pageUrl("alerts")) : await problemAnswer(request, ended.error);
}
