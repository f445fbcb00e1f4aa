/** What the producer is asked for, and how. */

export const INGEST_PATH = "/_ingest";
/** As an isolate cuts its buffer. */
export const EVENTS_PER_BATCH = 100;

export interface IngestOrder {
  /** One message each; the same id always stands for the same events. */
  readonly batchIds: readonly string[];
  /** Epoch ms, of the events. */
  readonly at: number;
}
