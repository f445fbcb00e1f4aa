import type { Child } from "hono/jsx";
import { htmlAnswer } from "../answer.ts";
import type { AssetName } from "../assets/assets.ts";
import { pageUrl } from "../paths.ts";
import { readCookie } from "../session/cookies.ts";
import { Document, ThemeSwitch } from "../view/layout.tsx";
import { readTheme } from "../view/page.ts";
import type { OwnerVisit } from "./visit.ts";

/** The frame of an owner's own pages: nothing in it leads to anybody else's. */

interface PortalFrameProps {
  readonly request: Request;
  readonly visit: OwnerVisit;
  readonly title: string;
  readonly scripts?: readonly AssetName[];
  readonly children?: Child;
}

export function PortalFrame({ request, visit: { session }, title, scripts = [], children }: PortalFrameProps) {
  const theme = readTheme(readCookie(request, "latchkey-theme"));
  const url = new URL(request.url);
  return (
    <Document title={title} theme={theme} scripts={scripts}>
      <a class="skip" href="#content">
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href={pageUrl("portal")}>
          API keys of {session.owner}
        </a>
        <div class="top-right">
          <ThemeSwitch theme={theme} back={url.pathname + url.search} />
          <form method="post" action={pageUrl("portal/end")}>
            <input type="hidden" name="csrf" value={session.csrf} />
            <button class="link">Leave</button>
          </form>
        </div>
      </header>
      <main id="content" class="narrow" tabindex={-1}>
        {children}
      </main>
    </Document>
  );
}

/** Where nobody is in: what to do about it, and a link that waits to be used. */
export async function doorAnswer(request: Request, content: Child, status: number): Promise<Response> {
  return await htmlAnswer(
    <Document title="API keys" theme={readTheme(readCookie(request, "latchkey-theme"))}>
      <main class="alone">
        <div class="card">
          <h1>Your API keys</h1>
          {content}
        </div>
      </main>
    </Document>,
    status,
  );
}
