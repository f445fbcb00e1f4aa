import type { DashboardDependencies } from "../dependencies.ts";
import type { ControlCalls } from "../control-calls.ts";
import type { Visitor } from "../session/identify.ts";

/** What every page of a signed-in visitor is made from. */
export interface PageContext {
  readonly request: Request;
  readonly url: URL;
  readonly visitor: Visitor;
  readonly calls: ControlCalls;
  readonly deps: DashboardDependencies;
  readonly theme: Theme;
  /** Epoch ms: one for the whole page. */
  readonly now: number;
}

export type Theme = "auto" | "light" | "dark";

export function readTheme(text: string | null): Theme {
  return text === "light" || text === "dark" ? text : "auto";
}
