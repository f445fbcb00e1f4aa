/** The page's one style sheet. System fonts, no images: nothing is fetched. */
export const DOCS_STYLE = `
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#57606a;--paper:#fff;--card:#f6f7f9;--line:#d8dee4;--link:#0a58b0;--accent:#0a58b0;--code:#10151b;--code-ink:#e8edf2;
--get:#0a6b4d;--post:#0a58b0;--put:#8a4b00;--patch:#6b3fa0}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ed;--soft:#a5aeb8;--paper:#14171b;--card:#1c2127;--line:#343c45;--link:#7cb7ff;--accent:#7cb7ff;--code:#0c0f12;--code-ink:#dfe6ee;
--get:#5fd3a8;--post:#7cb7ff;--put:#f2b260;--patch:#c9a5f5}}
*{box-sizing:border-box}
html{scroll-behavior:smooth;scroll-padding-top:1rem}
@media(prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
body{margin:0;background:var(--paper);color:var(--ink);font:1rem/1.6 system-ui,-apple-system,"Segoe UI",sans-serif;overflow-wrap:anywhere}
a{color:var(--link);text-underline-offset:.15em}
a:focus-visible,summary:focus-visible,pre:focus-visible{outline:3px solid var(--link);outline-offset:2px;border-radius:.2rem}
.skip{position:absolute;left:-100vw}.skip:focus{left:1rem;top:.5rem;background:var(--paper);padding:.5rem 1rem;z-index:2}
code,pre,.path{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.875em}
p code,li code,dd code,td code{background:var(--card);border:1px solid var(--line);border-radius:.25rem;padding:.05em .3em}
pre{margin:.75rem 0 0;padding:1rem;background:var(--code);color:var(--code-ink);border-radius:.5rem;overflow:auto;line-height:1.5;white-space:pre;overflow-wrap:normal}
h1{font-size:2rem;line-height:1.2;margin:0 0 .5rem;letter-spacing:-.01em}
h2{font-size:1.4rem;line-height:1.25;margin:3.5rem 0 .25rem}
h3{font-size:1.1rem;margin:0;line-height:1.4}
h4{font-size:.8rem;text-transform:uppercase;letter-spacing:.05em;color:var(--soft);margin:1.5rem 0 .25rem}
p{margin:.6rem 0}.soft{color:var(--soft)}
.shell{max-width:76rem;margin:0 auto;padding:0 1rem 5rem}
nav h2{font-size:.8rem;text-transform:uppercase;letter-spacing:.05em;color:var(--soft);margin:1.25rem 0 .25rem}
nav ul{list-style:none;margin:0;padding:0}
nav li a{display:flex;gap:.5rem;align-items:baseline;padding:.3rem 0;text-decoration:none;color:var(--ink);font-size:.925rem}
nav li a:hover{color:var(--link);text-decoration:underline}
.contents{border-top:1px solid var(--line);margin-top:3rem;padding-top:1rem}
main{padding-top:1.5rem}
.method{font:700 .7rem/1.4 ui-monospace,Menlo,Consolas,monospace;text-transform:uppercase;min-width:3.1rem;display:inline-block}
.get{color:var(--get)}.post{color:var(--post)}.put{color:var(--put)}.patch{color:var(--patch)}
.operation{border-top:1px solid var(--line);padding:1.75rem 0 .5rem;margin-top:1.25rem}
.operation header{display:flex;flex-wrap:wrap;gap:.25rem .75rem;align-items:baseline;justify-content:space-between}
.operation header a{color:inherit;text-decoration:none}.operation header a:hover{text-decoration:underline}
.line{display:flex;gap:.5rem;align-items:baseline;margin:.35rem 0;background:var(--card);border:1px solid var(--line);border-radius:.4rem;padding:.35rem .7rem}
.scope{font-size:.8rem;border:1px solid var(--line);border-radius:1rem;padding:.05rem .6rem;color:var(--soft);white-space:nowrap}
dl{margin:.25rem 0 0}
.field{display:grid;grid-template-columns:minmax(0,13rem) minmax(0,1fr);gap:.1rem 1rem;padding:.5rem 0;border-top:1px solid var(--line)}
.field:first-child{border-top:0}
.field dt{font-weight:600}.field dt .soft{display:block;font-weight:400;font-size:.85rem}
.field dd{margin:0}.field dd p{margin:0}
.required{color:var(--put);font-size:.8rem;font-weight:600}
details.more{margin:.75rem 0}details.more>summary{cursor:pointer;color:var(--link)}
footer{border-top:1px solid var(--line);margin-top:4rem;padding-top:1rem;color:var(--soft);font-size:.9rem}
@media(max-width:34rem){.field{grid-template-columns:minmax(0,1fr)}h1{font-size:1.6rem}}
@media(min-width:62rem){
.shell{display:grid;grid-template-columns:16rem minmax(0,1fr);gap:3.5rem}
.contents{grid-column:1;grid-row:1;position:sticky;top:0;align-self:start;max-height:100vh;overflow:auto;padding:1rem .5rem 2rem .25rem;margin:0;border:0}
main{grid-column:2;padding-top:2rem;max-width:52rem}
.narrow{display:none}
}
@media print{.contents{display:none}}
`;
