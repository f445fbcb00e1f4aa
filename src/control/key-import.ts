import { z } from "@hono/zod-openapi";
import type { ImportOutcome, NewKey } from "../../durable-objects/key-registry/api.ts";
import { MAX_IMPORT_KEYS, REGISTRY_IMPORT_TIMEOUT_MS } from "../constants.ts";
import { importedHash } from "../keys/digest.ts";
import { hintOfHash } from "../keys/hint.ts";
import { ok } from "../result.ts";
import { checkEscalation, checkSigning, faultsOf, toNewKey } from "./issuance-rules.ts";
import { replayHeader } from "./key-answer.ts";
import { defineOperation } from "./operation.ts";
import type { Call } from "./operation.ts";
import { fromRegistry } from "./problem.ts";
import type { FieldError, Outcome } from "./problem.ts";
import { keyRecordSchema } from "./schemas/key-record.ts";
import { importItemSchema } from "./schemas/key.ts";
import { toFieldErrors } from "./validation.ts";

/** `POST /keys/import`: keys that exist elsewhere come in by their hash, each with its own result. */

/** Items are looked at one by one, so that a bad one does not keep the others out. */
const importSchema = z
  .strictObject({
    keys: z.array(z.unknown()).min(1).max(MAX_IMPORT_KEYS),
    dryRun: z.boolean().default(false),
  })
  .openapi("Import");

/** What the document says of the body; `importSchema` with its items spelled out. */
export const importDocumentSchema = z
  .strictObject({
    keys: z.array(importItemSchema).min(1).max(MAX_IMPORT_KEYS),
    dryRun: z.boolean().default(false).openapi({ description: "Say what would happen; change nothing." }),
  })
  .openapi("Import");

const resultSchema = z
  .strictObject({
    index: z.int().openapi({ description: "Of the item in `keys`." }),
    ok: z.boolean(),
    id: z.string().optional().openapi({ description: "Of the new key; absent in a dry run." }),
    record: keyRecordSchema.optional(),
    code: z.string().optional().openapi({ description: "Why not.", example: "conflict" }),
    detail: z.string().optional(),
    errors: z.array(z.strictObject({ pointer: z.string(), detail: z.string() })).optional(),
  })
  .openapi("ImportResult");

const answerSchema = z
  .strictObject({
    dryRun: z.boolean(),
    imported: z.int().openapi({ description: "How many came in, or would have." }),
    refused: z.int(),
    results: z.array(resultSchema).openapi({ description: "One for each item, in order." }),
  })
  .openapi("ImportAnswer");

type ImportResult = z.output<typeof resultSchema>;

export const importKeys = defineOperation({
  method: "post",
  path: "/keys/import",
  scope: "keys:write",
  operationId: "importKeys",
  tag: "Keys",
  summary: "Import keys by their hashes",
  description: `Up to ${MAX_IMPORT_KEYS} keys of any form, known by the SHA-256 of the whole key. Each item has its own result; those that are refused do not keep the others out. An imported key works at once, or within 30 s where it had been tried before.`,
  body: importSchema,
  write: true,
  success: { status: 200, description: "A result for each item.", schema: answerSchema },
  problems: ["idempotency_conflict"],
  async handle(call) {
    const { body, context, registry } = call;
    const looked = body.keys.map((item, index) => lookAt(item, index, call));
    const fit = looked.flatMap((one) => (one.input === null ? [] : [{ index: one.index, input: one.input }]));
    const results = looked.flatMap((one) => (one.refused === null ? [] : [one.refused]));
    let headers: Readonly<Record<string, string>> = {};
    if (fit.length > 0) {
      const inputs = fit.map((one) => one.input);
      const written = await registry.write(
        (keys) => keys.import(inputs, body.dryRun, context),
        REGISTRY_IMPORT_TIMEOUT_MS,
      );
      if (!written.ok) return written;
      headers = replayHeader(written.value);
      for (const outcome of written.value.value) {
        results.push(toResult(outcome, fit[outcome.index]?.index ?? outcome.index, body.dryRun));
      }
    }
    results.sort((a, b) => a.index - b.index);
    const imported = results.filter((result) => result.ok).length;
    const answer = { dryRun: body.dryRun, imported, refused: results.length - imported, results };
    return ok({ status: 200, body: answer, headers });
  },
});

type Looked =
  | { readonly index: number; readonly input: NewKey; readonly refused: null }
  | { readonly index: number; readonly input: null; readonly refused: ImportResult };

function lookAt(item: unknown, index: number, call: Call<unknown, unknown>): Looked {
  const { caller, deps } = call;
  const parsed = importItemSchema.safeParse(item);
  if (!parsed.success) return refuse(index, toFieldErrors(parsed.error.issues, item, { prefix: `/keys/${index}` }));
  const { hash, ...input } = parsed.data;
  const canonical = importedHash(hash);
  const faults: FieldError[] = [...faultsOf(input, deps.config), ...checkSigning(input.policy, deps.env)];
  if (!canonical.ok) faults.push({ pointer: "/hash", detail: `The ${canonical.error}.` });
  if (!canonical.ok || faults.length > 0) {
    return refuse(
      index,
      faults.map((fault) => ({ ...fault, pointer: `/keys/${index}${fault.pointer}` })),
    );
  }
  const allowed: Outcome<null> = checkEscalation(caller, input.kind, input.scopes);
  if (!allowed.ok) {
    const { code, detail } = allowed.error;
    return { index, input: null, refused: { index, ok: false, code, detail } };
  }
  return { index, input: toNewKey(input, { hash: canonical.value, hint: hintOfHash(canonical.value) }), refused: null };
}

function refuse(index: number, errors: readonly FieldError[]): Looked {
  const detail = "The item has faults; see errors.";
  return { index, input: null, refused: { index, ok: false, code: "request_invalid", detail, errors: [...errors] } };
}

function toResult({ result }: ImportOutcome, index: number, dryRun: boolean): ImportResult {
  if (!result.ok) {
    const { code, detail, errors } = fromRegistry(result.error, true);
    const at = errors?.map((fault) => ({ ...fault, pointer: `/keys/${index}${fault.pointer}` }));
    return { index, ok: false, code, detail, ...(at === undefined ? {} : { errors: at }) };
  }
  // In a dry run nothing was made, so there is no id to hand out. Lists from the registry are never written to here.
  const record = result.value as z.output<typeof keyRecordSchema>;
  return dryRun ? { index, ok: true } : { index, ok: true, id: record.id, record };
}
