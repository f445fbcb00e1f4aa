import { createVerifier } from "fast-jwt";
import { createRemoteJWKSet, jwtVerify } from "jose";
import * as oauth from "oauth4webapi";
import * as openid from "openid-client";
import { createPublicKey } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startEdges, type Edges } from "../../scripts/lab/edges.ts";
import { bearer, control, type IssuedKey } from "../support/control.ts";
import { ACCESS_TOKEN, API_KEY, exchange, EXCHANGE, tryIt } from "../support/oauth.ts";

/** Client libraries that others wrote, as their users call them, against a running server. */

let harness: Edges;
let issued: IssuedKey;
let asker: IssuedKey;
beforeAll(async () => {
  harness = await startEdges({ count: 1 });
  const api = control(harness.home);
  issued = await api.issue({ scopes: ["reports:read", "charges:write"] });
  asker = await api.issue({ kind: "admin", scopes: ["keys:verify"], policy: { strict: true } });
});
afterAll(() => harness.stop());

const send = (target: string, init?: RequestInit) => harness.home.fetch(target, init);

describe("oauth4webapi", () => {
  const insecure = { [oauth.allowInsecureRequests]: true };
  const anyone: oauth.Client = { client_id: "anyone" };

  async function discover(): Promise<oauth.AuthorizationServer> {
    const issuer = new URL(harness.home.url);
    const response = await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...insecure });
    return await oauth.processDiscoveryResponse(issuer, response);
  }

  it("discovers the server, and exchanges a key without being a client", async () => {
    const as = await discover();
    const parameters = {
      subject_token: issued.key,
      subject_token_type: API_KEY,
      audience: "demo",
      scope: "reports:read",
    };
    const response = await oauth.genericTokenEndpointRequest(as, anyone, oauth.None(), EXCHANGE, parameters, insecure);
    const result = await oauth.processGenericTokenEndpointResponse(as, anyone, response);
    expect(result).toMatchObject({
      token_type: "bearer",
      issued_token_type: ACCESS_TOKEN,
      expires_in: 300,
      scope: "reports:read",
    });
    const called = await oauth.protectedResourceRequest(
      result.access_token,
      "GET",
      new URL("/reports/7", harness.home.url),
      undefined,
      undefined,
      insecure,
    );
    expect(called.status).toBe(200);
  });

  it.each([
    ["HTTP Basic", oauth.ClientSecretBasic],
    ["the body", oauth.ClientSecretPost],
  ])("gets a token by client credentials in %s, introspects it and revokes it", async (_where, authenticate) => {
    const as = await discover();
    const client: oauth.Client = { client_id: issued.id };
    const response = await oauth.clientCredentialsGrantRequest(
      as,
      client,
      authenticate(issued.key),
      new URLSearchParams({ audience: "demo" }),
      insecure,
    );
    const { access_token } = await oauth.processClientCredentialsResponse(as, client, response);
    const introspector: oauth.Client = { client_id: asker.id };
    const active = async (): Promise<boolean> => {
      const asked = await oauth.introspectionRequest(as, introspector, authenticate(asker.key), access_token, insecure);
      return (await oauth.processIntrospectionResponse(as, introspector, asked)).active;
    };
    expect(await active()).toBe(true);
    const revoked = await oauth.revocationRequest(as, client, authenticate(issued.key), access_token, insecure);
    await oauth.processRevocationResponse(revoked);
    expect(await active()).toBe(false);
  });

  it("understands why it was refused", async () => {
    const as = await discover();
    const client: oauth.Client = { client_id: issued.id };
    const wrong = oauth.ClientSecretBasic("x".repeat(40));
    const response = await oauth.clientCredentialsGrantRequest(as, client, wrong, new URLSearchParams(), insecure);
    await expect(oauth.processClientCredentialsResponse(as, client, response)).rejects.toMatchObject({ status: 401 });
    const parameters = { subject_token: issued.key, subject_token_type: API_KEY, scope: "nothing:like-it" };
    const asked = await oauth.genericTokenEndpointRequest(as, anyone, oauth.None(), EXCHANGE, parameters, insecure);
    await expect(oauth.processGenericTokenEndpointResponse(as, anyone, asked)).rejects.toMatchObject({
      error: "invalid_scope",
      status: 400,
    });
  });

  it("validates the token as a resource server would (RFC 9068 §4)", async () => {
    const as = await discover();
    const token = await exchange(send, issued.key);
    const request = new Request(new URL("/reports/7", harness.home.url), { headers: bearer(token) });
    const claims = await oauth.validateJwtAccessToken(as, request, "demo", insecure);
    expect(claims).toMatchObject({ client_id: issued.id, sub: "acme", scope: "reports:read charges:write" });
    const elsewhere = oauth.validateJwtAccessToken(as, request, "another", insecure);
    await expect(elsewhere).rejects.toThrow(/aud/);
  });
});

