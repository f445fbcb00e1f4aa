import type { KeyRecord } from "../../../durable-objects/key-registry/api.ts";
import type { AdminScope } from "../../keys/admin-scopes.ts";
import { requireScope } from "../../control/problem.ts";
import { DEFAULT_OVERLAP_SECONDS, REVOCATION_BOUND_SECONDS } from "../../constants.ts";
import type { Problem } from "../../http/problem.ts";
import { htmlAnswer, seeOther } from "../answer.ts";
import type { RevokedKey } from "../control-calls.ts";
import { field } from "../form.ts";
import { duration } from "../format.ts";
import { pageUrl } from "../paths.ts";
import { newToken } from "../session/session.ts";
import { Frame, PageHead } from "../view/layout.tsx";
import type { PageContext } from "../view/page.ts";
import { Panel, Time, Trouble } from "../view/parts.tsx";
import { issuedPage } from "./issued.tsx";
import { problemAnswer } from "./problem.tsx";

/** `/_latchkey/keys/{id}/rotate`, `/revoke`, `/disable`, `/enable`: what will happen, and then that it happens. */

type ActionName = "rotate" | "revoke" | "disable" | "enable";

interface About {
  readonly name: ActionName;
  readonly record: KeyRecord;
  readonly problem: Problem | null;
}

const SCOPES: Readonly<Record<ActionName, AdminScope>> = {
  rotate: "keys:write",
  revoke: "keys:revoke",
  disable: "keys:write",
  enable: "keys:write",
};

const TITLES: Readonly<Record<ActionName, string>> = {
  rotate: "Rotate",
  revoke: "Revoke",
  disable: "Disable",
  enable: "Enable",
};

function nameIn(url: URL): ActionName {
  const last = url.pathname.slice(url.pathname.lastIndexOf("/") + 1);
  // The router lets no other through.
  return last === "revoke" || last === "disable" || last === "enable" ? last : "rotate";
}

export async function keyActionPage(context: PageContext, id: string): Promise<Response> {
  return await confirmPage(context, id, null);
}

export async function keyAction(context: PageContext, form: URLSearchParams, id: string): Promise<Response> {
  const { calls } = context;
  const name = nameIn(context.url);
  switch (name) {
    case "rotate": {
      const overlapSeconds = Number(form.get("overlapSeconds") ?? DEFAULT_OVERLAP_SECONDS);
      const rotated = await calls.rotateKey(id, { overlapSeconds }, form.get("once") ?? newToken());
      return rotated.ok
        ? await issuedPage(context, rotated.value, "rotated")
        : await confirmPage(context, id, rotated.error);
    }
    case "revoke":
      return await revoke(context, form, id);
    case "disable":
    case "enable": {
      const changed = await calls.setKeyDisabled(id, name === "disable");
      return changed.ok ? seeOther(pageUrl(`keys/${id}`)) : await confirmPage(context, id, changed.error);
    }
  }
}

async function revoke(context: PageContext, form: URLSearchParams, id: string): Promise<Response> {
  const { calls } = context;
  const found = await calls.readKey(id);
  if (!found.ok) return await problemAnswer(context.request, found.error);
  // Asked by the page, and looked at here: a browser need not run its scripts.
  if (form.get("typed")?.trim() !== found.value.name) {
    const detail = "Type the key's name as it stands there. Nothing was revoked.";
    return await confirmPage(context, id, { code: "request_invalid", detail });
  }
  const note = field(form, "note");
  const revoked = await calls.revokeKey(id, {
    reason: field(form, "reason") ?? "other",
    ...(note === null ? {} : { note }),
  });
  return revoked.ok ? await revokedPage(context, revoked.value) : await confirmPage(context, id, revoked.error);
}

async function revokedPage(
  context: PageContext,
  { id, name, effectiveBy, delivery, owner }: RevokedKey,
): Promise<Response> {
  return await htmlAnswer(
    <Frame context={context} title="Key revoked" place="keys">
      <PageHead
        trail={[["Keys", pageUrl("keys")]]}
        title="The key was revoked"
        lead={
          <>
            {name}, of {owner}
          </>
        }
      />
      {delivery === "delivered" ? (
        <p class="note good" role="status">
          No request passes with it anywhere from <Time at={effectiveBy} /> on: {REVOCATION_BOUND_SECONDS} seconds at
          the most after it was revoked.
        </p>
      ) : (
        <p class="note warn" role="alert">
          It is written down, but its meter has not heard of it yet. That is tried until it has; no bound can be named
          before.
        </p>
      )}
      <p>
        <a class="button" href={pageUrl(`keys/${id}`)}>
          To its page
        </a>
      </p>
    </Frame>,
  );
}

