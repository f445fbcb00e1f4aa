import type { KeyRecord, OwnerRecord } from "../../../durable-objects/key-registry/api.ts";
import type { AdminScope } from "../../keys/admin-scopes.ts";
import { entityTag } from "../../control/idempotency.ts";
import { requireScope } from "../../control/problem.ts";
import type { Outcome } from "../../control/problem.ts";
import { MAX_LIMITS } from "../../constants.ts";
import type { Problem } from "../../http/problem.ts";
import type { Limit } from "../../limits/limit.ts";
import { htmlAnswer, seeOther } from "../answer.ts";
import { field } from "../form.ts";
import { pageUrl } from "../paths.ts";
import { Frame, PageHead } from "../view/layout.tsx";
import type { PageContext } from "../view/page.ts";
import { Panel, Trouble } from "../view/parts.tsx";
import { problemAnswer } from "./problem.tsx";

/** `/_latchkey/keys/{id}/limits` and `/_latchkey/owners/{id}/limits`: what a key, or all keys of an owner together, may use. */

/** A limit as it stands in the form: text, whatever was typed. */
interface Row {
  readonly name: string;
  readonly limit: string;
  readonly window: string;
  readonly kind: string;
}

const SPARE_ROWS = 2;
const EMPTY: Row = { name: "", limit: "", window: "minute", kind: "rate" };
const SECONDS = /^(\d{1,7}) ?s$/;

/** What is told apart between keys and owners. */
interface Subject {
  readonly place: "keys" | "owners";
  readonly scope: AdminScope;
  readonly id: string;
  readonly title: string;
  readonly generation: number;
  readonly limits: readonly Limit[];
  /** `undefined`: there is no such choice. */
  readonly plan?: string | null;
}

export async function keyLimitsPage(context: PageContext, id: string): Promise<Response> {
  return await show(context, await context.calls.readKey(id), ofKey);
}

export async function ownerLimitsPage(context: PageContext, id: string): Promise<Response> {
  return await show(context, await context.calls.readOwner(id), ofOwner);
}

export async function changeKeyLimits(context: PageContext, form: URLSearchParams, id: string): Promise<Response> {
  const change = { limits: limitsIn(form), plan: field(form, "plan") };
  const changed = await context.calls.patchKey(id, change, generationIn(form));
  return changed.ok
    ? seeOther(pageUrl(`keys/${id}`))
    : await show(context, await context.calls.readKey(id), ofKey, { form, problem: changed.error });
}

/** The owner is put whole: what the form does not name stays as it is, or the change is refused because somebody was quicker. */
export async function changeOwnerLimits(context: PageContext, form: URLSearchParams, id: string): Promise<Response> {
  const found = await context.calls.readOwner(id);
  if (!found.ok) return await problemAnswer(context.request, found.error);
  const { name, metadata, contacts } = found.value;
  const owner = { name, metadata, limits: limitsIn(form), ...(contacts === undefined ? {} : { contacts }) };
  const changed = await context.calls.putOwner(id, owner, generationIn(form));
  return changed.ok
    ? seeOther(pageUrl(`owners/${id}`))
    : await show(context, await context.calls.readOwner(id), ofOwner, { form, problem: changed.error });
}

function ofKey({ id, name, generation, limits, plan }: KeyRecord): Subject {
  return { place: "keys", scope: "keys:write", id, title: name, generation, limits, plan };
}

function ofOwner({ id, name, generation, limits }: OwnerRecord): Subject {
  return { place: "owners", scope: "owners:write", id, title: name ?? id, generation, limits };
}

/** A form without one was looked at by nobody: no state fits it. */
function generationIn(form: URLSearchParams): string {
  return entityTag(Number(form.get("generation") ?? -1));
}

/** As the control API takes them; what is wrong is for it to say. Rows in which nothing stands are left out. */
function limitsIn(form: URLSearchParams): readonly object[] {
  return rowsIn(form)
    .filter(isFilled)
    .map(({ name, limit, window, kind }) => {
      const seconds = SECONDS.exec(window)?.[1];
      return {
        name,
        limit: /^\d{1,15}$/.test(limit) ? Number(limit) : limit,
        window: seconds === undefined ? window : { seconds: Number(seconds) },
        kind,
      };
    });
}

function isFilled({ name, limit }: Row): boolean {
  return name !== "" || limit !== "";
}

