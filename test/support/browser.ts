import axe from "axe-core";
import { chromium } from "playwright-core";
import type { Browser, BrowserContext, Page } from "playwright-core";

/**
 * A real Chromium, out of an npm package: nothing is downloaded and nothing installed. Its package carries the libraries that a bare
 * machine lacks (NSS, NSPR, expat) for another surrounding, and unpacks them when it believes itself there.
 */

const LAMBDA = {
  name: "AWS_EXECUTION_ENV",
  value: `AWS_Lambda_nodejs${process.versions.node.split(".")[0]}.x`,
} as const;

/** What weakens the browser, or makes it start on few machines alone; what is tested here is what a user's browser does. */
const UNWANTED =
  /^--(?:disable-web-security|single-process|allow-running-insecure-content|disable-site-isolation-trials|no-zygote)/;

const LAUNCH_TIMEOUT_MS = 60_000;

export async function startBrowser(): Promise<Browser> {
  process.env[LAMBDA.name] ??= LAMBDA.value;
  const { default: packed } = await import("@sparticuz/chromium");
  const executablePath = await packed.executablePath();
  return await chromium.launch({
    executablePath,
    args: [...packed.args.filter((arg) => !UNWANTED.test(arg)), "--lang=en-GB"],
    headless: true,
    timeout: LAUNCH_TIMEOUT_MS,
  });
}

/** A page, and what went wrong in it that nobody would see. */
export interface Watched {
  readonly page: Page;
  /** Breaches of the content security policy, uncaught errors, and requests to anybody else. */
  readonly complaints: string[];
}

export interface WatchOptions {
  readonly origin: string;
  readonly width?: number;
  readonly theme?: "light" | "dark";
  readonly javaScript?: boolean;
}

export async function watchedPage(
  browser: Browser,
  options: WatchOptions,
): Promise<Watched & { readonly context: BrowserContext }> {
  const { origin, width = 1_280, theme = "light", javaScript = true } = options;
  const context = await browser.newContext({
    viewport: { width, height: 900 },
    colorScheme: theme,
    javaScriptEnabled: javaScript,
    locale: "en-GB",
    timezoneId: "Asia/Tokyo",
    permissions: ["clipboard-read", "clipboard-write"],
  });
  const complaints: string[] = [];
  const page = await context.newPage();
  page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
  page.on("console", (message) => {
    // A refusal that a test asks for is told on the console too.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource"))
      complaints.push(message.text());
  });
  page.on("request", (request) => {
    const { protocol, origin: asked } = new URL(request.url());
    if (protocol !== "data:" && asked !== origin) complaints.push(`asked ${request.url()}`);
  });
  page.setDefaultTimeout(15_000);
  return { page, complaints, context };
}

/** What axe-core finds wrong (WCAG 2.2 A and AA, and its best practices), as sentences. */
export async function accessibilityFaults(page: Page): Promise<readonly string[]> {
  // Past the policy, which lets no script in that is not the page's own.
  const session = await page.context().newCDPSession(page);
  await session.send("Runtime.evaluate", { expression: axe.source });
  await session.detach();
  return await page.evaluate(async () => {
    // Put there by the line above.
    const { axe: checker } = globalThis as unknown as {
      axe: {
        run(): Promise<{ violations: { id: string; nodes: { target: string[]; any: { message: string }[] }[] }[] }>;
      };
    };
    const { violations } = await checker.run();
    return violations.flatMap(({ id, nodes }) =>
      nodes.map(({ target, any }) => `${id}: ${target.join(" ")} ${any[0]?.message ?? ""}`),
    );
  });
}
