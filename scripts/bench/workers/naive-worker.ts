/**
 * What one would write first: every request reads the key from KV, asks a Durable Object that keeps its counter in a SQLite row, and
 * puts a message on a queue. Correct in one place at a time, and small on purpose. The candidate `naive`.
 */
import { DurableObject } from "cloudflare:workers";
import { Hono } from "hono";

interface NaiveEnv {
  readonly ORIGIN_URL: string;
  readonly KEYS: KVNamespace;
  readonly LIMITER: DurableObjectNamespace<Limiter>;
  readonly USAGE: Queue;
}

/** What KV holds under `key:<SHA-256 in hex>`. */
interface KeyRecord {
  readonly id: string;
  readonly owner: string;
  readonly enabled: boolean;
  readonly scopes: readonly string[];
  readonly limitPerMinute: number;
}

const COST = 5;
const WINDOW_MS = 60_000;

/** One object for a key. */
export class Limiter extends DurableObject<NaiveEnv> {
  constructor(ctx: DurableObjectState, env: NaiveEnv) {
    super(ctx, env);
    ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS windows (start INTEGER PRIMARY KEY, used INTEGER NOT NULL)");
  }

  /** Units used in this minute, with these. */
  take(cost: number): number {
    const start = Math.floor(Date.now() / WINDOW_MS) * WINDOW_MS;
    const { used } = this.ctx.storage.sql
      .exec<{ used: number }>(
        "INSERT INTO windows VALUES (?1, ?2) ON CONFLICT (start) DO UPDATE SET used = used + ?2 RETURNING used",
        start,
        cost,
      )
      .one();
    return used;
  }
}

async function hexDigest(key: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(key));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const app = new Hono<{ Bindings: NaiveEnv }>();

app.all("*", async (context) => {
  const { env, req } = context;
  const key = req.header("authorization")?.replace(/^Bearer /, "");
  if (key === undefined) return context.json({ error: "key_missing" }, 401);
  const record = await env.KEYS.get<KeyRecord>(`key:${await hexDigest(key)}`, "json");
  if (record === null || !record.enabled) return context.json({ error: "key_invalid" }, 401);
  if (!record.scopes.includes("reports:read")) return context.json({ error: "scope_insufficient" }, 403);
  const used = await env.LIMITER.getByName(record.id).take(COST);
  if (used > record.limitPerMinute) return context.json({ error: "rate_limited" }, 429);

  const { pathname, search } = new URL(req.url);
  const headers = new Headers(req.raw.headers);
  headers.delete("authorization");
  headers.set("x-owner", record.owner);
  const response = await fetch(env.ORIGIN_URL + pathname + search, { method: req.method, headers, body: req.raw.body });
  const { status } = response;
  context.executionCtx.waitUntil(
    env.USAGE.send({ id: crypto.randomUUID(), keyId: record.id, path: pathname, status, cost: COST, at: Date.now() }),
  );
  const answer = new Response(response.body, response);
  answer.headers.set("x-ratelimit-remaining", String(record.limitPerMinute - used));
  return answer;
});

export default app;
