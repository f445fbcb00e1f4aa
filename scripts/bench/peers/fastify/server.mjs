/** Fastify as an API gateway: its own proxy, with or without its own bearer check and rate limit before it. */
import { announce, readInput } from "../node-peer.mjs";
import { createHash } from "node:crypto";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import bearerAuth from "@fastify/bearer-auth";
import httpProxy from "@fastify/http-proxy";
import rateLimit from "@fastify/rate-limit";
import Fastify from "fastify";

const { originUrl, directory, limitPerMinute, key } = await readInput();
const app = Fastify();
if (limitPerMinute !== null) await checkKeys(limitPerMinute);
await app.register(httpProxy, { upstream: originUrl });
await app.listen({ host: "127.0.0.1", port: 0 });
announce({ port: app.server.address().port });

async function checkKeys(max) {
  const sha256 = (text) => createHash("sha256").update(text).digest();
  const database = new DatabaseSync(path.join(directory, "keys.sqlite"));
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
  database.exec("CREATE TABLE keys (hash BLOB PRIMARY KEY, id TEXT NOT NULL, enabled INTEGER NOT NULL) WITHOUT ROWID");
  database.prepare("INSERT INTO keys VALUES (?, 'key_1', 1)").run(sha256(key));
  const find = database.prepare("SELECT id FROM keys WHERE hash = ? AND enabled = 1");

  app.decorateRequest("keyId", "");
  await app.register(bearerAuth, {
    auth: (presentedKey, request) => {
      const row = find.get(sha256(presentedKey));
      if (row === undefined) return false;
      request.keyId = row.id;
      return true;
    },
  });
  // After the check, so that only known keys are counted.
  await app.register(rateLimit, {
    hook: "preHandler",
    max,
    timeWindow: "1 minute",
    keyGenerator: (request) => request.keyId,
  });
}
