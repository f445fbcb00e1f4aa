export function renderDocsPage(_d: unknown, _c: string): Response { return new Response(""); }
