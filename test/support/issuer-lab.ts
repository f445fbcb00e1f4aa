import { createServer } from "node:http";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { Events, OAuth2Server } from "oauth2-mock-server";
import type { MutableToken } from "oauth2-mock-server";
import type { JWTHeaderParameters } from "jose";

/** Issuers on loopback: a library's, which play GitHub and Kubernetes by their claims, and hostile ones, which answer what a test says. */

export interface Issuer {
  readonly url: string;
  readonly port: number;
  /** A token from the token endpoint, over HTTP; whatever is `undefined` in `claims` is left out. */
  readonly token: (claims: Readonly<Record<string, unknown>>, header?: Partial<JWTHeaderParameters>) => Promise<string>;
  /** The public keys, as published. */
  readonly keys: () => readonly Record<string, unknown>[];
  /** The signing keys, private parts included: what an attacker with the issuer's own store would have. */
  readonly privateKeys: () => readonly Record<string, unknown>[];
  readonly addKey: (algorithm: string) => Promise<string>;
  readonly stop: () => Promise<void>;
}

/** @param port of an issuer that stopped, to be the same issuer again with other keys. */
export async function startIssuer(algorithm = "RS256", port = 0): Promise<Issuer> {
  const server = new OAuth2Server();
  await server.issuer.keys.generate(algorithm);
  await server.start(port, "127.0.0.1");
  const at = server.address().port;
  const url = `http://127.0.0.1:${at}`;
  server.issuer.url = url;
  return {
    url,
    port: at,
    async token(claims, header = {}) {
      server.service.once(Events.BeforeTokenSigning, (token: MutableToken) => {
        Object.assign(token.header, header);
        Object.assign(token.payload, claims);
        for (const [name, value] of Object.entries(claims)) if (value === undefined) delete token.payload[name];
      });
      const response = await fetch(`${url}/token`, {
        method: "POST",
        body: new URLSearchParams({ grant_type: "client_credentials" }),
      });
      const { access_token: token } = (await response.json()) as { access_token: string };
      return token;
    },
    keys: () => server.issuer.keys.toJSON(),
    privateKeys: () => server.issuer.keys.toJSON(true),
    addKey: async (other) => (await server.issuer.keys.generate(other)).kid,
    stop: () => (server.listening ? server.stop() : Promise.resolve()),
  };
}

/** What GitHub Actions says of a job. */
export function githubClaims(change: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
  return {
    sub: "repo:acme/api:ref:refs/heads/main",
    aud: "https://gateway.test",
    ref: "refs/heads/main",
    repository: "acme/api",
    repository_id: "74",
    repository_owner: "acme",
    repository_owner_id: "65",
    event_name: "push",
    job_workflow_ref: "acme/api/.github/workflows/deploy.yml@refs/heads/main",
    run_attempt: "1",
    ...change,
  };
}

/** What a projected service account token of Kubernetes says of a pod. */
export function podClaims(change: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
  return {
    sub: "system:serviceaccount:prod:billing",
    aud: ["https://gateway.test"],
    "kubernetes.io": {
      namespace: "prod",
      pod: { name: "billing-7d", uid: "8f3c" },
      serviceaccount: { name: "billing", uid: "1a2b" },
    },
    ...change,
  };
}

export interface HostileIssuer {
  readonly url: string;
  /** Paths that were asked for. */
  readonly asked: readonly string[];
  readonly stop: () => Promise<void>;
}

/** An issuer that answers what `answer` writes. */
export async function startHostileIssuer(
  answer: (request: IncomingMessage, response: ServerResponse, url: string) => void,
): Promise<HostileIssuer> {
  const asked: string[] = [];
  const listener: RequestListener = (request, response) => {
    asked.push(request.url ?? "");
    answer(request, response, url);
  };
  const server = createServer(listener);
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  return {
    url,
    asked,
    stop: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** The discovery document that a well-behaved issuer would give out. */
export function discoveryOf(url: string): string {
  return JSON.stringify({ issuer: url, jwks_uri: `${url}/jwks` });
}
