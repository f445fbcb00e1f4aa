/** A Worker of somebody who takes no proxy: it asks Latchkey's `Verifier` by RPC, then answers. Candidates `verify-rpc` and `rpc-floor`. */
import { WorkerEntrypoint } from "cloudflare:workers";

interface CallerEnv {
  readonly LATCHKEY: { verify(input: unknown): Promise<{ readonly valid: boolean }> };
  readonly NOTHING: { answer(input: unknown): Promise<{ readonly valid: boolean }> };
}

/** What any RPC call costs. */
export class Nothing extends WorkerEntrypoint {
  answer(_input: unknown): { readonly valid: boolean } {
    return { valid: true };
  }
}

const BODY = JSON.stringify({ report: "of today" });

export default {
  async fetch(request, env) {
    const key = request.headers.get("authorization")?.slice("Bearer ".length);
    const input = { key, scopes: ["reports:read"], cost: 5, ip: request.headers.get("cf-connecting-ip") };
    const asks = new URL(request.url).pathname === "/verify";
    const { valid } = asks ? await env.LATCHKEY.verify(input) : await env.NOTHING.answer(input);
    return valid ? new Response(BODY) : new Response("no", { status: 403 });
  },
} satisfies ExportedHandler<CallerEnv>;
