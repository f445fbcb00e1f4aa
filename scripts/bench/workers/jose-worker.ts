/** The least that a token can cost, by the library alone: the candidates `jose-sign` and `jose-verify`. */
import { jwtVerify, SignJWT } from "jose";

/** As long as one of Latchkey's. */
const CLAIMS = {
  iss: "https://api.example.com",
  sub: "acme",
  aud: "demo",
  client_id: "key_01hzzzzzzzzzzzzzzzzzzzzzzz",
  scope: "reports:read charges:write",
  jti: "tok_01hzzzzzzzzzzzzzzzzzzzzzzz",
  lk_workspace: "default",
  lk_lineage: "lin_01hzzzzzzzzzzzzzzzzzzzzzzz",
  lk_environment: "live",
};

interface Made {
  readonly pair: CryptoKeyPair;
  readonly token: string;
}

let made: Made | null = null;

async function make(): Promise<Made> {
  // ECDSA makes a pair; the type allows single keys too.
  const pair = (await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, [
    "sign",
    "verify",
  ])) as CryptoKeyPair;
  return { pair, token: await sign(pair.privateKey) };
}

async function sign(key: CryptoKey): Promise<string> {
  return await new SignJWT(CLAIMS)
    .setProtectedHeader({ alg: "ES256", kid: "k".repeat(43), typ: "at+jwt" })
    .setIssuedAt()
    .setExpirationTime("1h")
    .sign(key);
}

export default {
  async fetch(request) {
    made ??= await make();
    if (request.url.endsWith("/sign")) return new Response(await sign(made.pair.privateKey));
    const { payload } = await jwtVerify(made.token, made.pair.publicKey, {
      algorithms: ["ES256"],
      typ: "at+jwt",
      issuer: CLAIMS.iss,
      audience: CLAIMS.aud,
    });
    return new Response(payload.jti);
  },
} satisfies ExportedHandler;