function rowsIn(form: URLSearchParams): readonly Row[] {
  const [names, limits, windows, kinds] = ["name", "limit", "window", "kind"].map((name) =>
    form.getAll(name).map((text) => text.trim()),
  );
  return (names ?? []).slice(0, MAX_LIMITS + SPARE_ROWS).map((name, at) => ({
    name,
    limit: limits?.[at] ?? "",
    window: windows?.[at] ?? "",
    kind: kinds?.[at] ?? "",
  }));
}

function rowOf({ name, limit, window, kind }: Limit): Row {
  return { name, limit: String(limit), window: typeof window === "string" ? window : `${window.seconds}s`, kind };
}

interface Refused {
  readonly form: URLSearchParams;
  readonly problem: Problem;
}

async function show<T>(
  context: PageContext,
  found: Outcome<T>,
  subjectOf: (of: T) => Subject,
  refused: Refused | null = null,
): Promise<Response> {
  if (!found.ok) return await problemAnswer(context.request, found.error);
  const subject = subjectOf(found.value);
  const allowed = requireScope(context.visitor.caller.scopes, subject.scope);
  if (!allowed.ok) return await problemAnswer(context.request, allowed.error);
  const { place, id, title } = subject;
  const rows = refused === null ? subject.limits.map(rowOf) : rowsIn(refused.form).filter(isFilled);
  const plan = refused === null ? subject.plan : field(refused.form, "plan");
  return await htmlAnswer(
    <Frame context={context} title={`Limits of ${title}`} place={place}>
      <PageHead
        trail={[
          [place === "keys" ? "Keys" : "Owners", pageUrl(place)],
          [title, pageUrl(`${place}/${id}`)],
        ]}
        title={`Limits of ${title}`}
        lead={
          place === "keys"
            ? "Counted for all secrets of this key together. What it used so far stays counted."
            : "Shared by all keys of this owner, beside each key's own."
        }
      />
      <Panel title="Limits" wide>
        <div class="panel-body">
          {refused === null ? null : <Trouble problem={explained(refused.problem)} />}
          <form method="post" action={pageUrl(`${place}/${id}/limits`)} class="fields">
            <input type="hidden" name="csrf" value={context.visitor.csrf} />
            <input type="hidden" name="generation" value={String(subject.generation)} />
            {subject.plan === undefined ? null : (
              <PlanField chosen={plan ?? null} plans={Object.keys(context.deps.control.config.plans ?? {})} />
            )}
            {[...rows, ...Array.from({ length: SPARE_ROWS }, () => EMPTY)].slice(0, MAX_LIMITS).map((row, at) => (
              <LimitFields row={row} number={at + 1} />
            ))}
            <p class="help">
              A row without a name and units is left away. Windows: <code>minute</code>, <code>hour</code>,{" "}
              <code>day</code>, <code>month</code> (UTC), or seconds such as <code>10s</code>.
            </p>
            <div class="form-actions">
              <button class="primary">Save the limits</button>
              <a href={pageUrl(`${place}/${id}`)}>Cancel</a>
            </div>
          </form>
        </div>
      </Panel>
    </Frame>,
    refused === null ? 200 : 400,
  );
}

/** The form goes on with the newest state, so that sending it again replaces what somebody else did knowingly. */
function explained(problem: Problem): Problem {
  if (problem.code !== "precondition_failed") return problem;
  return {
    ...problem,
    detail: "Somebody changed it meanwhile. Nothing was saved; look at it and save again to replace it.",
  };
}

function PlanField({ chosen, plans }: { readonly chosen: string | null; readonly plans: readonly string[] }) {
  return (
    <label>
      Plan
      <select name="plan">
        <option value="">None</option>
        {plans.map((plan) => (
          <option value={plan} selected={plan === chosen}>
            {plan}
          </option>
        ))}
      </select>
      <span class="help">Its limits hold, but for those below that have the same name.</span>
    </label>
  );
}

function LimitFields({ row, number }: { readonly row: Row; readonly number: number }) {
  return (
    <fieldset class="pair">
      <legend class="soft small-text">Limit {number}</legend>
      <label>
        Name
        <input name="name" value={row.name} maxlength={64} autocomplete="off" spellcheck={false} />
      </label>
      <label>
        Units
        <input name="limit" value={row.limit} inputmode="numeric" autocomplete="off" />
      </label>
      <label>
        Window
        <input name="window" value={row.window} autocomplete="off" spellcheck={false} />
      </label>
      <label>
        Refuses with
        <select name="kind">
          <option value="rate" selected={row.kind !== "quota"}>
            429 rate_limited
          </option>
          <option value="quota" selected={row.kind === "quota"}>
            429 quota_exhausted
          </option>
        </select>
      </label>
    </fieldset>
  );
}
