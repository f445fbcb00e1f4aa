import type { CompiledUpstream } from "../../gateway/compiled-route.ts";
import type { RouteTable } from "../../gateway/route-table.ts";
import { addressOf } from "../../gateway/identity-headers.ts";
import type { EdgeRecord } from "../../keys/record.ts";
import { err, ok, type Result } from "../../result.ts";
import type { OAuthError } from "./oauth-answer.ts";

/**
 * Which upstream a token is for. One token, one `aud`: what an upstream is shown, it cannot use at another (RFC 9068 §3, RFC 8693 §2.1).
 * `audience` is a name, `resource` a URI at which the upstream is served (RFC 8707 §2).
 */
export interface TargetRequest {
  readonly audiences: readonly string[];
  readonly resources: readonly string[];
  /** Of the subject token: it may not become another one's. `null`: a key, which may go wherever it may go. */
  readonly bound: string | null;
  /** `TokensConfig.defaultUpstream`. */
  readonly defaultUpstream: string | null;
}

/** The `aud`. */
export function findTarget(
  { audiences, resources, bound, defaultUpstream }: TargetRequest,
  record: Pick<EdgeRecord, "workspace" | "environment">,
  table: RouteTable,
): Result<string, OAuthError> {
  const open = [...table.upstreams.values()].filter((upstream) => mayUse(record, upstream));
  const named = new Set<CompiledUpstream | null>([
    ...audiences.map((audience) => open.find((upstream) => upstream.audience === audience) ?? null),
    ...resources.map((resource) => upstreamAt(resource, open, table)),
  ]);
  if (named.size > 1) return refuse("A token is for one upstream: name one audience or resource.");
  const [only] = named;
  if (only === null) return refuse("The audience or resource is not an upstream that this key may use.");
  if (bound !== null) {
    if (only !== undefined && only.audience !== bound)
      return refuse("A token cannot be exchanged for another audience.");
    return ok(bound);
  }
  if (only !== undefined) return ok(only.audience);
  const [single] = open;
  if (open.length === 1 && single !== undefined) return ok(single.audience);
  const usual = open.find(({ name }) => name === defaultUpstream);
  if (usual !== undefined) return ok(usual.audience);
  return refuse(
    open.length === 0
      ? "There is no upstream that this key may use."
      : `Say which upstream the token is for: audience=${open.map(({ audience }) => audience).join(" or ")}.`,
  );
}

function mayUse(
  { workspace, environment }: Pick<EdgeRecord, "workspace" | "environment">,
  upstream: CompiledUpstream,
): boolean {
  return (
    (upstream.workspace === "*" || upstream.workspace === workspace) && upstream.environments.includes(environment)
  );
}

/** RFC 8707 §2: an absolute URI without a fragment. */
function upstreamAt(resource: string, open: readonly CompiledUpstream[], table: RouteTable): CompiledUpstream | null {
  const url = URL.parse(resource);
  if (url === null || url.hash !== "" || resource.includes("#") || !/^https?:$/.test(url.protocol)) return null;
  const found = table.upstreamFor(addressOf(url.href).host, url.pathname);
  return found !== null && open.includes(found) ? found : null;
}

function refuse(description: string): Result<never, OAuthError> {
  return err({ error: "invalid_target", description });
}
