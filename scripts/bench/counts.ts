/** What `counting-worker.ts` answers on `/__counts`. Types alone: it runs inside workerd. */
export interface Counts {
  /** Calls to Durable Objects, by `BINDING.method`, whoever made them. */
  readonly calls: Readonly<Record<string, number>>;
  /** By class. */
  readonly rowsWritten: Readonly<Record<string, number>>;
}
