import type { KeyRecord } from "../../../durable-objects/key-registry/api.ts";
import { DEFAULT_OVERLAP_SECONDS } from "../../constants.ts";
import type { Problem } from "../../http/problem.ts";
import { PROBLEMS } from "../../http/codes.ts";
import { htmlAnswer } from "../answer.ts";
import type { IssuedKey } from "../control-calls.ts";
import type { DashboardDependencies } from "../dependencies.ts";
import { field } from "../form.ts";
import { duration, percent, short, whole } from "../format.ts";
import { pageUrl } from "../paths.ts";
import { Repeated, Shown } from "../pages/issued.tsx";
import { Limits } from "../pages/key.tsx";
import { endOfKey } from "../pages/keys.tsx";
import { RequestsChart } from "../pages/overview.tsx";
import { newToken } from "../session/session.ts";
import { readTimeRange, usageRange } from "../time-range.ts";
import { sumBy } from "../usage-sums.ts";
import { PageHead } from "../view/layout.tsx";
import {
  Empty,
  Environment,
  Figure,
  Panel,
  RangePicker,
  Scroll,
  Show,
  StatusBadge,
  Time,
  Trouble,
} from "../view/parts.tsx";
import { PortalFrame } from "./frame.tsx";
import { mayRotate } from "./policy.ts";
import type { OwnerVisit } from "./visit.ts";

/** `/_latchkey/portal`: an owner's own keys, what they used and what is left; issuing and rotating within the policy (rows D4, O5). */

export interface PortalContext {
  readonly request: Request;
  readonly url: URL;
  readonly visit: OwnerVisit;
  readonly deps: DashboardDependencies;
  /** Epoch ms. */
  readonly now: number;
}

const RANGES = ["24h", "7d", "30d"];
const OVERLAPS = [0, 3_600, 86_400, 3 * 86_400, 7 * 86_400] as const;

export async function portalHome({ request, url, visit, now }: PortalContext): Promise<Response> {
  const { calls } = visit;
  const range = readTimeRange(url.searchParams, now, "30d");
  const [keys, usage, byKey] = await Promise.all([
    calls.keys(),
    calls.usage(usageRange(range)),
    calls.usage({ ...usageRange(range), granularity: "day", groupBy: "key" }),
  ]);
  const used = new Map(
    byKey.ok ? sumBy(byKey.value.series, "key").map(({ group, requests }) => [group, requests] as const) : [],
  );
  return await htmlAnswer(
    <PortalFrame request={request} visit={visit} title="API keys" scripts={["uplot", "charts"]}>
      <PageHead title="API keys" lead="Your keys, what they used and what is left.">
        <RangePicker range={range} url={url} presets={RANGES} />
        {calls.policy.issue === null ? null : (
          <a class="button primary" href={pageUrl("portal/keys/new")}>
            New key
          </a>
        )}
      </PageHead>
      <Show of={usage}>
        {({ totals }) => (
          <div class="figures">
            <Figure name="Requests" value={short(totals.requests)} exact={whole(totals.requests)} note={range.title} />
            <Figure
              name="Refused"
              value={percent(totals.requests === 0 ? 0 : totals.refused / totals.requests, 1)}
              exact={whole(totals.refused)}
              note={whole(totals.refused)}
            />
            <Figure name="Units" value={short(totals.cost)} exact={whole(totals.cost)} note="what requests cost" />
          </div>
        )}
      </Show>
      <div class="stack">
        <Panel title="Keys" wide>
          <Show of={keys}>{(own) => <OwnKeys keys={own} used={used} now={now} />}</Show>
        </Panel>
        <Panel title="Requests" note={range.title} wide>
          <Show of={usage}>{(answer) => <RequestsChart usage={answer} range={range} />}</Show>
        </Panel>
      </div>
    </PortalFrame>,
  );
}

interface OwnKeysProps {
  readonly keys: readonly KeyRecord[];
  readonly used: ReadonlyMap<string, number>;
  readonly now: number;
}

