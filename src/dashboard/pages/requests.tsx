import type { Child } from "hono/jsx";
import { htmlAnswer, seeOther } from "../answer.ts";
import type { RequestPage, RequestTimeline } from "../control-calls.ts";
import { duration, label, milliseconds, percent, plural, whole } from "../format.ts";
import { pageUrl } from "../paths.ts";
import { rangeParameters, readTimeRange } from "../time-range.ts";
import { Frame, PageHead } from "../view/layout.tsx";
import type { PageContext } from "../view/page.ts";
import {
  Badge,
  Empty,
  Figure,
  KeyLink,
  Pager,
  Panel,
  RangePicker,
  Scroll,
  Show,
  Time,
  type Tone,
} from "../view/parts.tsx";
import { Limits } from "./key.tsx";
import { problemAnswer } from "./problem.tsx";

/** `/_latchkey/requests` and one request's page: why this one was let in or not, check by check (row D3). */

type RequestSummary = RequestPage["data"][number];

const PAGE_ROWS = 50;
const REQUEST_ID = /^req_[0-9a-z]{26}$/;

export async function requestsPage(context: PageContext): Promise<Response> {
  const { calls, url, now } = context;
  const value = (name: string): string | undefined => url.searchParams.get(name)?.trim() || undefined;
  const id = value("id");
  if (id !== undefined && REQUEST_ID.test(id)) return seeOther(pageUrl(`requests/${id}`));
  const range = readTimeRange(url.searchParams, now);
  const page = await calls.listRequests({
    key: value("key"),
    owner: value("owner"),
    code: value("code"),
    status: value("status"),
    from: new Date(range.from).toISOString(),
    // Without an end the pages that follow go on from the first one.
    ...(range.preset === null ? { to: new Date(range.to).toISOString() } : {}),
    limit: PAGE_ROWS,
    cursor: value("cursor"),
  });
  return await htmlAnswer(
    <Frame context={context} title="Requests" place="requests">
      <PageHead
        title="Requests"
        lead="Why single requests were let in or refused. Refused ones are kept within bounds, of the others a share."
      >
        <RangePicker range={range} url={url} presets={["1h", "6h", "24h", "7d"]} />
      </PageHead>
      <Panel title="Kept requests" wide>
        <form method="get" action={pageUrl("requests")} class="filters" role="search">
          <label class="grow">
            Request id
            <input name="id" value={id ?? ""} placeholder="req_…" />
          </label>
          <label class="grow">
            Key
            <input name="key" value={value("key") ?? ""} placeholder="key_…" />
          </label>
          <label>
            Owner
            <input name="owner" value={value("owner") ?? ""} />
          </label>
          <label>
            Outcome
            <input name="code" value={value("code") ?? ""} placeholder="scope_insufficient" />
          </label>
          <label>
            Status
            <input name="status" value={value("status") ?? ""} inputmode="numeric" />
          </label>
          {Object.entries(rangeParameters(range)).map(([name, text]) => (
            <input type="hidden" name={name} value={text} />
          ))}
          <button>Search</button>
          <a class="button" href={pageUrl("requests", rangeParameters(range))}>
            Clear
          </a>
        </form>
        {id === undefined ? null : (
          <p class="panel-body">
            That is not the id of a request: it begins with <code>req_</code>, and stands in each answer's{" "}
            <code>X-Request-Id</code>.
          </p>
        )}
        <Show of={page}>
          {({ data, nextCursor, notKept, sampleRate }) => (
            <>
              {data.length === 0 ? (
                <Empty title="Nothing is kept that fits" />
              ) : (
                <RequestTable requests={data} now={now} />
              )}
              <p class="panel-body soft small-text">
                Of the requests that were let in, {percent(sampleRate, 1)} are kept.
                {notKept > 0 ? ` ${plural(notKept, "refused one")} went past the bounds and are only counted.` : ""}
              </p>
              <Pager url={url} nextCursor={nextCursor} />
            </>
          )}
        </Show>
      </Panel>
    </Frame>,
  );
}

function toneOf(code: string, status: number): Tone {
  if (status >= 500) return "bad";
  if (code !== "allowed") return "warn";
  return status >= 400 ? "idle" : "good";
}

