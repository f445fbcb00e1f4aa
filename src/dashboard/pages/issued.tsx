import { htmlAnswer } from "../answer.ts";
import type { IssuedKey } from "../control-calls.ts";
import { pageUrl } from "../paths.ts";
import { Frame, PageHead } from "../view/layout.tsx";
import type { PageContext } from "../view/page.ts";
import { Panel, Time } from "../view/parts.tsx";

/**
 * The one page that shows a key. It is the answer to the form, kept by no cache; a form that is sent again is a repeat, whose answer
 * has no key; and a script empties it when the page is left, so that going back shows nothing.
 */
export async function issuedPage(
  context: PageContext,
  issued: IssuedKey,
  done: "issued" | "rotated",
): Promise<Response> {
  const { key, signingSecret } = issued;
  return await htmlAnswer(
    <Frame context={context} title={done === "issued" ? "Key issued" : "Key rotated"} place="keys">
      <PageHead
        trail={[["Keys", pageUrl("keys")]]}
        title={done === "issued" ? "The key was issued" : "The new key is there"}
        lead={
          <>
            {issued.name}, of {issued.owner}
          </>
        }
      />
      <Panel title="The key" wide>
        <div class="panel-body stack">
          {key === undefined ? <Repeated /> : <Shown secret={key} signingSecret={signingSecret} />}
        </div>
        {issued.rotatedFrom === null ? null : (
          <p class="panel-body">
            The one that it replaces is <a href={pageUrl(`keys/${issued.rotatedFrom}`)}>still to be seen</a>, with the
            end of the overlap.
          </p>
        )}
        <div class="panel-body form-actions">
          <a class="button" href={pageUrl(`keys/${issued.id}`)}>
            To its page
          </a>
          {issued.expiresAt === null ? null : (
            <span class="soft">
              It expires <Time at={issued.expiresAt} />.
            </span>
          )}
        </div>
      </Panel>
    </Frame>,
  );
}

export function Shown({
  secret,
  signingSecret,
}: {
  readonly secret: string;
  readonly signingSecret?: string | undefined;
}) {
  return (
    <>
      <p class="note warn">
        Copy it now. It is shown this once: nobody can show it again, and only its hash is stored. Hand it over through
        a secrets manager, not by mail or chat.
      </p>
      <div class="secret">
        <code id="issued-key" data-secret>
          {secret}
        </code>
        <button type="button" class="primary" data-copy="issued-key" data-told="issued-told">
          Copy
        </button>
        <span id="issued-told" class="soft" role="status" />
      </div>
      {signingSecret === undefined ? null : (
        <>
          <p>Its requests must be signed, with this secret:</p>
          <div class="secret">
            <code id="signing-secret" data-secret>
              {signingSecret}
            </code>
            <button type="button" data-copy="signing-secret" data-told="signing-told">
              Copy
            </button>
            <span id="signing-told" class="soft" role="status" />
          </div>
        </>
      )}
    </>
  );
}

export function Repeated() {
  return (
    <p class="note">
      This form was sent before: nothing was done a second time, and the key was shown then. If nobody has it, rotate
      the key.
    </p>
  );
}
