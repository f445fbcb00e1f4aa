import { html } from "hono/html";
import { refName } from "./docs-document.ts";
import type { SchemaView } from "./docs-document.ts";
import { prose } from "./docs-prose.ts";
import type { Html } from "./docs-prose.ts";

/** Schemas for reading: types as words, members as lists. */

export function typeOf(schema: SchemaView): Html {
  if (schema.$ref !== undefined) {
    const name = refName(schema.$ref);
    return html`<a href="#object-${name}">${name}</a>`;
  }
  if (schema.anyOf !== undefined) {
    return html`${schema.anyOf.map((one, index) => html`${index === 0 ? "" : " or "}${typeOf(one)}`)}`;
  }
  if (schema.items !== undefined)
    return html`list of ${typeOf(schema.items)}${schema.maxItems === undefined ? "" : `, at most ${schema.maxItems}`}`;
  if (schema.enum !== undefined) {
    return html`${schema.enum.map((value, index) => html`${index === 0 ? "" : " | "}<code>${String(value)}</code>`)}${orNull(schema)}`;
  }
  if (schema.properties !== undefined && schema.type !== undefined) {
    const members = Object.keys(schema.properties);
    return html`object of <code>${members.join(", ")}</code>${orNull(schema)}`;
  }
  return html`${plainType(schema)}${orNull(schema)}`;
}

/** A list of members; nothing when there are none. */
export function membersOf(schema: SchemaView): Html {
  const members = Object.entries(schema.properties ?? {});
  if (members.length === 0) return html`<p class="soft">No members.</p>`;
  return html`<dl>
    ${members.map(([name, member]) => field(name, member, schema.required?.includes(name) ?? false))}
  </dl>`;
}

/** One member, parameter or header. */
export function field(
  name: string,
  schema: SchemaView,
  isRequired: boolean,
  description = schema.description ?? "",
): Html {
  return html`<div class="field">
    <dt><code>${name}</code> ${isRequired ? html`<span class="required">required</span>` : ""}</dt>
    <dd>
      <span class="soft">${typeOf(schema)}${defaultOf(schema)}</span>${description === "" ? "" : prose(description)}
    </dd>
  </div>`;
}

function plainType(schema: SchemaView): string {
  const types = [schema.type ?? "any JSON"].flat().filter((type) => type !== "null");
  const bounds = boundsOf(schema);
  const named = schema.format === "date-time" ? "RFC 3339 time" : types.join(" or ");
  return bounds === "" ? named : `${named} ${bounds}`;
}

function boundsOf(schema: SchemaView): string {
  if (schema.minimum !== undefined && schema.maximum !== undefined)
    return `from ${schema.minimum} to ${schema.maximum}`;
  if (schema.format !== undefined || schema.maxLength === undefined) return "";
  return `up to ${schema.maxLength} characters`;
}

function orNull(schema: SchemaView): string {
  return [schema.type ?? ""].flat().includes("null") ? " or null" : "";
}

function defaultOf(schema: SchemaView): Html | string {
  if (schema.default === undefined || schema.default === null) return "";
  const text = JSON.stringify(schema.default);
  return text === "[]" || text === "{}" ? "" : html`, default <code>${text}</code>`;
}
