import { REVOCATION_BOUND_SECONDS } from "../../constants.ts";
import { requireScope } from "../../control/problem.ts";
import type { Problem } from "../../http/problem.ts";
import { htmlAnswer, seeOther } from "../answer.ts";
import { pageUrl } from "../paths.ts";
import { Frame, PageHead } from "../view/layout.tsx";
import type { PageContext } from "../view/page.ts";
import { Panel, Trouble } from "../view/parts.tsx";
import { problemAnswer } from "./problem.tsx";

/** `/_latchkey/owners/{id}/disable` and `/enable`: all keys of an owner at once. */

function isDisabling({ url }: PageContext): boolean {
  return url.pathname.endsWith("/disable");
}

export async function ownerActionPage(context: PageContext, id: string): Promise<Response> {
  return await confirmPage(context, id, null);
}

export async function ownerAction(context: PageContext, form: URLSearchParams, id: string): Promise<Response> {
  if (isDisabling(context) && form.get("typed")?.trim() !== id) {
    const detail = "Type the owner's name as it stands there. Nothing was changed.";
    return await confirmPage(context, id, { code: "request_invalid", detail });
  }
  const changed = await context.calls.setOwnerDisabled(id, isDisabling(context));
  return changed.ok ? seeOther(pageUrl(`owners/${id}`)) : await confirmPage(context, id, changed.error);
}

async function confirmPage(context: PageContext, id: string, problem: Problem | null): Promise<Response> {
  const { visitor, calls, request } = context;
  const allowed = requireScope(visitor.caller.scopes, "owners:write");
  if (!allowed.ok) return await problemAnswer(request, allowed.error);
  const found = await calls.readOwner(id);
  if (!found.ok && found.error.code === "not_found") return await problemAnswer(request, found.error);
  const disabling = isDisabling(context);
  const title = `${disabling ? "Disable" : "Enable"} ${id}`;
  return await htmlAnswer(
    <Frame context={context} title={title} place="owners">
      <PageHead
        trail={[
          ["Owners", pageUrl("owners")],
          [id, pageUrl(`owners/${id}`)],
        ]}
        title={title}
      />
      <Panel title="What happens" wide>
        <div class="panel-body">
          {problem === null ? null : <Trouble problem={problem} />}
          <form method="post" action={pageUrl(`owners/${id}/${disabling ? "disable" : "enable"}`)} class="fields">
            <input type="hidden" name="csrf" value={visitor.csrf} />
            {disabling ? (
              <>
                <p>
                  All of its keys{found.ok ? ` (${found.value.keys.active} active)` : ""} and their tokens are refused,
                  within {REVOCATION_BOUND_SECONDS} seconds of when their meters have heard of it, until the owner is
                  enabled again. Meanwhile it gets no new keys.
                </p>
                <label>
                  <span>
                    Type <code>{id}</code> to confirm
                  </span>
                  <input name="typed" autocomplete="off" required data-expect={id} spellcheck={false} />
                </label>
              </>
            ) : (
              <p>
                Each of its keys is again what it was by itself: one that was disabled, expired or revoked stays so.
              </p>
            )}
            <div class="form-actions">
              <button class={disabling ? "danger" : "primary"} {...(disabling ? { "data-armed": true } : {})}>
                {title}
              </button>
              <a href={pageUrl(`owners/${id}`)}>Cancel</a>
            </div>
          </form>
        </div>
      </Panel>
    </Frame>,
    problem === null ? 200 : 400,
  );
}
