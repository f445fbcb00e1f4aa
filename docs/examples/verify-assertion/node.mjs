// An origin that takes requests from Latchkey alone: Node 20 or later, with `npm install jose`.
// LATCHKEY_ISSUER=https://api.example.com LATCHKEY_AUDIENCE=demo PORT=9000 node node.mjs
import http from "node:http";
import { createRemoteJWKSet, jwtVerify } from "jose";

const { LATCHKEY_ISSUER: issuer, LATCHKEY_AUDIENCE: audience, LATCHKEY_JWKS_URL, PORT = "9000" } = process.env;
// Reads the keys when they are needed: at first, when five minutes have passed, and for a key that it does not know, with a pause between.
const keys = createRemoteJWKSet(new URL(LATCHKEY_JWKS_URL ?? `${issuer}/.well-known/jwks.json`), {
  cacheMaxAge: 300_000,
  timeoutDuration: 3_000,
});
// Behind nginx, which names the request that it asks about: see nginx.conf. Otherwise anyone could write these fields.
const behindNginx = process.env.BEHIND_NGINX === "1";

/** Ids that were taken, and when they may be forgotten, s. With several processes keep them in one place. */
const taken = new Map();

/** What Latchkey says of this request. Throws for a request that did not come through it. */
async function verify(request) {
  const assertion = request.headers["x-latchkey-assertion"] ?? "";
  const { payload } = await jwtVerify(assertion, keys, {
    // Not a token of a client: those have the same audience, and another type.
    typ: "latchkey-assertion+jwt",
    algorithms: ["ES256"],
    issuer,
    audience,
    maxTokenAge: 60,
    clockTolerance: 5,
    requiredClaims: ["exp", "jti", "htm", "htu"],
  });
  const method = behindNginx ? request.headers["x-original-method"] : request.method;
  const target = (behindNginx ? request.headers["x-original-uri"] : request.url).split("?")[0];
  if (payload.exp - payload.iat > 60) throw new Error("it lives too long");
  if (payload.htm !== method) throw new Error("it is for another method");
  if (pathOf(payload.htu) !== target) throw new Error("it is for another path");
  const now = Date.now() / 1_000;
  for (const [id, until] of taken) if (until < now) taken.delete(id);
  if (taken.has(payload.jti)) throw new Error("it was used before");
  taken.set(payload.jti, payload.exp + 5);
  return payload;
}

/** As it was sent: `new URL` would rewrite it. */
function pathOf(url) {
  return url.slice(url.indexOf("/", url.indexOf("://") + 3));
}

/** Besides what `fetch` throws. */
const UNREADABLE = new Set(["ERR_JWKS_TIMEOUT", "ERR_JWKS_INVALID", "ERR_JOSE_GENERIC"]);

const server = http.createServer(async (request, response) => {
  try {
    const { sub, client_id, scope } = await verify(request);
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ sub, client_id, scope }));
  } catch (error) {
    // Keys that cannot be read are nobody's fault: the client may try again.
    const status = error instanceof TypeError || UNREADABLE.has(error.code) ? 503 : 401;
    response.writeHead(status, { "content-type": "text/plain" }).end(`${error.message}\n`);
  }
});
server.listen(Number(PORT), "127.0.0.1", () => console.log("ready"));
