import type { Surroundings } from "../../gateway/handler.ts";

/** One call of an OAuth endpoint. */
export interface Call {
  readonly request: Request;
  readonly requestId: string;
  readonly surroundings: Surroundings;
}
