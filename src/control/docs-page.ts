import { createHash } from "node:crypto";
import { html, raw } from "hono/html";
import { curlOf } from "./docs-curl.ts";
import { operationsOf, resolveParameter, resolveSchema, viewOf } from "./docs-document.ts";
import type { DocumentView, PlacedOperation, ResponseView } from "./docs-document.ts";
import { prose } from "./docs-prose.ts";
import type { Html } from "./docs-prose.ts";
import { field, membersOf, typeOf } from "./docs-schema.ts";
import { DOCS_STYLE } from "./docs-style.ts";
import type { ApiDocument } from "./openapi.ts";
import { OPENAPI_PATH } from "./operations.ts";

/** `/_latchkey/docs`: the OpenAPI document for reading. No script, and nothing from elsewhere: it works on a plane. */

/** In one piece: a space more, and the browser refuses it for its digest. */
const STYLE_ELEMENT = raw(`<style>${DOCS_STYLE}</style>`);
const STYLE_DIGEST = createHash("sha256").update(DOCS_STYLE).digest("base64");
const POLICY = `default-src 'none'; style-src 'sha256-${STYLE_DIGEST}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

export async function renderDocsPage(document: ApiDocument, cacheControl: string): Promise<Response> {
  const text = await page(viewOf(document));
  return new Response(String(text), {
    headers: {
      "Content-Type": "text/html; charset=utf-8",
      "Cache-Control": cacheControl,
      "Content-Security-Policy": POLICY,
      "Referrer-Policy": "no-referrer",
      "X-Content-Type-Options": "nosniff",
    },
  });
}

function page(document: DocumentView): Html {
  const { info, tags } = document;
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${info.title} API</title>
        ${STYLE_ELEMENT}
      </head>
      <body>
        <a class="skip" href="#contents">All calls</a>
        <div class="shell">
          <main>
            <h1>${info.title} API</h1>
            <p class="narrow"><a href="#contents">All calls</a></p>
            ${prose(info.description)}
            <p>
              The same as data: <a href="${OPENAPI_PATH}">OpenAPI 3.1</a>. Each code has
              <a href="/_latchkey/problems">its own page</a>.
            </p>
            <h4>To try the examples</h4>
            <pre tabindex="0" aria-label="Setting the token">
# asks for the root token or an admin key, and keeps it out of the shell's history
read -rs LATCHKEY_TOKEN && export LATCHKEY_TOKEN</pre>
            ${tags.map((tag) => section(document, tag))}
            <h2 id="objects">Objects</h2>
            <p class="soft">What calls take and answer.</p>
            ${Object.entries(document.components.schemas).map(([name, schema]) => object(name, schema.description ?? "", membersOf(schema)))}
            <footer>Served by this deployment of Latchkey, from the schemas that check its requests.</footer>
          </main>
          ${contents(document)}
        </div>
      </body>
    </html> `;
}

function contents(document: DocumentView): Html {
  return html`<nav class="contents" id="contents" aria-label="All calls">
    ${document.tags.map(
      (tag) =>
        html`<h2><a href="#${anchorOf(tag.name)}">${tag.name}</a></h2>
          <ul>
            ${operationsOf(document, tag.name).map(
              ({ method, operation }) =>
                html`<li>
                  <a href="#${operation.operationId}"
                    ><span class="method ${method}">${method}</span>${operation.summary}</a
                  >
                </li>`,
            )}
          </ul>`,
    )}
    <h2><a href="#objects">Objects</a></h2>
  </nav>`;
}

function section(document: DocumentView, tag: { readonly name: string; readonly description: string }): Html {
  return html`<section aria-labelledby="${anchorOf(tag.name)}">
    <h2 id="${anchorOf(tag.name)}">${tag.name}</h2>
    <p class="soft">${tag.description}</p>
    ${operationsOf(document, tag.name).map((placed) => operationBlock(document, placed))}
  </section>`;
}

function operationBlock(document: DocumentView, placed: PlacedOperation): Html {
  const { method, path, operation } = placed;
  const id = operation.operationId;
  return html`<article class="operation" id="${id}" aria-labelledby="${id}-title">
    <header>
      <h3 id="${id}-title"><a href="#${id}">${operation.summary}</a></h3>
      ${scopeOf(placed)}
    </header>
    <div class="line"><span class="method ${method}">${method}</span><span class="path">${path}</span></div>
    ${prose(operation.description.replace(/\n\nNeeds the scope .*$/, ""))} ${parameters(document, placed)}
    ${requestBody(document, placed)} ${answers(operation.responses)}
    <h4>Example</h4>
    <pre tabindex="0" aria-label="Example: ${operation.summary}">${curlOf(document, placed)}</pre>
  </article>`;
}

function scopeOf({ operation }: PlacedOperation): Html {
  const scopes = operation.security.flatMap((one) => one["adminKey"] ?? []);
  if (scopes.length > 0) return html`<span class="scope">scope <code>${scopes.join(" ")}</code></span>`;
  return html`<span class="scope">${operation.security.length === 0 ? "open to all" : "any key"}</span>`;
}

function parameters(document: DocumentView, { operation }: PlacedOperation): Html | "" {
  const all = (operation.parameters ?? []).map((parameter) => resolveParameter(document, parameter));
  if (all.length === 0) return "";
  const inPath = all.filter((parameter) => parameter.in !== "header");
  const inHeader = all.filter((parameter) => parameter.in === "header");
  const list = (some: typeof all) =>
    html`<dl>${some.map((one) => field(one.name, one.schema ?? {}, one.required ?? false, one.description))}</dl>`;
  return html`${
    inPath.length === 0
      ? ""
      : html`<h4>Parameters</h4>
          ${list(inPath)}`
  }
  ${
    inHeader.length === 0
      ? ""
      : html`<details class="more">
          <summary>Headers</summary>
          ${list(inHeader)}
        </details>`
  }`;
}

function requestBody(document: DocumentView, { operation }: PlacedOperation): Html | "" {
  const content = Object.entries(operation.requestBody?.content ?? {})[0];
  if (content === undefined) return "";
  const [type, media] = content;
  const schema = media.schema ?? {};
  const whole = resolveSchema(document, schema);
  if (Object.keys(whole.properties ?? {}).length === 0) return "";
  return html`<h4>Body</h4>
    <p class="soft">${typeOf(schema)}, <code>${type}</code></p>
    ${membersOf(whole)}`;
}

function answers(responses: Readonly<Record<string, ResponseView>>): Html {
  const all = Object.entries(responses);
  const good = all.filter(([status]) => status.startsWith("2"));
  const bad = all.filter(([status]) => !status.startsWith("2"));
  return html`<h4>Answers</h4>
    <dl>${good.map(([status, response]) => answer(status, response))}</dl>
    ${
      bad.length === 0
        ? ""
        : html`<details class="more">
            <summary>Refusals</summary>
            <dl>${bad.map(([status, response]) => answer(status, response))}</dl>
          </details>`
    }`;
}

function answer(status: string, response: ResponseView): Html {
  const schema = response.content?.["application/json"]?.schema;
  return html`<div class="field">
    <dt><code>${status}</code></dt>
    <dd>
      ${schema === undefined ? "" : html`<span class="soft">${typeOf(schema)}</span>`}${prose(response.description)}
    </dd>
  </div>`;
}

function object(name: string, description: string, members: Html): Html {
  return html`<article class="operation" id="object-${name}">
    <h3>${name}</h3>
    ${description === "" ? "" : prose(description)}${members}
  </article>`;
}

function anchorOf(tag: string): string {
  return tag.toLowerCase();
}
