import { PROBLEMS } from "../../http/codes.ts";
import { htmlAnswer, seeOther } from "../answer.ts";
import type { DashboardDependencies } from "../dependencies.ts";
import { HOME_PATH, pageUrl, safeReturn } from "../paths.ts";
import { mayHoldSession, readCookie } from "../session/cookies.ts";
import { beginSession, type NotSignedIn, sessionCookie } from "../session/identify.ts";
import { Document, ThemeSwitch } from "../view/layout.tsx";
import { readTheme } from "../view/page.ts";

/** `/_latchkey/sign-in`, which also stands in place of any page until somebody is signed in. */

const NO_SECRET =
  "This deployment has no LATCHKEY_TOKEN_SECRET of 32 characters or more to seal sessions with: nobody can sign in here until it has.";
const NOT_SECURE = "Signing in takes https, so that nobody on the way can read your key. Open this page over https.";

interface Asking {
  readonly status: number;
  readonly message: string | null;
  /** Where to go once signed in. */
  readonly back: string;
}

export async function signInPage(
  request: Request,
  deps: DashboardDependencies,
  why: NotSignedIn = { reason: "none" },
): Promise<Response> {
  const url = new URL(request.url);
  const isItself = url.pathname === pageUrl("sign-in");
  const isRead = request.method === "GET" || request.method === "HEAD";
  const back = isItself ? safeReturn(url.searchParams.get("back")) : isRead ? url.pathname + url.search : HOME_PATH;
  const message = why.reason === "none" ? null : why.detail;
  const isAccess = why.reason === "refused" && request.headers.has("Cf-Access-Jwt-Assertion");
  return await ask(request, deps, { status: isItself ? 200 : isAccess ? 403 : 401, message, back });
}

export async function signIn(form: URLSearchParams, request: Request, deps: DashboardDependencies): Promise<Response> {
  const back = safeReturn(form.get("back"));
  const presentedKey = form.get("key")?.trim() ?? "";
  if (!mayHoldSession(request)) return await ask(request, deps, { status: 400, message: NOT_SECURE, back });
  if (presentedKey === "")
    return await ask(request, deps, { status: 400, message: "Type an admin key, or the root token.", back });
  const begun = await beginSession(presentedKey, request, deps);
  if (!begun.ok) {
    const { code, detail, retryAfterSeconds } = begun.error;
    const response = await ask(request, deps, { status: PROBLEMS[code].status, message: detail, back });
    if (retryAfterSeconds !== undefined) response.headers.set("Retry-After", String(retryAfterSeconds));
    return response;
  }
  const cookie = await sessionCookie(begun.value, request, deps);
  if (cookie === null) return await ask(request, deps, { status: 503, message: NO_SECRET, back });
  return seeOther(back, [cookie]);
}

async function ask(
  request: Request,
  deps: DashboardDependencies,
  { status, message, back }: Asking,
): Promise<Response> {
  const theme = readTheme(readCookie(request, "latchkey-theme"));
  const { dashboard } = deps.control.config;
  const hasAccess = dashboard !== false && dashboard?.access !== undefined;
  return await htmlAnswer(
    <Document title="Sign in" theme={theme}>
      <main class="alone">
        <div class="card">
          <h1>Sign in to Latchkey</h1>
          <p class="soft">
            {hasAccess
              ? "You come through your identity provider. Without it, use an admin key."
              : "Use an admin key, or the root token of this install. Neither is kept: the session ends with the key."}
          </p>
          {message === null ? null : (
            <p class="note warn" role="alert">
              {message}
            </p>
          )}
          <form method="post" action={pageUrl("sign-in")} class="fields">
            <input type="hidden" name="back" value={back} />
            <label>
              Admin key or root token
              <input name="key" type="password" autocomplete="current-password" required autofocus spellcheck={false} />
            </label>
            <button class="primary">Sign in</button>
          </form>
          <p class="soft small-text">A session ends after 30 minutes without use, and after 8 hours at the latest.</p>
          <ThemeSwitch theme={theme} back={back} />
        </div>
      </main>
    </Document>,
    status,
  );
}

/** Comes back to the same address from within this site, so that the browser sends the session's cookie along. */
export async function bouncePage(request: Request): Promise<Response> {
  const url = new URL(request.url);
  url.searchParams.set("arrived", "1");
  const to = url.pathname + url.search;
  return await htmlAnswer(
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="refresh" content={`0; url=${to}`} />
        <title>Latchkey</title>
      </head>
      <body>
        <p>
          <a href={to}>Go on to Latchkey</a>
        </p>
      </body>
    </html>,
  );
}