async function confirmPage(context: PageContext, id: string, problem: Problem | null): Promise<Response> {
  const { calls, visitor, url } = context;
  const name = nameIn(url);
  const allowed = requireScope(visitor.caller.scopes, SCOPES[name]);
  if (!allowed.ok) return await problemAnswer(context.request, allowed.error);
  const found = await calls.readKey(id);
  if (!found.ok) return await problemAnswer(context.request, found.error);
  const record = found.value;
  const title = `${TITLES[name]} ${record.name}`;
  return await htmlAnswer(
    <Frame context={context} title={title} place="keys">
      <PageHead
        trail={[
          ["Keys", pageUrl("keys")],
          [record.name, pageUrl(`keys/${id}`)],
        ]}
        title={title}
        lead={
          <>
            <code>{record.hint}</code> of {record.owner}, {record.environment}
          </>
        }
      />
      <Panel title="What happens" wide>
        <div class="panel-body">
          {problem === null ? null : <Trouble problem={problem} />}
          <form method="post" action={pageUrl(`keys/${id}/${name}`)} class="fields">
            <input type="hidden" name="csrf" value={visitor.csrf} />
            <Body about={{ name, record, problem }} now={context.now} />
          </form>
        </div>
      </Panel>
    </Frame>,
    problem === null ? 200 : 400,
  );
}

function Body({ about: { name, record }, now }: { readonly about: About; readonly now: number }) {
  switch (name) {
    case "rotate":
      return <RotateBody record={record} now={now} />;
    case "revoke":
      return <RevokeBody record={record} />;
    case "disable":
      return (
        <>
          <p>
            The key is refused with <code>key_disabled</code> until it is enabled again, everywhere within{" "}
            {REVOCATION_BOUND_SECONDS} seconds. Tokens that were minted from it stop with it.
          </p>
          <Buttons id={record.id} text="Disable the key" tone="danger" />
        </>
      );
    case "enable":
      return (
        <>
          <p>The key works again.</p>
          <Buttons id={record.id} text="Enable the key" tone="primary" />
        </>
      );
  }
}

function Buttons({
  id,
  text,
  tone,
  armed = false,
}: {
  readonly id: string;
  readonly text: string;
  readonly tone: string;
  readonly armed?: boolean;
}) {
  return (
    <div class="form-actions">
      <button class={tone} {...(armed ? { "data-armed": true } : {})}>
        {text}
      </button>
      <a href={pageUrl(`keys/${id}`)}>Cancel</a>
    </div>
  );
}

const OVERLAPS = [0, 3_600, 6 * 3_600, 86_400, 3 * 86_400, 7 * 86_400, 14 * 86_400, 30 * 86_400] as const;

/** Drawn with the longest overlap at 360 units; what is chosen is set by a script, and written in words without one. */
function RotateBody({ record, now }: { readonly record: KeyRecord; readonly now: number }) {
  const end = now + DEFAULT_OVERLAP_SECONDS * 1_000;
  const width = Math.round(360 * Math.sqrt(DEFAULT_OVERLAP_SECONDS / (30 * 86_400)));
  return (
    <>
      <input type="hidden" name="once" value={newToken()} />
      <p>
        A new key of the same lineage is made and shown once. Limits go on counting where they are: nobody gains or
        loses a request.
      </p>
      <label>
        Both work for
        <select name="overlapSeconds">
          {OVERLAPS.map((seconds) => (
            <option value={String(seconds)} selected={seconds === DEFAULT_OVERLAP_SECONDS}>
              {seconds === 0 ? "No time: the old one ends at once" : duration(seconds)}
            </option>
          ))}
        </select>
      </label>
      <div>
        <svg
          class="lineage"
          viewBox="0 0 720 96"
          role="img"
          aria-label="The old key goes on during the overlap, the new one from now on"
        >
          <text x="0" y="14">
            old: {record.hint}
          </text>
          <rect class="life" x="0" y="20" width="240" height="9" rx="3" />
          <rect class="overlap" data-overlap-bar x="240" y="20" width={String(width)} height="9" rx="3" />
          <text x="246" y="50">
            new
          </text>
          <rect class="life" x="240" y="56" width="480" height="9" rx="3" />
          <line class="now" x1="240" x2="240" y1="4" y2="78" />
          <text x="240" y="92" text-anchor="middle">
            now
          </text>
        </svg>
        <p class="soft small-text">
          The old key ends{" "}
          <b data-overlap-ends>
            <Time at={end} />
          </b>
          . Until then its answers carry <code>Deprecation</code> and <code>Sunset</code>.
        </p>
      </div>
      <Buttons id={record.id} text="Rotate the key" tone="primary" />
    </>
  );
}

const REASONS: readonly (readonly [value: string, text: string])[] = [
  ["leaked", "Leaked: somebody else may have it"],
  ["compromised", "Compromised: it was misused"],
  ["retired", "Retired: it is not needed any more"],
  ["policy", "Policy"],
  ["other", "Other"],
];

function RevokeBody({ record }: { readonly record: KeyRecord }) {
  return (
    <>
      <p>
        The key stops everywhere within {REVOCATION_BOUND_SECONDS} seconds, and its tokens with it.{" "}
        <b>There is no way back.</b> To replace it without an interruption,{" "}
        <a href={pageUrl(`keys/${record.id}/rotate`)}>rotate</a> it instead.
      </p>
      <label>
        Reason
        <select name="reason">
          {REASONS.map(([value, text]) => (
            <option value={value}>{text}</option>
          ))}
        </select>
      </label>
      <label>
        Note, for the audit trail
        <input name="note" maxlength={1_024} />
      </label>
      <label>
        <span>
          Type <code>{record.name}</code> to confirm
        </span>
        <input name="typed" autocomplete="off" required data-expect={record.name} spellcheck={false} />
      </label>
      <Buttons id={record.id} text="Revoke the key" tone="danger" armed />
    </>
  );
}
