import { resolveParameter, resolveSchema } from "./docs-document.ts";
import type { DocumentView, ParameterView, PlacedOperation, SchemaView } from "./docs-document.ts";

/** A `curl` line for each operation that works as it stands once the two variables are set. */

const TOKEN = "$LATCHKEY_TOKEN";
const KEY = "$KEY";
const MERGE_PATCH = "application/merge-patch+json";

export function curlOf(document: DocumentView, { method, path, operation }: PlacedOperation): string {
  const parameters = (operation.parameters ?? []).map((parameter) => resolveParameter(document, parameter));
  let target = path;
  for (const parameter of parameters) {
    if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, exampleText(parameter));
  }
  const lines = [
    `curl ${method === "get" ? "" : `-X ${method.toUpperCase()} `}${document.servers[0]?.url ?? ""}${target}`,
  ];
  if (operation.security.length > 0) {
    const schemes = operation.security.flatMap((one) => Object.keys(one));
    lines.push(`-H "Authorization: Bearer ${schemes.includes("adminKey") ? TOKEN : KEY}"`);
  }
  if (parameters.some((parameter) => parameter.name === "Idempotency-Key"))
    lines.push('-H "Idempotency-Key: $(uuidgen)"');
  const content = operation.requestBody?.content;
  if (content !== undefined) {
    const type = MERGE_PATCH in content ? MERGE_PATCH : "application/json";
    const example = exampleOf(document, content[type]?.schema ?? {});
    if (JSON.stringify(example) !== "{}") {
      lines.push(`-H "Content-Type: ${type}"`, `-d '${JSON.stringify(example, null, 2).replaceAll("'", "'\\''")}'`);
    }
  }
  return lines.join(" \\\n  ");
}

function exampleText({ name, schema }: ParameterView): string {
  return typeof schema?.example === "string" ? schema.example : name;
}

/** The schema's own example, or one made of what its required members show. */
function exampleOf(document: DocumentView, schema: SchemaView): unknown {
  if (schema.example !== undefined) return schema.example;
  const whole = resolveSchema(document, schema);
  if (whole.example !== undefined) return whole.example;
  if (whole.items !== undefined) return [exampleOf(document, whole.items)];
  if (whole.properties === undefined) return whole.enum?.[0] ?? "";
  const required = (whole.required ?? []).map(
    (name) => [name, exampleOf(document, whole.properties?.[name] ?? {})] as const,
  );
  return Object.fromEntries(required);
}
