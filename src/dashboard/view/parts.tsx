import type { Child } from "hono/jsx";
import type { Outcome } from "../../control/problem.ts";
import type { Problem } from "../../http/problem.ts";
import type { KeyStatus } from "../../keys/status.ts";
import { label, relative, utc } from "../format.ts";
import { changedUrl, pageUrl } from "../paths.ts";
import { PRESETS, type TimeRange } from "../time-range.ts";

/** The pieces that pages are put together from. */

/** Shown as UTC until the browser puts it into the reader's zone; UTC stays in its title. */
export function Time({ at, now }: { readonly at: string | number | null | undefined; readonly now?: number }) {
  if (at === null || at === undefined) return <span class="soft">–</span>;
  const time = typeof at === "number" ? at : Date.parse(at);
  const text = utc(time);
  return (
    <time datetime={new Date(time).toISOString()} title={text} data-relative={now === undefined ? undefined : "true"}>
      {now === undefined ? text : relative(time, now)}
    </time>
  );
}

const STATUS_TONE: Readonly<Record<KeyStatus, Tone>> = {
  active: "good",
  rotating: "info",
  disabled: "warn",
  expired: "idle",
  revoked: "bad",
};

export type Tone = "good" | "info" | "warn" | "bad" | "idle";

export function Badge({ tone, children }: { readonly tone: Tone; readonly children?: Child }) {
  return <span class={`badge ${tone}`}>{children}</span>;
}

export function StatusBadge({ status }: { readonly status: KeyStatus }) {
  return <Badge tone={STATUS_TONE[status]}>{label(status)}</Badge>;
}

export function Environment({ name }: { readonly name: string }) {
  return <span class={`tag ${name === "live" ? "tag-live" : ""}`}>{name}</span>;
}

interface PanelProps {
  readonly title: string;
  readonly note?: Child;
  readonly action?: Child;
  readonly wide?: boolean;
  readonly children?: Child;
}

export function Panel({ title, note, action, wide = false, children }: PanelProps) {
  return (
    <section class={`panel ${wide ? "wide" : ""}`} aria-label={title}>
      <div class="panel-head">
        <h2>{title}</h2>
        {note === undefined ? null : <p class="soft">{note}</p>}
        {action === undefined ? null : <div class="panel-action">{action}</div>}
      </div>
      {children}
    </section>
  );
}

export function Empty({ title, children }: { readonly title: string; readonly children?: Child }) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children === undefined ? null : <p class="soft">{children}</p>}
    </div>
  );
}

/** What went wrong, for who can do something about it: which scope is missing, or that it is worth trying again. */
export function Trouble({ problem }: { readonly problem: Problem }) {
  const { code, detail, requiredScopes = [], errors = [] } = problem;
  if (code === "scope_insufficient" && requiredScopes.length > 0) {
    return (
      <div class="trouble missing" role="note">
        <p class="empty-title">You may not see this</p>
        <p class="soft">
          It needs the scope <code>{requiredScopes.join(", ")}</code>, which you were not given.
        </p>
      </div>
    );
  }
  return (
    <div class="trouble" role="alert">
      <p class="empty-title">{detail}</p>
      {errors.length === 0 ? null : (
        <ul>
          {errors.map((fault) => (
            <li>
              {fault.pointer === "" ? null : <code>{fault.pointer.replace(/^\//, "")}</code>} {fault.detail}
            </li>
          ))}
        </ul>
      )}
      <p class="soft">
        <a href={`/_latchkey/problems/${code}`}>{code}</a>
      </p>
    </div>
  );
}

/** What was asked for, or why it is not there. */
export function Show<T>({ of, children }: { readonly of: Outcome<T>; readonly children: (value: T) => Child }) {
  return of.ok ? <>{children(of.value)}</> : <Trouble problem={of.error} />;
}

interface FigureProps {
  readonly name: string;
  readonly value: Child;
  /** In full, where the value is short. */
  readonly exact?: string;
  readonly href?: string;
  readonly note?: Child;
  readonly tone?: Tone;
  readonly children?: Child;
}

/** One number in large type, which leads to what it counts. */
export function Figure({ name, value, exact, href, note, tone, children }: FigureProps) {
  return (
    <div class={`figure ${tone ?? ""}`}>
      <p class="figure-name">{name}</p>
      <p class="figure-value" title={exact}>
        {href === undefined ? value : <a href={href}>{value}</a>}
      </p>
      {note === undefined ? null : <p class="figure-note">{note}</p>}
      {children}
    </div>
  );
}

export function RangePicker({
  range,
  url,
  presets,
}: {
  readonly range: TimeRange;
  readonly url: URL;
  readonly presets?: readonly string[];
}) {
  const offered = PRESETS.filter(([name]) => presets === undefined || presets.includes(name));
  return (
    <nav class="ranges" aria-label="Time range">
      {offered.map(([name, , title]) => (
        <a
          href={changedUrl(url, { range: name, from: null, to: null, cursor: null })}
          title={title}
          {...(range.preset === name ? { "aria-current": "true" } : {})}
        >
          {name}
        </a>
      ))}
    </nav>
  );
}

export function Scroll({ name, children }: { readonly name: string; readonly children?: Child }) {
  return (
    <div class="scroll" role="group" aria-label={name} tabindex={0}>
      {children}
    </div>
  );
}

/** The share of the largest, as a bar. */
export function Bar({ share }: { readonly share: number }) {
  const width = Math.max(0, Math.min(100, share * 100));
  return (
    <svg class="bar" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" focusable="false">
      <rect class="bar-track" width="100" height="4" />
      <rect class="bar-fill" width={width.toFixed(1)} height="4" />
    </svg>
  );
}

export function Pager({ url, nextCursor }: { readonly url: URL; readonly nextCursor: string | null }) {
  const isFirst = !url.searchParams.has("cursor");
  if (isFirst && nextCursor === null) return null;
  return (
    <nav class="pager" aria-label="Pages">
      {isFirst ? (
        <span />
      ) : (
        <a class="button" href={changedUrl(url, { cursor: null })}>
          First page
        </a>
      )}
      {nextCursor === null ? (
        <span class="soft">That is all.</span>
      ) : (
        <a class="button" href={changedUrl(url, { cursor: nextCursor })}>
          Next page
        </a>
      )}
    </nav>
  );
}

export function KeyLink({
  id,
  name,
  hint,
}: {
  readonly id: string;
  readonly name?: string | undefined;
  readonly hint?: string | undefined;
}) {
  return (
    <a class="key-link" href={pageUrl(`keys/${id}`)}>
      <span class="key-name">{name ?? id}</span>
      {hint === undefined ? null : <code class="hint">{hint}</code>}
    </a>
  );
}
