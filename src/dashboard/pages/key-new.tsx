import type { Problem } from "../../http/problem.ts";
import { ADMIN_SCOPES, coversAdminScope } from "../../keys/admin-scopes.ts";
import { htmlAnswer } from "../answer.ts";
import { field, words } from "../form.ts";
import { pageUrl } from "../paths.ts";
import { newToken } from "../session/session.ts";
import { Frame, PageHead } from "../view/layout.tsx";
import type { PageContext } from "../view/page.ts";
import { Panel, Trouble } from "../view/parts.tsx";
import { issuedPage } from "./issued.tsx";

/** `/_latchkey/keys/new`: issues a key, with the fields that most keys need. Others are the control API's. */

const DAY_MS = 86_400_000;
const LIFETIMES: readonly (readonly [days: string, text: string])[] = [
  ["30", "30 days"],
  ["90", "90 days"],
  ["180", "180 days"],
  ["365", "1 year"],
  ["", "Never (not recommended)"],
];

export async function newKeyPage(context: PageContext): Promise<Response> {
  const given = new URLSearchParams(context.url.search);
  if (!given.has("days")) given.set("days", "90");
  return await formPage(context, given, null);
}

export async function issueKey(context: PageContext, form: URLSearchParams): Promise<Response> {
  const issued = await context.calls.createKey(bodyOf(form, context.now), form.get("once") ?? newToken());
  return issued.ok ? await issuedPage(context, issued.value, "issued") : await formPage(context, form, issued.error);
}

/** As the control API takes it; what is missing or wrong is for it to say. */
function bodyOf(form: URLSearchParams, now: number): object {
  const kind = field(form, "kind") ?? "secret";
  const scopes = [...words(form, "scopes"), ...form.getAll("admin")];
  const origins = words(form, "origins");
  const ips = words(form, "ips");
  const days = Number(form.get("days") ?? "");
  return {
    name: field(form, "name") ?? "",
    owner: field(form, "owner") ?? "",
    environment: field(form, "environment") ?? "live",
    kind,
    scopes: [...new Set(scopes)],
    plan: field(form, "plan"),
    purpose: field(form, "purpose"),
    tags: words(form, "tags"),
    bindings: { ...(origins.length === 0 ? {} : { origins }), ...(ips.length === 0 ? {} : { ips }) },
    // To the minute on which the form was made: sent again it is the same request.
    expiresAt: days > 0 ? new Date(startOf(form, now) + days * DAY_MS).toISOString() : null,
  };
}

function startOf(form: URLSearchParams, now: number): number {
  const opened = Number(form.get("opened"));
  return Number.isFinite(opened) && Math.abs(opened - now) < DAY_MS ? opened : now;
}

async function formPage(context: PageContext, given: URLSearchParams, problem: Problem | null): Promise<Response> {
  const { visitor, deps, now } = context;
  const mayIssue = coversAdminScope(visitor.caller.scopes, "keys:write");
  const refusal: Problem = { code: "scope_insufficient", detail: "", requiredScopes: ["keys:write"] };
  return await htmlAnswer(
    <Frame context={context} title="Issue a key" place="keys">
      <PageHead
        trail={[["Keys", pageUrl("keys")]]}
        title="Issue a key"
        lead="One key, one purpose: it can do what it needs, and ends when it should."
      />
      {mayIssue ? (
        <Panel title="New key" wide>
          <div class="panel-body">
            {problem === null ? null : <Trouble problem={problem} />}
            <form method="post" action={pageUrl("keys/new")} class="fields">
              <input type="hidden" name="csrf" value={visitor.csrf} />
              <input type="hidden" name="once" value={newToken()} />
              <input type="hidden" name="opened" value={String(now)} />
              <Fields given={given} plans={Object.keys(deps.control.config.plans ?? {})} />
              <div class="form-actions">
                <button class="primary">Issue the key</button>
                <a href={pageUrl("keys")}>Cancel</a>
              </div>
            </form>
          </div>
        </Panel>
      ) : (
        <Trouble problem={refusal} />
      )}
    </Frame>,
    problem === null ? 200 : 400,
  );
}

function Fields({ given, plans }: { readonly given: URLSearchParams; readonly plans: readonly string[] }) {
  const value = (name: string): string => given.get(name) ?? "";
  return (
    <>
      <div class="pair">
        <label>
          Name
          <input name="name" value={value("name")} required maxlength={128} />
          <span class="help">For people: “Billing worker”.</span>
        </label>
        <label>
          Owner
          <input name="owner" value={value("owner")} required maxlength={64} />
          <span class="help">Whose key it is: a customer’s id, a team.</span>
        </label>
      </div>
      <div class="pair">
        <label>
          Environment
          <select name="environment">
            <option value="live" selected={value("environment") !== "test"}>
              Live
            </option>
            <option value="test" selected={value("environment") === "test"}>
              Test
            </option>
          </select>
        </label>
        <label>
          Kind
          <select name="kind">
            <option value="secret" selected={value("kind") === "secret"}>
              Secret, for servers
            </option>
            <option value="publishable" selected={value("kind") === "publishable"}>
              Publishable, for browsers
            </option>
            <option value="admin" selected={value("kind") === "admin"}>
              Admin, for Latchkey itself
            </option>
          </select>
        </label>
      </div>
      <label>
        Scopes
        <input name="scopes" value={value("scopes")} placeholder="reports:read charges:write" />
        <span class="help">
          What it may do, separated by spaces. A key without a scope that a route needs is refused there.
        </span>
      </label>
      <details open={value("kind") === "admin"}>
        <summary>Scopes of an admin key</summary>
        <fieldset>
          <legend class="sr">Scopes of an admin key</legend>
          {ADMIN_SCOPES.map((scope) => (
            <label class="check">
              <input type="checkbox" name="admin" value={scope} checked={given.getAll("admin").includes(scope)} />
              <code>{scope}</code>
            </label>
          ))}
        </fieldset>
      </details>
      <div class="pair">
        <label>
          Plan
          <select name="plan">
            <option value="">None</option>
            {plans.map((plan) => (
              <option value={plan} selected={value("plan") === plan}>
                {plan}
              </option>
            ))}
          </select>
          <span class="help">Named limits of this deployment.</span>
        </label>
        <label>
          Expires after
          <select name="days">
            {LIFETIMES.map(([days, text]) => (
              <option value={days} selected={value("days") === days}>
                {text}
              </option>
            ))}
          </select>
        </label>
      </div>
      <label>
        Purpose
        <input name="purpose" value={value("purpose")} maxlength={512} />
      </label>
      <div class="pair">
        <label>
          Addresses
          <input name="ips" value={value("ips")} placeholder="203.0.113.0/24" />
          <span class="help">It works from these alone. Empty: from anywhere.</span>
        </label>
        <label>
          Web origins
          <input name="origins" value={value("origins")} placeholder="https://app.example.com" />
          <span class="help">A publishable key needs one.</span>
        </label>
      </div>
      <label>
        Tags
        <input name="tags" value={value("tags")} placeholder="team:billing" />
      </label>
    </>
  );
}
