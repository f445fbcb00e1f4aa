import type { Problem } from "../http/problem.ts";
import { statusAt } from "../keys/status.ts";
import { err, ok, type Result } from "../result.ts";
import { check } from "./check.ts";
import { readCredential } from "./credential.ts";
import { clientIpOf, requestFacts } from "./facts.ts";
import { KEY_MISSING, type Surroundings } from "./handler.ts";
import { ANY_KEY } from "./judge.ts";
import { showLimit } from "./verify.ts";

/** `GET /_latchkey/v1/whoami`: what the presented key is, to its own holder. Charges nothing. */
export async function whoami(request: Request, { isolate, ctx }: Surroundings): Promise<Result<unknown, Problem>> {
  const { table, parts } = isolate;
  const credential = readCredential(request, { queryParameter: null, prefixes: table.prefixes });
  if (!credential.ok) return credential;
  if (credential.value === null) return err(KEY_MISSING);
  const outcome = await check(
    {
      presentedKey: credential.value.presentedKey,
      facts: requestFacts(request),
      budget: { address: clientIpOf(request) },
      demand: ANY_KEY,
      possession: {
        via: credential.value.via,
        proof: request.headers.get("DPoP"),
        method: request.method,
        url: request.url,
      },
      signable: "not asked",
      cost: 0,
      look: true,
      routeLimits: [],
      routePolicy: { strict: false, onMeterUnavailable: null, graceSeconds: null },
      waitUntil: (work) => ctx.waitUntil(work),
    },
    parts,
  );
  if (!outcome.ok) return err(outcome.refusal);
  const { record, limits } = outcome.admission;
  return ok({
    keyId: record.id,
    lineageId: record.lineageId,
    workspace: record.workspace,
    owner: record.owner,
    environment: record.environment,
    kind: record.kind,
    status: statusAt(record, outcome.at),
    hint: record.hint,
    scopes: record.scopes,
    plan: record.plan,
    bindings: record.bindings,
    policy: record.policy,
    metadata: record.metadata,
    notBefore: timeOf(record.notBefore),
    expiresAt: timeOf(record.expiresAt),
    notAfter: timeOf(record.notAfter),
    limits: limits.map(showLimit),
  });
}

function timeOf(epochMs: number | null): string | null {
  return epochMs === null ? null : new Date(epochMs).toISOString();
}
