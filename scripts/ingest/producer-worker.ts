/**
 * The Worker as shipped, and a path that puts events into its own queue, in the form in which isolates do. Entry module of the Worker
 * in `npm run ingest`; never deployed.
 */
import worker from "../../src/index.ts";
import { makeBatch } from "./make-batch.ts";
import { INGEST_PATH, type IngestOrder } from "./order.ts";

export {
  AlertCenter,
  HashClaims,
  KeyMeter,
  KeyRegistry,
  LeaseBroker,
  ReplayGuard,
  RequestLog,
  SigningKeys,
  UsageLedger,
  Verifier,
  Watch,
} from "../../src/index.ts";

export default {
  ...worker,
  async fetch(request, env, ctx): Promise<Response> {
    if (new URL(request.url).pathname !== INGEST_PATH) return await worker.fetch(request, env, ctx);
    const { batchIds, at } = await request.json<IngestOrder>();
    await Promise.all(batchIds.map((batchId) => env.USAGE.send(makeBatch(batchId, at))));
    return Response.json({ sent: batchIds.length });
  },
} satisfies ExportedHandler<Env>;
