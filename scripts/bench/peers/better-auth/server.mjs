/** Hono's proxy helper on Node, with or without better-auth's api-key plugin before it. */
import { announce, readInput } from "../node-peer.mjs";
import { randomBytes } from "node:crypto";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { apiKey } from "@better-auth/api-key";
import { serve } from "@hono/node-server";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { Hono } from "hono";
import { proxy } from "hono/proxy";

const { originUrl, directory, limitPerMinute } = await readInput();
const app = new Hono();
const key = limitPerMinute === null ? undefined : await checkKeys(limitPerMinute);

app.all("*", (context) => {
  const { pathname, search } = new URL(context.req.url);
  return proxy(originUrl + pathname + search, { raw: context.req.raw });
});

serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }, ({ port }) => announce({ port, key }));

/** Checks each request's key. A key that passes. */
async function checkKeys(maxRequests) {
  const database = new DatabaseSync(path.join(directory, "keys.sqlite"));
  // Not in its documentation, but kinder to it than SQLite's defaults.
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
  const auth = betterAuth({
    database,
    secret: randomBytes(32).toString("base64url"),
    baseURL: "http://127.0.0.1",
    emailAndPassword: { enabled: true },
    logger: { disabled: true },
    plugins: [apiKey({ rateLimit: { enabled: true, timeWindow: 60_000, maxRequests } })],
  });
  const { runMigrations } = await getMigrations(auth.options);
  await runMigrations();
  const password = randomBytes(16).toString("base64url");
  const { user } = await auth.api.signUpEmail({ body: { name: "Acme", email: "acme@example.com", password } });
  const issued = await auth.api.createApiKey({ body: { name: "Benchmark", userId: user.id } });

  app.use(async (context, next) => {
    const [scheme, presentedKey = ""] = (context.req.header("authorization") ?? "").split(" ");
    if (scheme !== "Bearer") return context.json({ error: "no key" }, 401);
    const { valid, error } = await auth.api.verifyApiKey({ body: { key: presentedKey } });
    if (valid) return next();
    return context.json({ error: error?.code }, error?.code === "RATE_LIMITED" ? 429 : 401);
  });
  return issued.key;
}
