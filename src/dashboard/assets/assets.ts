import { createHash } from "node:crypto";
import charts from "#islands/charts.js" with { type: "text" };
import live from "#islands/live.js" with { type: "text" };
import page from "#islands/page.js" with { type: "text" };
import uplot from "uplot/dist/uPlot.iife.min.js" with { type: "text" };
import uplotStyle from "uplot/dist/uPlot.min.css" with { type: "text" };
import style from "./style.css" with { type: "text" };
import { HOME_PATH } from "../paths.ts";

/** What pages load, each under a name that changes with its contents, so that a browser may keep it for good. */

const JAVASCRIPT = "text/javascript; charset=utf-8";
const CONTENTS = {
  style: { type: "text/css; charset=utf-8", extension: "css", text: `${uplotStyle}\n${style}` },
  page: { type: JAVASCRIPT, extension: "js", text: page },
  charts: { type: JAVASCRIPT, extension: "js", text: charts },
  live: { type: JAVASCRIPT, extension: "js", text: live },
  uplot: { type: JAVASCRIPT, extension: "js", text: uplot },
} as const;

export type AssetName = keyof typeof CONTENTS;

interface Asset {
  readonly path: string;
  readonly type: string;
  readonly text: string;
}

const assets: ReadonlyMap<string, Asset> = new Map(
  Object.entries(CONTENTS).map(([name, { type, extension, text }]) => {
    const hash = createHash("sha256").update(text).digest("hex").slice(0, 16);
    return [name, { path: `${HOME_PATH}assets/${name}.${hash}.${extension}`, type, text }];
  }),
);

export function assetUrl(name: AssetName): string {
  return assets.get(name)?.path ?? "";
}

/** `null`: there is none of this name; one of an older deployment is none either. */
export function serveAsset(pathname: string): Response | null {
  for (const { path, type, text } of assets.values()) {
    if (path !== pathname) continue;
    return new Response(text, {
      headers: {
        "Content-Type": type,
        "Cache-Control": "public, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
      },
    });
  }
  return null;
}