function OwnKeys({ keys, used, now }: OwnKeysProps) {
  if (keys.length === 0) return <Empty title="You have no keys yet" />;
  return (
    <Scroll name="Keys">
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Key</th>
            <th scope="col">Status</th>
            <th scope="col" class="wide-only">
              Environment
            </th>
            <th scope="col" class="number">
              Requests
            </th>
            <th scope="col" class="wide-only">
              Ends
            </th>
            <th scope="col">Last used</th>
          </tr>
        </thead>
        <tbody>
          {keys.map((key) => (
            <tr>
              <th scope="row">
                <a class="key-link" href={pageUrl(`portal/keys/${key.id}`)}>
                  <span class="key-name">{key.name}</span>
                  <code class="hint">{key.hint}</code>
                </a>
              </th>
              <td>
                <StatusBadge status={key.status} />
              </td>
              <td class="wide-only">
                <Environment name={key.environment} />
              </td>
              <td class="number">{whole(used.get(key.id) ?? 0)}</td>
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

export async function portalKey(context: PortalContext, id: string): Promise<Response> {
  const { request, url, visit, now } = context;
  const { calls } = visit;
  const found = await calls.key(id);
  if (!found.ok) return await troublePage(context, found.error);
  const key = found.value;
  const range = readTimeRange(url.searchParams, now, "30d");
  const [usage, limits] = await Promise.all([calls.usageOf(key, usageRange(range)), calls.limitsOf(key)]);
  return await htmlAnswer(
    <PortalFrame request={request} visit={visit} title={key.name} scripts={["uplot", "charts"]}>
      <PageHead
        trail={[["API keys", pageUrl("portal")]]}
        title={key.name}
        lead={
          <>
            <StatusBadge status={key.status} /> <code>{key.hint}</code>
          </>
        }
      >
        {mayRotate(key, calls.policy) ? (
          <a class="button primary" href={pageUrl(`portal/keys/${id}/rotate`)}>
            Replace
          </a>
        ) : null}
      </PageHead>
      <div class="stack">
        <Panel title="Limits" note="What is left now" wide>
          <Show of={limits}>{(views) => <Limits views={views} />}</Show>
        </Panel>
        <Panel
          title="Requests"
          note={range.title}
          wide
          action={<RangePicker range={range} url={url} presets={RANGES} />}
        >
          <Show of={usage}>{(answer) => <RequestsChart usage={answer} range={range} />}</Show>
        </Panel>
        <Panel title="About it" wide>
          <dl class="facts">
            <div>
              <dt>Id</dt>
              <dd>
                <code>{key.id}</code>
              </dd>
            </div>
            <div>
              <dt>Environment</dt>
              <dd>
                <Environment name={key.environment} />
              </dd>
            </div>
            <div>
              <dt>May</dt>
              <dd>
                <span class="tags">
                  {key.scopes.map((scope) => (
                    <code>{scope}</code>
                  ))}
                </span>
              </dd>
            </div>
            <div>
              <dt>Issued</dt>
              <dd>
                <Time at={key.createdAt} />
              </dd>
            </div>
            <div>
              <dt>Last used</dt>
              <dd>
                <Time at={key.lastUsedAt} now={now} />
              </dd>
            </div>
            <div>
              <dt>Ends</dt>
              <dd>{endOfKey(key) === null ? "never" : <Time at={endOfKey(key)} />}</dd>
            </div>
          </dl>
        </Panel>
      </div>
    </PortalFrame>,
  );
}

export async function portalRotatePage(
  context: PortalContext,
  id: string,
  problem: Problem | null = null,
): Promise<Response> {
  const { request, visit } = context;
  const { calls, session } = visit;
  const found = await calls.key(id);
  if (!found.ok) return await troublePage(context, found.error);
  const key = found.value;
  return await htmlAnswer(
    <PortalFrame request={request} visit={visit} title={`Replace ${key.name}`}>
      <PageHead
        trail={[
          ["API keys", pageUrl("portal")],
          [key.name, pageUrl(`portal/keys/${id}`)],
        ]}
        title={`Replace ${key.name}`}
      />
      <Panel title="What happens" wide>
        <div class="panel-body">
          {problem === null ? null : <Trouble problem={problem} />}
          <form method="post" action={pageUrl(`portal/keys/${id}/rotate`)} class="fields">
            <input type="hidden" name="csrf" value={session.csrf} />
            <input type="hidden" name="once" value={newToken()} />
            <p>You get a new key, which is shown once. Its limits go on where those of the old one are.</p>
            <label>
              The old key works for
              <select name="overlapSeconds">
                {OVERLAPS.map((seconds) => (
                  <option value={String(seconds)} selected={seconds === DEFAULT_OVERLAP_SECONDS}>
                    {seconds === 0 ? "no longer: it ends at once" : duration(seconds)}
                  </option>
                ))}
              </select>
            </label>
            <p class="soft">
              The old key ends <b data-overlap-ends>after that</b>.
            </p>
            <div class="form-actions">
              <button class="primary">Replace the key</button>
              <a href={pageUrl(`portal/keys/${id}`)}>Cancel</a>
            </div>
          </form>
        </div>
      </Panel>
    </PortalFrame>,
    problem === null ? 200 : PROBLEMS[problem.code].status,
  );
}

export async function portalRotate(context: PortalContext, form: URLSearchParams, id: string): Promise<Response> {
  const asked = Number(form.get("overlapSeconds"));
  const overlapSeconds = OVERLAPS.find((seconds) => seconds === asked) ?? DEFAULT_OVERLAP_SECONDS;
  const rotated = await context.visit.calls.rotate(id, overlapSeconds, form.get("once") ?? newToken());
  return rotated.ok ? await shownPage(context, rotated.value) : await portalRotatePage(context, id, rotated.error);
}

export async function portalNewPage(
  context: PortalContext,
  given = new URLSearchParams(),
  problem: Problem | null = null,
): Promise<Response> {
  const { request, visit, now } = context;
  const { calls, session } = visit;
  const { issue } = calls.policy;
  if (issue === null) return await troublePage(context, NOT_ISSUED);
  const chosen = given.getAll("scopes");
  return await htmlAnswer(
    <PortalFrame request={request} visit={visit} title="New key">
      <PageHead trail={[["API keys", pageUrl("portal")]]} title="New key" />
      <Panel title="New key" wide>
        <div class="panel-body">
          {problem === null ? null : <Trouble problem={problem} />}
          <form method="post" action={pageUrl("portal/keys/new")} class="fields">
            <input type="hidden" name="csrf" value={session.csrf} />
            <input type="hidden" name="once" value={newToken()} />
            <input type="hidden" name="opened" value={String(now)} />
            <label>
              Name
              <input name="name" value={given.get("name") ?? ""} required maxlength={128} />
              <span class="help">What it is for: “Nightly export”.</span>
            </label>
            <label>
              Environment
              <select name="environment">
                {issue.environments.map((name) => (
                  <option value={name} selected={given.get("environment") === name}>
                    {name}
                  </option>
                ))}
              </select>
            </label>
            <fieldset>
              <legend>What it may do</legend>
              {issue.scopes.map((scope) => (
                <label class="check">
                  <input type="checkbox" name="scopes" value={scope} checked={chosen.includes(scope)} />
                  <code>{scope}</code>
                </label>
              ))}
            </fieldset>
            <label>
              Ends after, in days
              <input
                type="number"
                name="days"
                min="1"
                max={String(issue.maxTtlDays)}
                value={given.get("days") ?? String(issue.maxTtlDays)}
                required
              />
              <span class="help">
                At most {issue.maxTtlDays}. You may have {issue.maxKeys} keys at once.
              </span>
            </label>
            <div class="form-actions">
              <button class="primary">Issue the key</button>
              <a href={pageUrl("portal")}>Cancel</a>
            </div>
          </form>
        </div>
      </Panel>
    </PortalFrame>,
    problem === null ? 200 : PROBLEMS[problem.code].status,
  );
}

const NOT_ISSUED: Problem = {
  code: "scope_insufficient",
  detail: "Keys are issued by whoever runs this API. Ask them for one.",
};

const DAY_MS = 86_400_000;

export async function portalIssue(context: PortalContext, form: URLSearchParams): Promise<Response> {
  const opened = Number(form.get("opened"));
  // A form that was open for long, or says so, counts from now.
  const openedAt =
    Number.isFinite(opened) && opened <= context.now && context.now - opened < DAY_MS ? opened : context.now;
  const wanted = {
    name: field(form, "name") ?? "",
    environment: field(form, "environment") ?? "",
    scopes: form.getAll("scopes"),
    days: Number(form.get("days") ?? ""),
  };
  const issued = await context.visit.calls.issue(wanted, openedAt, form.get("once") ?? newToken());
  return issued.ok ? await shownPage(context, issued.value) : await portalNewPage(context, form, issued.error);
}

async function shownPage(
  { request, visit }: PortalContext,
  { id, name, key, signingSecret }: IssuedKey,
): Promise<Response> {
  return await htmlAnswer(
    <PortalFrame request={request} visit={visit} title="Your new key">
      <PageHead trail={[["API keys", pageUrl("portal")]]} title="Your new key" lead={name} />
      <Panel title="The key" wide>
        <div class="panel-body stack">
          {key === undefined ? <Repeated /> : <Shown secret={key} signingSecret={signingSecret} />}
        </div>
        <div class="panel-body">
          <a class="button" href={pageUrl(`portal/keys/${id}`)}>
            To its page
          </a>
        </div>
      </Panel>
    </PortalFrame>,
  );
}

export async function troublePage({ request, visit }: PortalContext, problem: Problem): Promise<Response> {
  return await htmlAnswer(
    <PortalFrame request={request} visit={visit} title="Not here">
      <PageHead trail={[["API keys", pageUrl("portal")]]} title={PROBLEMS[problem.code].title} />
      <Trouble problem={problem} />
    </PortalFrame>,
    PROBLEMS[problem.code].status,
  );
}
