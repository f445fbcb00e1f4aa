/** The few calls of the control API that the benchmark makes. */

export interface Issued {
  readonly id: string;
  readonly key: string;
}

export interface ControlTarget {
  readonly url: string;
  readonly rootToken: string;
}

/** Everything that a key can have: scopes, a network, an owner, a rate and a quota, both too large to refuse. */
export const FULL_KEY = {
  name: "Benchmark",
  owner: "acme",
  environment: "live",
  scopes: ["reports:read", "charges:write"],
  bindings: { ips: ["127.0.0.0/8", "192.0.2.0/24"] },
  limits: [
    { name: "burst", limit: 100_000_000, window: "minute", kind: "rate" },
    { name: "monthly", limit: 1_000_000_000_000, window: "month", kind: "quota" },
  ],
  metadata: { customer: "cus_4711", tier: "enterprise" },
} as const;

/** Throws what the API said unless its status is `status`. */
export async function callControl(
  target: ControlTarget,
  { path, body, status }: { readonly path: string; readonly body: unknown; readonly status: number },
): Promise<Record<string, unknown>> {
  const response = await fetch(`${target.url}/_latchkey/v1${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${target.rootToken}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  // A failure's body is a problem document, which holds no key.
  if (response.status !== status) throw new Error(`POST ${path} answered ${response.status}: ${text}`);
  return JSON.parse(text) as Record<string, unknown>; // the control API answers with objects
}

export async function issueKey(target: ControlTarget, input: Readonly<Record<string, unknown>>): Promise<Issued> {
  const { id, key } = await callControl(target, { path: "/keys", body: { ...FULL_KEY, ...input }, status: 201 });
  if (typeof id !== "string" || typeof key !== "string") throw new Error("the control API's answer has no key");
  return { id, key };
}

export async function revokeKey(target: ControlTarget, id: string): Promise<void> {
  await callControl(target, { path: `/keys/${id}/revoke`, body: { reason: "retired" }, status: 200 });
}

/** Keys by their hashes, each as full as an issued one. */
export async function importKeys(target: ControlTarget, hashes: readonly string[]): Promise<void> {
  for (let from = 0; from < hashes.length; from += KEYS_PER_IMPORT) {
    const keys = hashes.slice(from, from + KEYS_PER_IMPORT).map((value) => ({
      ...FULL_KEY,
      hash: { algorithm: "sha256", encoding: "base64url", value },
    }));
    const { imported } = await callControl(target, { path: "/keys/import", body: { keys }, status: 200 });
    if (imported !== keys.length) throw new Error(`${String(imported)} of ${keys.length} keys were imported`);
  }
}

/** A third of what the API takes: an import tells a meter for each key before it answers. */
const KEYS_PER_IMPORT = 300;
