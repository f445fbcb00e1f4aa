import { html, raw } from "hono/html";

export type Html = ReturnType<typeof html>;

/** The little Markdown that descriptions use: paragraphs, `code` and **strong**. Everything else is shown as it stands. */
export function prose(text: string): Html {
  const paragraphs = text.split(/\n\n+/).map((paragraph) => `<p>${inline(paragraph)}</p>`);
  // Every character of the text went through `escape`.
  return html`${raw(paragraphs.join("\n"))}`;
}

function inline(text: string): string {
  return escape(text)
    .replace(/`([^`]+)`/g, "<code>$1</code>")
    .replace(/\*\*([^*]+)\*\*/g, "<strong>$1</strong>");
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
