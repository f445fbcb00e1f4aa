import { z } from "@hono/zod-openapi";
import { MAX_LINK_SECONDS, PORTAL_SCOPES, linkIdOf, sealLink, type LinkMaker } from "../dashboard/portal/link.ts";
import { newToken } from "../dashboard/session/session.ts";
import { coversAdminScope } from "../keys/admin-scopes.ts";
import type { AdminScope } from "../keys/admin-scopes.ts";
import { RootToken } from "../platform/root-token.ts";
import { err, ok } from "../result.ts";
import type { Caller } from "./caller.ts";
import type { ControlEnv } from "./dependencies.ts";
import { replayHeader } from "./key-answer.ts";
import { defineOperation } from "./operation.ts";
import { sentTimeSchema } from "./schemas/common.ts";
import { NAME_PATTERN } from "./schemas/names.ts";

/** `/owners/{id}/portal-sessions`: a way in for an owner, to its own keys and use alone. */

const bodySchema = z
  .strictObject({
    ttlSeconds: z.int().min(10).max(MAX_LINK_SECONDS).default(MAX_LINK_SECONDS).openapi({
      description: "How long the link may wait to be opened.",
    }),
  })
  .openapi("NewPortalSession");

const portalSchema = z
  .strictObject({
    url: z.string().openapi({ example: "https://keys.example.com/_latchkey/portal?link=eyJ…" }),
    expiresAt: sentTimeSchema,
  })
  .openapi("PortalSession");

export const openPortal = defineOperation({
  method: "post",
  path: "/owners/{id}/portal-sessions",
  idPattern: NAME_PATTERN,
  idExample: "acme",
  scope: "keys:write",
  operationId: "openPortal",
  tag: "Owners",
  summary: "Make a link to an owner's own page",
  description:
    "Hand it to the owner, whom you have signed in: it opens once, within minutes, a page with the owner's own keys, what they used and what is left, for half an hour. There the owner may do what `selfService` of the configuration allows: by default look, and replace keys. The link lends what its maker holds: without `keys:read` or `usage:read` the page shows no keys, or no use. What the owner does stands in the audit trail as `owner`. The session ends with the admin key that made the link.",
  body: bodySchema,
  bodyRequired: false,
  write: true,
  success: { status: 201, description: "The link, this once.", schema: portalSchema },
  problems: ["not_found", "idempotency_conflict"],
  async handle({ id, body, caller, context, registry, deps, now, origin }) {
    const owner = await registry.read((keys) => keys.getOwner(id));
    if (!owner.ok) return owner;
    const madeAt = Math.floor(now / 1_000);
    const expiresAt = madeAt + body.ttlSeconds;
    const whose = { workspace: caller.workspace, owner: id };
    const linkId = context.idempotency === null ? newToken() : linkIdOf(context.idempotency.key, whose);
    const link = await sealLink(
      { v: 1, id: linkId, ...whose, by: makerOf(caller, deps.env), scopes: lentBy(caller), madeAt, expiresAt },
      deps.env,
    );
    if (link === null)
      return err({
        code: "storage_unavailable",
        detail: "This deployment has no LATCHKEY_TOKEN_SECRET to seal links with.",
      });
    const until = new Date(expiresAt * 1_000).toISOString();
    const entry = {
      action: "owner.portal",
      subject: { kind: "owner" as const, id },
      after: { expiresAt: until },
      note: null,
    };
    const noted = await registry.write((keys) => keys.noteAction(entry, context));
    if (!noted.ok) return noted;
    const url = `${origin}/_latchkey/portal?link=${link}`;
    return ok({ status: 201, body: { url, expiresAt: until }, headers: replayHeader(noted.value) });
  },
});

function lentBy({ scopes }: Caller): readonly AdminScope[] {
  return PORTAL_SCOPES.filter((scope) => coversAdminScope(scopes, scope));
}

function makerOf({ actor }: Caller, env: ControlEnv): LinkMaker {
  if (actor.kind === "root") return { kind: "root", mark: new RootToken(env.LATCHKEY_ROOT_TOKEN).mark ?? "" };
  return { kind: actor.kind === "person" ? "person" : "admin_key", id: actor.id };
}
