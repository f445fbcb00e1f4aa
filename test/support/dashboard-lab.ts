import type { Browser, BrowserContext } from "playwright-core";
import { accessibilityFaults, startBrowser, watchedPage } from "./browser.ts";
import type { Watched } from "./browser.ts";
import { control } from "./control.ts";
import type { Control } from "./control.ts";
import { startServer } from "./server.ts";
import type { Server } from "./server.ts";

/** What the tests of the pages share: a server, a browser, and visitors who have signed in. */

export interface Visitor extends Watched {
  readonly context: BrowserContext;
  /** A path below `/_latchkey/`. Answers with the status. */
  readonly open: (path: string) => Promise<number>;
  /** As a script of the page's own site would ask, with the visitor's cookies. */
  readonly post: (
    path: string,
    form: Record<string, string>,
    headers?: Record<string, string>,
  ) => Promise<{ readonly status: number; readonly text: string; readonly headers: Record<string, string> }>;
  /** The token of the session's forms, as it stands in the page. */
  readonly csrf: () => Promise<string>;
}

export interface VisitOptions {
  readonly width?: number;
  readonly theme?: "light" | "dark";
  readonly javaScript?: boolean;
}

export interface DashboardLab {
  readonly server: Server;
  readonly api: Control;
  readonly browser: Browser;
  readonly visitor: (options?: VisitOptions) => Promise<Visitor>;
  /** Signed in with `key`; default: the root token. */
  readonly signedIn: (key?: string, options?: VisitOptions) => Promise<Visitor>;
  readonly stop: () => Promise<void>;
}

/** `env`: further variables of the server. */
export async function startDashboardLab(env: Readonly<Record<string, string>> = {}): Promise<DashboardLab> {
  const [server, browser] = await Promise.all([startServer({ env }), startBrowser()]);
  const visitor = async (options: VisitOptions = {}): Promise<Visitor> => {
    const watched = await watchedPage(browser, { origin: server.url, ...options });
    const { page, context } = watched;
    return {
      ...watched,
      open: async (path) => (await page.goto(`${server.url}/_latchkey/${path}`))?.status() ?? 0,
      post: async (path, form, headers = {}) => {
        const answer = await context.request.post(`${server.url}/_latchkey/${path}`, {
          form,
          headers: { "sec-fetch-site": "same-origin", origin: "null", ...headers },
          maxRedirects: 0,
        });
        return { status: answer.status(), text: await answer.text(), headers: answer.headers() };
      },
      csrf: async () => await page.locator("input[name=csrf]").first().inputValue(),
    };
  };
  return {
    server,
    api: control(server),
    browser,
    visitor,
    signedIn: async (key = server.rootToken, options = {}) => {
      const made = await visitor(options);
      await made.open("sign-in");
      await made.page.fill("input[name=key]", key);
      await made.page.click("text=Sign in >> nth=-1");
      await made.page.waitForSelector("h1:has-text('Overview')");
      return made;
    },
    stop: async () => {
      await browser.close();
      await server.stop();
    },
  };
}

/** What axe finds on a page of this visitor's, together with what the page complained of. */
export async function faultsOf({ page, complaints }: Watched): Promise<readonly string[]> {
  return [...(await accessibilityFaults(page)), ...complaints];
}

/** Something wider than the window, which would have to be scrolled sideways. */
export async function isTooWide({ page }: Watched): Promise<boolean> {
  return await page.evaluate("document.documentElement.scrollWidth > window.innerWidth");
}
