import type { KeyRecord, Written } from "../../durable-objects/key-registry/api.ts";
import { signingSecretFor } from "../signatures/signing-secret.ts";
import type { ControlDependencies } from "./dependencies.ts";
import { entityTag } from "./idempotency.ts";
import type { Answer } from "./operation.ts";

/** Answers that carry a key's record. */

export function keyLocation(id: string): string {
  return `/_latchkey/v1/keys/${id}`;
}

export function answerRecord(record: KeyRecord, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status: 200, body: record, headers: { ETag: entityTag(record.generation), ...headers } };
}

export function answerWritten(written: Written<KeyRecord>): Answer {
  return answerRecord(written.value, replayHeader(written));
}

/** The one answer that shows a key. A replay does not: the secret made for this attempt belongs to nothing. */
export async function answerIssued(
  written: Written<KeyRecord>,
  key: string,
  deps: Pick<ControlDependencies, "env">,
): Promise<Answer> {
  const record = written.value;
  return {
    status: 201,
    body: written.replayed ? record : { ...record, key, ...(await shownSigningSecret(record, deps)) },
    headers: { ETag: entityTag(record.generation), Location: keyLocation(record.id), ...replayHeader(written) },
  };
}

/** The member of answers that shows with what to sign; none for keys that demand no HMAC. */
export async function shownSigningSecret(
  { id, policy }: KeyRecord,
  { env }: Pick<ControlDependencies, "env">,
): Promise<{ readonly signingSecret?: string }> {
  if (policy.signature?.algorithm !== "hmac-sha256") return {};
  const signingSecret = await signingSecretFor(id, env);
  return signingSecret === null ? {} : { signingSecret };
}

export function replayHeader(written: { readonly replayed: boolean }): Readonly<Record<string, string>> {
  return written.replayed ? { "Idempotent-Replayed": "true" } : {};
}
