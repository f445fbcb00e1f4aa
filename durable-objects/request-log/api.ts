import type { KeptRequest, LeftOut } from "../../src/request-log/kept-request.ts";

/** What a request log says over RPC: plain data both ways. Times are epoch ms. */

/** What a batch of events carries for one log object: always the same for the same `batchId`. */
export interface RequestBatch {
  readonly batchId: string;
  readonly kept: readonly KeptRequest[];
  readonly left: readonly LeftOut[];
}

/** How long and how much. The newest that is told holds. */
export interface LogPolicy {
  readonly retentionMs: number;
  readonly maxBytes: number;
}

export interface LogIngest {
  /** Requests stored now: not those of batches that came before, nor those past the bounds of their minute. */
  readonly stored: number;
  readonly rowsWritten: number;
}

export interface RequestFilters {
  readonly key?: string | undefined;
  readonly owner?: string | undefined;
  readonly code?: string | undefined;
  readonly status?: number | undefined;
}

/** Where a list goes on: before this one, in the order of time and event id. */
export interface LogPlace {
  readonly time: number;
  readonly eventId: string;
}

export interface LogSearch {
  /** `[from, to)`, by the time of the decision. */
  readonly from: number;
  readonly to: number;
  readonly filters: RequestFilters;
  readonly limit: number;
  readonly before: LogPlace | null;
}

export interface LogPage {
  /** Newest first. */
  readonly requests: readonly KeptRequest[];
  /** What was left out in the time that was looked through, where the filters meet it. */
  readonly left: number;
  /** `null`: there is no more. */
  readonly next: LogPlace | null;
}

/** RPC methods of the `RequestLog` object, named `<workspace>/<shard>`. */
export interface RequestLogApi {
  /** Stores each batch once, however often it comes. One transaction for all of them, and one row for those of one minute. */
  ingest(batches: readonly RequestBatch[], policy: LogPolicy): Promise<LogIngest>;
  /** Every event of one request, in the order of their ids; empty: none is kept. */
  find(requestId: string): Promise<readonly KeptRequest[]>;
  search(search: LogSearch): Promise<LogPage>;
}
