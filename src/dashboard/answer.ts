/** How a page is sent: what a browser may do with it, and that nobody keeps it. */

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  // The empty icon, so that none is asked for.
  "img-src 'self' data:",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join("; ");

const HEADERS = {
  "Content-Type": "text/html; charset=utf-8",
  "Cache-Control": "no-store",
  "Content-Security-Policy": POLICY,
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
} as const;

/** Whatever JSX makes of a page without anything to wait for. */
interface Markup {
  toString(): string | Promise<string>;
}

export async function htmlAnswer(markup: Markup, status = 200): Promise<Response> {
  return new Response(`<!doctype html>${await markup.toString()}`, { status, headers: HEADERS });
}

/** A part of a page, for the script that puts it in place. */
export async function fragmentAnswer(markup: Markup): Promise<Response> {
  return new Response(await markup.toString(), { headers: HEADERS });
}

export function csvDownload(text: string, fileName: string): Response {
  const disposition = `attachment; filename="${fileName}"`;
  return new Response(text, {
    headers: { ...HEADERS, "Content-Type": "text/csv; charset=utf-8", "Content-Disposition": disposition },
  });
}

/** After a form: to a page of ours, by GET. */
export function seeOther(location: string, cookies: readonly string[] = []): Response {
  const headers = new Headers({ Location: location, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer" });
  for (const cookie of cookies) headers.append("Set-Cookie", cookie);
  return new Response(null, { status: 303, headers });
}
