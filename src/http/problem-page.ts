import { createHash } from "node:crypto";
import { PROBLEMS } from "./codes.ts";
import type { ProblemCode } from "./codes.ts";
import { PROBLEM_TEXTS } from "./problem-texts.ts";
import { PROBLEMS_PATH, problemParts } from "./problem.ts";
import type { Problem } from "./problem.ts";

/**
 * Pages about the codes, at the `type` of each problem: `/_latchkey/problems/<code>`, with an index one level up. They work
 * without scripts and without anything from elsewhere, and show nothing of any request.
 */

const STYLE = `:root{color-scheme:light dark;--ink:#1b1f24;--soft:#57606a;--paper:#fff;--card:#f4f5f7;--line:#d0d7de;--link:#0a58b0}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ed;--soft:#a5aeb8;--paper:#14171b;--card:#1e2329;--line:#3a424b;--link:#7cb7ff}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:1rem/1.6 system-ui,sans-serif;overflow-wrap:anywhere}
main{max-width:44rem;margin:0 auto;padding:1.5rem 1rem 4rem}h1{font-size:1.75rem;line-height:1.25;margin:.5rem 0}h2{font-size:1.15rem;margin:2rem 0 .25rem}
p{margin:.5rem 0}a{color:var(--link)}a:focus-visible{outline:3px solid var(--link);outline-offset:2px}.soft{color:var(--soft)}
code,pre{font:.9rem/1.5 ui-monospace,monospace}pre{background:var(--card);border:1px solid var(--line);border-radius:.4rem;padding:1rem;white-space:pre-wrap}
ul{list-style:none;padding:0;margin:0}li{border-bottom:1px solid var(--line);padding:.5rem 0}li span{display:block}`;

const EXAMPLE_CONTEXT = { requestId: "req_01kay8f2q0example0example0", realm: "latchkey" };
const EXAMPLE_RETRY_SECONDS = 12;
const EXAMPLE_ORDER = ["WWW-Authenticate", "Retry-After", "RateLimit-Policy", "RateLimit", "Allow", "Content-Type"];

/** Headers of every page here. The one style is named by its digest, so that nothing that gets in could load or run. */
export function problemPageHeaders(): Readonly<Record<string, string>> {
  const digest = createHash("sha256").update(STYLE).digest("base64");
  const policy = `default-src 'none'; style-src 'sha256-${digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
  return {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "public, max-age=3600",
    "Content-Security-Policy": policy,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
  };
}

export function isProblemCode(text: string): text is ProblemCode {
  return Object.hasOwn(PROBLEMS, text);
}

/** The page on one code; `null` when there is no such code. */
export function problemPage(code: string): string | null {
  if (!isProblemCode(code)) return null;
  const { status, title } = PROBLEMS[code];
  const { meaning, caller, operator } = PROBLEM_TEXTS[code];
  const body = `<nav aria-label="Errors"><a href="${PROBLEMS_PATH}">All errors</a></nav>
<h1>${escapeHtml(title)}</h1>
<p class="soft"><code>${code}</code>, HTTP status ${status}</p>
<h2>What it means</h2>
<p>${escapeHtml(meaning)}</p>
<h2>If you sent the request</h2>
<p>${escapeHtml(caller)}</p>
<h2>If you run this gateway</h2>
<p>${escapeHtml(operator)}</p>
<h2>What the answer looks like</h2>
<pre>${escapeHtml(exampleAnswer(code))}</pre>`;
  return page(`${title} (${code})`, body);
}

/** The index of all codes, in the order of their status. */
export function problemIndexPage(): string {
  const items = Object.entries(PROBLEMS).map(
    ([code, { status, title }]) =>
      `<li><a href="${PROBLEMS_PATH}${code}"><code>${code}</code></a><span>${escapeHtml(title)} <span class="soft">HTTP status ${status}</span></span></li>`,
  );
  const intro = `<p>Each refusal names its code in <code>code</code>, and has the address of its page here in <code>type</code>.</p>`;
  return page("Errors", `<h1>Errors</h1>\n${intro}\n<ul>\n${items.join("\n")}\n</ul>`);
}

/** Status line, the header fields that matter, and body, made by the code that answers. Also in `docs/errors.md`. */
export function exampleAnswer(code: ProblemCode): string {
  const { status, headers, body } = problemParts(exampleProblem(code), EXAMPLE_CONTEXT);
  const fields = EXAMPLE_ORDER.filter((name) => headers.has(name));
  const head = [`HTTP/1.1 ${status}`, ...fields.map((name) => `${name}: ${headers.get(name) ?? ""}`)];
  return `${head.join("\n")}\n\n${JSON.stringify(body, null, 2)}`;
}

function exampleProblem(code: ProblemCode): Problem {
  const problem: Problem = { code, detail: PROBLEM_TEXTS[code].example };
  const window = { remaining: 0, resetSeconds: EXAMPLE_RETRY_SECONDS };
  switch (code) {
    case "rate_limited":
      return {
        ...problem,
        violated: ["burst"],
        limits: [{ name: "burst", limit: 100, windowSeconds: 60, ...window }],
      };
    case "quota_exhausted":
      return {
        ...problem,
        violated: ["daily"],
        limits: [{ name: "daily", limit: 10_000, windowSeconds: 86_400, ...window, resetSeconds: 5_400 }],
      };
    case "scope_insufficient":
      return { ...problem, requiredScopes: ["charges:write"] };
    case "request_invalid":
      return {
        ...problem,
        errors: [{ pointer: "/expiresAt", detail: "Must be a time in RFC 3339." }],
      };
    case "method_not_allowed":
      return { ...problem, allow: ["POST"] };
    default:
      return problem;
  }
}

function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)} · Latchkey</title>
<style>${STYLE}</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`;
}

function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
