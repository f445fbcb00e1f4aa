import type { Problem } from "../http/problem.ts";
import type { EdgeRecord } from "../keys/record.ts";
import { statusAt } from "../keys/status.ts";
import { err, ok, type Result } from "../result.ts";
import type { VerifiedToken } from "../tokens/verified-token.ts";
import { check } from "./check.ts";
import { readCredential } from "./credential.ts";
import { clientIpOf, requestFacts } from "./facts.ts";
import { KEY_MISSING, type Surroundings } from "./handler.ts";
import { ANY_KEY } from "./judge.ts";
import { showLimit } from "./verify.ts";

/** `GET /_latchkey/v1/whoami`: what the presented key or token is, to its own holder. Charges nothing. */
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
  const { record, token, limits } = outcome.admission;
  const shown = limits.map(showLimit);
  return ok(token === null ? keyView(record, shown, outcome.at) : tokenView(token, record, shown));
}

type ShownLimits = readonly ReturnType<typeof showLimit>[];

function keyView(record: EdgeRecord, limits: ShownLimits, now: number) {
  return {
    keyId: record.id,
    lineageId: record.lineageId,
    workspace: record.workspace,
    owner: record.owner,
    environment: record.environment,
    kind: record.kind,
    status: statusAt(record, now),
    hint: record.hint,
    scopes: record.scopes,
    plan: record.plan,
    bindings: record.bindings,
    policy: record.policy,
    metadata: record.metadata,
    notBefore: timeOf(record.notBefore),
    expiresAt: timeOf(record.expiresAt),
    notAfter: timeOf(record.notAfter),
    limits,
  };
}

/**
 * A token may be handed to others than the key's holder: of the key they see what the token itself says of it, and what is left of its
 * limits, which every answer of the API shows too. `record` has the scopes that both have.
 */
function tokenView({ claims, expiresAt }: VerifiedToken, record: EdgeRecord, limits: ShownLimits) {
  return {
    tokenId: claims.jti,
    audience: claims.aud,
    expiresAt: timeOf(expiresAt),
    keyId: record.id,
    lineageId: record.lineageId,
    workspace: record.workspace,
    owner: record.owner,
    environment: record.environment,
    scopes: record.scopes,
    limits,
  };
}

function timeOf(epochMs: number | null): string | null {
  return epochMs === null ? null : new Date(epochMs).toISOString();
}