describe("openid-client", () => {
  const discover = (clientId: string, secret?: string): Promise<openid.Configuration> =>
    openid.discovery(
      new URL(harness.home.url),
      clientId,
      undefined,
      secret === undefined ? openid.None() : openid.ClientSecretBasic(secret),
      {
        algorithm: "oauth2",
        execute: [openid.allowInsecureRequests],
      },
    );

  it("exchanges a key, and a token for a narrower one", async () => {
    const config = await discover("anyone");
    const first = await openid.genericGrantRequest(config, EXCHANGE, {
      subject_token: issued.key,
      subject_token_type: API_KEY,
    });
    const second = await openid.genericGrantRequest(config, EXCHANGE, {
      subject_token: first.access_token,
      subject_token_type: ACCESS_TOKEN,
      scope: "reports:read",
    });
    expect(second.scope).toBe("reports:read");
    expect(await tryIt(send, second.access_token, "/reports/7")).toBe(200);
  });

  it("gets a token by client credentials, introspects and revokes it", async () => {
    const config = await discover(issued.id, issued.key);
    const { access_token } = await openid.clientCredentialsGrant(config);
    const introspector = await discover(asker.id, asker.key);
    expect(await openid.tokenIntrospection(introspector, access_token)).toMatchObject({
      active: true,
      client_id: issued.id,
    });
    await openid.tokenRevocation(config, access_token);
    expect(await openid.tokenIntrospection(introspector, access_token)).toMatchObject({ active: false });
  });
});

describe("verifying offline, by what is published", () => {
  it("jose does, by its remote key set", async () => {
    const token = await exchange(send, issued.key);
    const keys = createRemoteJWKSet(new URL("/.well-known/jwks.json", harness.home.url));
    const { payload } = await jwtVerify(token, keys, {
      issuer: harness.home.url,
      audience: "demo",
      typ: "at+jwt",
      algorithms: ["ES256"],
      requiredClaims: ["sub", "client_id", "iat", "jti"],
    });
    expect(payload["client_id"]).toBe(issued.id);
  });

  it("fast-jwt does, by the key that the token names", async () => {
    const token = await exchange(send, issued.key);
    const { keys } = (await (await send("/.well-known/jwks.json")).json()) as { keys: Record<string, string>[] }; // RFC 7517 §5
    const { kid } = JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString()) as { kid: string }; // a JWT's header
    const key = keys.find((candidate) => candidate["kid"] === kid);
    if (key === undefined) throw new Error("the signing key is not published");
    const pem = createPublicKey({ key, format: "jwk" }).export({ type: "spki", format: "pem" }).toString();
    const verify = createVerifier({
      key: pem,
      algorithms: ["ES256"],
      allowedIss: harness.home.url,
      allowedAud: "demo",
    });
    expect(verify(token)).toMatchObject({ client_id: issued.id, sub: "acme" });
    expect(() => verify(`${token.slice(0, -4)}AAAA`)).toThrow(/signature/i);
  });
});