function RequestTable({ requests, now }: { readonly requests: readonly RequestSummary[]; readonly now: number }) {
  return (
    <Scroll name="Kept requests">
      <table class="table">
        <thead>
          <tr>
            <th scope="col">When</th>
            <th scope="col">Outcome</th>
            <th scope="col">Request</th>
            <th scope="col">Key</th>
            <th scope="col" class="number wide-only">
              Took
            </th>
            <th scope="col" class="wide-only">
              Id
            </th>
          </tr>
        </thead>
        <tbody>
          {requests.map((one) => (
            <tr>
              <td class="tight">
                <Time at={one.time} now={now} />
              </td>
              <td class="tight">
                <Badge tone={toneOf(one.code, one.status)}>
                  {one.status} {label(one.code)}
                </Badge>
              </td>
              <th scope="row">
                <a class="plain" href={pageUrl(`requests/${one.requestId}`)}>
                  <code>
                    {one.method} {one.route ?? "(no route)"}
                  </code>
                </a>
              </th>
              <td>
                {one.keyId === null ? (
                  <span class="soft">none</span>
                ) : (
                  <a class="plain" href={pageUrl(`keys/${one.keyId}`)}>
                    <code>{one.hint ?? one.keyId}</code>
                  </a>
                )}
              </td>
              <td class="number wide-only">{milliseconds(one.totalMs)}</td>
              <td class="wide-only">
                <a class="plain mono small-text" href={pageUrl(`requests/${one.requestId}`)}>
                  {one.requestId}
                </a>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

export async function requestPage(context: PageContext, id: string): Promise<Response> {
  const { calls, request, now } = context;
  const found = await calls.readRequest(id);
  if (!found.ok) return await problemAnswer(request, found.error);
  const one = found.value;
  return await htmlAnswer(
    <Frame context={context} title="Request" place="requests">
      <PageHead
        trail={[["Requests", pageUrl("requests")]]}
        title={
          <code>
            {one.method} {one.route ?? "(no route)"}
          </code>
        }
        lead={
          <>
            <Badge tone={toneOf(one.code, one.status)}>
              {one.status} {label(one.code)}
            </Badge>{" "}
            <Time at={one.time} /> <code>{one.requestId}</code>
          </>
        }
      />
      {one.explanation === null ? null : (
        <div class="note warn">
          <p>
            <b>{one.explanation.why}</b>
          </p>
          <p>{one.explanation.change}</p>
          <p class="soft">{one.explanation.operator}</p>
        </div>
      )}
      <div class="figures">
        <Figure name="In all" value={milliseconds(one.timing.totalMs)} />
        <Figure name="Deciding" value={milliseconds(one.timing.authMs)} />
        <Figure
          name="Upstream"
          value={milliseconds(one.timing.upstreamMs)}
          {...(one.upstream === null ? {} : { note: one.upstream })}
        />
        <Figure
          name="Cost units"
          value={whole(one.cost)}
          {...(one.degraded ? { note: "admitted in grace", tone: "warn" as const } : {})}
        />
      </div>
      <div class="grid">
        <Panel title="Checks" note="In the order in which they are made" wide>
          <Checks checks={one.checks} />
        </Panel>
        <Panel title="What it stood on">
          <dl class="facts">
            <Fact name="Key">
              {one.keyId === null ? "none that is known" : <KeyLink id={one.keyId} name={one.hint ?? undefined} />}
            </Fact>
            <Fact name="Owner">
              {one.owner === null ? (
                "–"
              ) : (
                <a class="plain" href={pageUrl(`owners/${one.owner}`)}>
                  {one.owner}
                </a>
              )}
            </Fact>
            <Fact name="Record">
              {one.record === null ? "not looked for" : `${one.record.from}, ${duration(one.record.ageMs / 1_000)} old`}
            </Fact>
            <Fact name="Lease">{leaseText(one.lease)}</Fact>
            <Fact name="Key now">
              {one.key?.now === null || one.key?.now === undefined
                ? "–"
                : `${one.key.now.status}${one.key.now.revokedReason === null ? "" : ` (${one.key.now.revokedReason})`}`}
            </Fact>
            <Fact name="Trace">{one.traceId === null ? "none" : <code>{one.traceId}</code>}</Fact>
          </dl>
        </Panel>
        <Panel title="Who asked">
          <dl class="facts">
            <Fact name="Address">{one.client.address ?? "–"}</Fact>
            <Fact name="Country">{one.client.country ?? "–"}</Fact>
            <Fact name="Network">{one.client.asn === null ? "–" : `AS${one.client.asn}`}</Fact>
            <Fact name="Location">{one.client.colo ?? "–"}</Fact>
            <Fact name="Client">{one.client.userAgent ?? "–"}</Fact>
            <Fact name="Bytes">{`${whole(one.bytesIn)} in, ${whole(one.bytesOut)} out`}</Fact>
          </dl>
        </Panel>
        {one.limits.length === 0 ? null : (
          <Panel title="Limits" note="As they were then" wide>
            <Limits views={one.limits} />
          </Panel>
        )}
        {one.keyId === null ? null : (
          <Panel title="Around it" wide>
            <p class="panel-body">
              <a href={pageUrl("requests", { key: one.keyId })}>Other requests of this key</a>,{" "}
              <a href={pageUrl("requests", { code: one.code })}>others that ended so</a>; seen{" "}
              <Time at={one.time} now={now} />.
            </p>
          </Panel>
        )}
      </div>
    </Frame>,
  );
}

function Fact({ name, children }: { readonly name: string; readonly children?: Child }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function leaseText(lease: RequestTimeline["lease"]): string {
  if (lease === null || lease.from === null) return "nobody was asked";
  const age = lease.ageMs === null ? "" : `, ${duration(lease.ageMs / 1_000)} old`;
  const left =
    lease.leftMs === null
      ? ""
      : lease.leftMs >= 0
        ? `, good for ${milliseconds(lease.leftMs)} more`
        : `, over since ${milliseconds(-lease.leftMs)}`;
  return `${lease.from}${age}${left}`;
}

const CHECK_TONE: Readonly<Record<RequestTimeline["checks"][number]["answer"], Tone>> = {
  passed: "good",
  refused: "bad",
  not_needed: "idle",
  not_reached: "idle",
};

function Checks({ checks }: { readonly checks: RequestTimeline["checks"] }) {
  return (
    <Scroll name="Checks">
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Check</th>
            <th scope="col">Answer</th>
            <th scope="col">What it looked at</th>
          </tr>
        </thead>
        <tbody>
          {checks.map(({ check, answer, input, note }) => (
            <tr>
              <th scope="row">{label(check)}</th>
              <td class="tight">
                <Badge tone={CHECK_TONE[answer]}>{label(answer)}</Badge>
              </td>
              <td>
                {note === null ? null : <div>{note}</div>}
                <span class="tags">
                  {Object.entries(input).map(([name, value]) => (
                    <code>
                      {name}: {Array.isArray(value) ? value.join(" ") : String(value)}
                    </code>
                  ))}
                </span>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}
