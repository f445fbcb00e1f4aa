import { createHash } from "node:crypto";
import { canonicalJson } from "../canonical-json.ts";
import { MAX_IDEMPOTENCY_KEY_CHARACTERS } from "../constants.ts";
import type { WriteContext } from "../../durable-objects/key-registry/api.ts";
import type { Caller } from "./caller.ts";
import type { Outcome } from "./problem.ts";
import { invalid } from "./problem.ts";
import { holdsKey } from "./request-body.ts";
import { ok } from "../result.ts";
import { ENTITY_TAG_PATTERN, IDEMPOTENCY_KEY_PATTERN } from "./schemas/names.ts";

/** What a write carries besides its body: who, whether it is a repeat, and which state it was meant for. */

const NO_GENERATION = -1;

/** Body as received, before defaults: a repeat is the same request, not one that means the same. */
export function readWriteContext(request: Request, caller: Caller, body: unknown): Outcome<WriteContext> {
  const idempotency = readIdempotency(request, caller, body);
  if (!idempotency.ok) return idempotency;
  const ifGeneration = readIfMatch(request);
  if (!ifGeneration.ok) return ifGeneration;
  return ok({ actor: caller.actor, idempotency: idempotency.value, ifGeneration: ifGeneration.value });
}

function readIdempotency(request: Request, caller: Caller, body: unknown): Outcome<WriteContext["idempotency"]> {
  const key = request.headers.get("Idempotency-Key");
  if (key === null) return ok(null);
  if (key.length > MAX_IDEMPOTENCY_KEY_CHARACTERS || !IDEMPOTENCY_KEY_PATTERN.test(key) || holdsKey(key)) {
    const detail = `Must be 1 to ${MAX_IDEMPOTENCY_KEY_CHARACTERS} visible ASCII characters, a UUID for instance.`;
    return invalid([{ pointer: "/Idempotency-Key", detail, in: "header" }]);
  }
  const { pathname } = new URL(request.url);
  const parts = [request.method, pathname, caller.workspace, caller.actor.id, body];
  const fingerprint = createHash("sha256").update(canonicalJson(parts)).digest("base64url");
  return ok({ key, fingerprint });
}

/**
 * RFC 9110 section 13.1.1. `*` asks for any present state, which every call here does. A tag that is not one of ours
 * matches nothing, so the registry is asked for a generation that no key has: it then says 404 or 412 as is right.
 */
function readIfMatch(request: Request): Outcome<number | null> {
  const header = request.headers.get("If-Match");
  if (header === null || header.trim() === "*") return ok(null);
  if (header.includes(",")) {
    return invalid([{ pointer: "/If-Match", detail: "Must hold one entity tag.", in: "header" }]);
  }
  const generation = ENTITY_TAG_PATTERN.exec(header.trim())?.[1];
  return ok(generation === undefined ? NO_GENERATION : Number(generation));
}

export function entityTag(generation: number): string {
  return `"g${generation}"`;
}
