import type { ApiDocument } from "./openapi.ts";

/** The parts of the OpenAPI document that the page reads. It was made in this Worker, so its shape is known. */

export interface SchemaView {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly format?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxLength?: number;
  readonly maxItems?: number;
  readonly default?: unknown;
  readonly example?: unknown;
  readonly items?: SchemaView;
  readonly anyOf?: readonly SchemaView[];
  readonly properties?: Readonly<Record<string, SchemaView>>;
  readonly required?: readonly string[];
}

export interface ParameterView {
  readonly $ref?: string;
  readonly name: string;
  readonly in: string;
  readonly description?: string;
  readonly required?: boolean;
  readonly schema?: SchemaView;
  readonly example?: unknown;
}

export interface ResponseView {
  readonly description: string;
  readonly content?: Readonly<Record<string, { readonly schema?: SchemaView }>>;
}

export interface OperationView {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly summary: string;
  readonly description: string;
  readonly security: readonly Readonly<Record<string, readonly string[]>>[];
  readonly parameters?: readonly ParameterView[];
  readonly requestBody?: {
    readonly required?: boolean;
    readonly content: Readonly<Record<string, { readonly schema?: SchemaView }>>;
  };
  readonly responses: Readonly<Record<string, ResponseView>>;
}

export interface DocumentView {
  readonly info: { readonly title: string; readonly version: string; readonly description: string };
  readonly servers: readonly { readonly url: string }[];
  readonly tags: readonly { readonly name: string; readonly description: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, OperationView>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, SchemaView>>;
    readonly parameters: Readonly<Record<string, ParameterView>>;
  };
}

export interface PlacedOperation {
  readonly method: string;
  readonly path: string;
  readonly operation: OperationView;
}

/** The generator's own types allow much that this document never has. */
export function viewOf(document: ApiDocument): DocumentView {
  return document as unknown as DocumentView;
}

/** Operations with this tag, in the order of the document. */
export function operationsOf(document: DocumentView, tag: string): readonly PlacedOperation[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      .filter(([, operation]) => operation.tags.includes(tag))
      .map(([method, operation]) => ({ method, path, operation })),
  );
}

/** `#/components/schemas/Key` → `Key`. */
export function refName(ref: string): string {
  return ref.slice(ref.lastIndexOf("/") + 1);
}

export function resolveSchema(document: DocumentView, schema: SchemaView): SchemaView {
  return schema.$ref === undefined ? schema : (document.components.schemas[refName(schema.$ref)] ?? {});
}

export function resolveParameter(document: DocumentView, parameter: ParameterView): ParameterView {
  return parameter.$ref === undefined
    ? parameter
    : (document.components.parameters[refName(parameter.$ref)] ?? parameter);
}
