/** Where the pages stand, and how their addresses are written: what a page shows is in its address. */

export const HOME_PATH = "/_latchkey/";

/** First segments that are pages'. What stands elsewhere below `/_latchkey/` is the control API's, or nobody's. */
export const PAGE_SEGMENTS = [
  "alerts",
  "assets",
  "audit",
  "detections",
  "keys",
  "measures",
  "on-call",
  "owners",
  "portal",
  "requests",
  "session",
  "sign-in",
  "usage",
] as const;

export type Parameters = Readonly<Record<string, string | number | null | undefined>>;

/** `path` is below `/_latchkey/`: `keys`, `keys/key_…`. Parameters that are null, undefined or empty are left out. */
export function pageUrl(path: string, parameters: Parameters = {}): string {
  const segments = path.split("/").map(encodeURIComponent).join("/");
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== "") query.set(name, String(value));
  }
  const text = query.toString();
  return `${HOME_PATH}${segments}${text === "" ? "" : `?${text}`}`;
}

/** The present address with some parameters changed; `null` takes one away. */
export function changedUrl(url: URL, parameters: Parameters): string {
  const query = new URLSearchParams(url.search);
  for (const [name, value] of Object.entries(parameters)) {
    if (value === null || value === undefined || value === "") query.delete(name);
    else query.set(name, String(value));
  }
  const text = query.toString();
  return `${url.pathname}${text === "" ? "" : `?${text}`}`;
}

/** A place to go back to: a path of the pages', whatever somebody wrote into the address. */
export function safeReturn(text: string | null): string {
  if (text === null || !text.startsWith(HOME_PATH) || text.length > 2_000) return HOME_PATH;
  // A browser reads a backslash as a slash, and drops tabs and newlines.
  if (/[\\\p{Cc}]/u.test(text)) return HOME_PATH;
  const url = URL.parse(text, "https://latchkey.invalid");
  if (url === null || url.origin !== "https://latchkey.invalid" || !url.pathname.startsWith(HOME_PATH))
    return HOME_PATH;
  return url.pathname + url.search;
}
