import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Edge, type Edges, startEdges } from "../../scripts/lab/edges.ts";
import type { TrustRule } from "../../src/config.ts";
import { bearer, control, type Control } from "../support/control.ts";
import { githubClaims, type Issuer, podClaims, startIssuer } from "../support/issuer-lab.ts";
import { EXCHANGE, type FormFields, type OAuthAnswer, partOf, post, tryIt } from "../support/oauth.ts";

/** Workloads without a key, from outside: real isolates, real objects, and issuers of a library as GitHub and Kubernetes. */

const HERE = "https://gateway.test";
const JWT = "urn:ietf:params:oauth:token-type:jwt";
const ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token";
const BOUND_MS = 5_000;
const MERGE = { headers: { "content-type": "application/merge-patch+json" } };

let github: Issuer;
let cluster: Issuer;
/** Stops before anyone has asked it. */
let absent: Issuer;
let harness: Edges;
let api: Control;
let first: Edge;
let second: Edge;

function ruleOf(issuer: Issuer, change: Partial<TrustRule>): TrustRule {
  const rule = {
    name: "x",
    issuer: issuer.url,
    subject: "x",
    owner: "acme",
    environment: "live",
    scopes: ["reports:read"],
  } as const;
  return { ...rule, ...change };
}

beforeAll(async () => {
  [github, cluster, absent] = await Promise.all([startIssuer(), startIssuer("ES256"), startIssuer()]);
  const trust = [
    ruleOf(github, {
      name: "deploy",
      subject: "repo:acme/api:ref:refs/heads/main",
      claims: { repository_owner_id: "65" },
      scopes: ["reports:read", "charges:write"],
      ttlSeconds: 900,
    }),
    ruleOf(github, {
      name: "limited",
      subject: "repo:acme/limited:**",
      limits: [{ name: "burst", limit: 5, window: { seconds: 3_600 }, kind: "rate" }],
    }),
    ruleOf(github, { name: "branches", subject: "repo:acme/branches:**", maxIdentities: 2 }),
    ruleOf(github, { name: "others", subject: "repo:acme/**" }),
    ruleOf(cluster, {
      name: "pods",
      jwks: { keys: cluster.keys() },
      subject: "system:serviceaccount:prod:*",
      claims: { "/kubernetes.io/namespace": "prod" },
      owner: "platform",
      strict: true,
    }),
    ruleOf(absent, { name: "absent", subject: "repo:acme/api:**" }),
  ];
  harness = await startEdges({
    count: 2,
    entry: path.join(import.meta.dirname, "../support/trust-worker.ts"),
    variables: { LATCHKEY_LAB_TOKENS: JSON.stringify({ issuer: HERE, trust }) },
  });
  api = control(harness.home);
  const [one, two] = harness.edges;
  if (one === undefined || two === undefined) throw new Error("two edges were asked for");
  [first, second] = [one, two];
});
afterAll(async () => {
  await Promise.all([harness.stop(), github.stop(), cluster.stop(), absent.stop()]);
});

function sendTo(edge: Edge) {
  return (target: string, init?: RequestInit): Promise<Response> => edge.fetch(target, init);
}

function present(edge: Edge, jwt: string, fields: FormFields = {}): Promise<OAuthAnswer> {
  return post(sendTo(edge), "token", { grant_type: EXCHANGE, subject_token: jwt, subject_token_type: JWT, ...fields });
}

/** A token for a workload; throws unless the exchange is answered 200. */
async function tokenFor(edge: Edge, jwt: string, fields: FormFields = {}): Promise<string> {
  const { status, body } = await present(edge, jwt, fields);
  if (status !== 200) throw new Error(`the exchange was answered ${status}: ${JSON.stringify(body)}`);
  return String(body["access_token"]);
}

function job(repository: string, change: Readonly<Record<string, unknown>> = {}): Promise<string> {
  return github.token(githubClaims({ sub: `repo:acme/${repository}:ref:refs/heads/main`, ...change }));
}

interface Listed {
  readonly data: readonly (Record<string, unknown> & { readonly id: string })[];
}

/** The records of a rule's identities. */
async function identitiesOf(rule: string): Promise<Listed["data"]> {
  const { status, body } = await api.call<Listed>("GET", `/keys?kind=workload&tag=trust:${rule}`);
  if (status !== 200) throw new Error(`the list was answered ${status}`);
  return body.data;
}

describe("a job of GitHub", () => {
  it("gets a token for its identity, and calls the API with what its rule allows", async () => {
    const jwt = await github.token(githubClaims());
    const { status, body } = await present(first, jwt, { subject_token_type: ID_TOKEN, scope: "reports:read" });
    expect(status).toBe(200);
    expect(body).toMatchObject({ token_type: "Bearer", expires_in: 900, scope: "reports:read" });
    const token = String(body["access_token"]);
    const [record] = await identitiesOf("deploy");
    expect(record).toMatchObject({
      kind: "workload",
      name: "repo:acme/api:ref:refs/heads/main",
      owner: "acme",
      status: "active",
      hint: "workload:deploy",
      createdBy: "trust:deploy",
      scopes: ["reports:read", "charges:write"],
    });
    expect(partOf(token, 1)).toMatchObject({
      iss: HERE,
      sub: "acme",
      client_id: record?.id,
      lk_lineage: record?.["lineageId"],
      scope: "reports:read",
    });
    // The token of one isolate is good at the other, for its scopes alone.
    expect(await tryIt(sendTo(second), token, "/reports/1")).toBe(200);
    const charge = await second.fetch("/charges", { method: "POST", headers: bearer(token) });
    expect(charge.status).toBe(403);
    // GitHub's own token is no key here.
    expect(await tryIt(sendTo(second), jwt, "/reports/1")).toBe("token_invalid");
  });

  it("cannot have a scope, or an upstream, that its rule does not give", async () => {
    const jwt = await github.token(githubClaims());
    expect((await present(first, jwt, { scope: "reports:write" })).body).toMatchObject({ error: "invalid_scope" });
    expect((await present(first, jwt, { audience: "elsewhere" })).body).toMatchObject({ error: "invalid_target" });
  });

  it("of another repository, owner or branch, for another audience or expired, gets nothing and makes no record", async () => {
    const before = (await api.call<Listed>("GET", "/keys?kind=workload&limit=200")).body.data.length;
    for (const claims of [
      githubClaims({ sub: "repo:evil/api:ref:refs/heads/main" }),
      githubClaims({ sub: "repo:acme-evil/api:ref:refs/heads/main" }),
      githubClaims({ aud: "https://other.test" }),
      githubClaims({ aud: [HERE, "https://other.test"] }),
      githubClaims({ exp: Math.floor(Date.now() / 1_000) - 60 }),
    ]) {
      const { status, body } = await present(first, await github.token(claims));
      expect([status, body["error"]], JSON.stringify(claims)).toEqual([400, "invalid_request"]);
      expect(JSON.stringify(body)).not.toMatch(/evil|other\.test/);
    }
    expect((await api.call<Listed>("GET", "/keys?kind=workload&limit=200")).body.data).toHaveLength(before);
  });
});

describe("a pod of Kubernetes", () => {
  it("is known by its service account, with keys from the configuration, and each account is limited and counted by itself", async () => {
    const jwt = await cluster.token(podClaims());
    const token = await tokenFor(second, jwt);
    expect(await tryIt(sendTo(first), token, "/reports/1")).toBe(200);
    const other = await tokenFor(second, await cluster.token(podClaims({ sub: "system:serviceaccount:prod:other" })));
    expect(partOf(other, 1)["lk_lineage"]).not.toBe(partOf(token, 1)["lk_lineage"]);
    expect((await identitiesOf("pods")).map((record) => record["owner"])).toEqual(["platform", "platform"]);
    const dev = podClaims({ "kubernetes.io": { namespace: "dev", serviceaccount: { name: "x", uid: "y" } } });
    expect((await present(second, await cluster.token(dev))).status).toBe(400);
  });
});

describe("an identity", () => {
  it("is one record, though two isolates ask for it at once, twenty times", async () => {
    const jwt = await job("once");
    const tokens = await Promise.all(
      Array.from({ length: 20 }, (_, index) => tokenFor(index % 2 ? first : second, jwt)),
    );
    expect(new Set(tokens.map((token) => partOf(token, 1)["client_id"])).size).toBe(1);
    const records = (await identitiesOf("others")).filter(({ name }) => name === "repo:acme/once:ref:refs/heads/main");
    expect(records).toHaveLength(1);
    const audit = await api.call<Listed>("GET", `/audit?subject=${records[0]?.id ?? ""}`);
    expect(audit.body.data).toMatchObject([{ action: "key.create", actor: { kind: "system", id: "trust:others" } }]);
  });

  it("has one budget, whatever tokens were minted for it and wherever they are used", async () => {
    const jwt = await job("limited");
    const tokens = await Promise.all([tokenFor(first, jwt), tokenFor(second, jwt)]);
    const uses = Array.from({ length: 20 }, (_, index) => {
      const edge = index % 2 ? first : second;
      return tryIt(sendTo(edge), tokens[index % 2] ?? "", "/reports/1");
    });
    const outcomes = await Promise.all(uses);
    expect(outcomes.filter((outcome) => outcome === 200).length).toBeLessThanOrEqual(5);
    expect(new Set(outcomes.filter((outcome) => outcome !== 200))).toEqual(new Set(["rate_limited"]));
  });

  it("that is revoked: its tokens stop everywhere within 5 s, and it gets no other, at any isolate", async () => {
    const jwt = await job("revoked");
    const token = await tokenFor(first, jwt);
    for (const edge of [first, second]) expect(await tryIt(sendTo(edge), token)).toBe(200);
    const [record] = (await identitiesOf("others")).filter(
      ({ name }) => name === "repo:acme/revoked:ref:refs/heads/main",
    );
    await api.revoke(record?.id ?? "");
    await sleep(BOUND_MS);
    for (const edge of [first, second]) {
      expect(await tryIt(sendTo(edge), token)).toBe("key_revoked");
      expect((await present(edge, jwt)).status).toBe(400);
    }
    // A new token of the platform's is the same workload.
    expect((await present(first, await job("revoked", { run_attempt: "2" }))).body).toMatchObject({
      error: "invalid_request",
    });
  });

  it("is not rotated, patched in what its rule says, or made by hand; it is disabled and enabled", async () => {
    const jwt = await job("kept");
    const token = await tokenFor(first, jwt);
    const id = String(partOf(token, 1)["client_id"]);
    expect((await api.call("POST", `/keys/${id}/rotate`)).status).toBe(409);
    expect((await api.call("PATCH", `/keys/${id}`, { ...MERGE, body: { scopes: ["charges:write"] } })).status).toBe(
      400,
    );
    expect((await api.call("PATCH", `/keys/${id}`, { ...MERGE, body: { purpose: "Deploys" } })).status).toBe(200);
    const made = { name: "x", owner: "acme", kind: "workload", environment: "live", scopes: ["reports:read"] };
    expect((await api.call("POST", "/keys", { body: made })).status).toBe(400);
    expect((await api.call("POST", `/keys/${id}/disable`)).status).toBe(200);
    await sleep(BOUND_MS);
    expect(await tryIt(sendTo(second), token)).toBe("key_disabled");
    expect((await present(first, jwt)).status).toBe(400);
    expect((await api.call("POST", `/keys/${id}/enable`)).status).toBe(200);
    expect((await present(first, jwt)).status).toBe(200);
  });

  it("of a disabled owner: tokens stop within 5 s, it gets no other, and no new identity is made; enabled, all goes on", async () => {
    const jwt = await cluster.token(podClaims({ sub: "system:serviceaccount:prod:stopped" }));
    const unmet = await cluster.token(podClaims({ sub: "system:serviceaccount:prod:unmet" }));
    const token = await tokenFor(first, jwt);
    for (const edge of [first, second]) expect(await tryIt(sendTo(edge), token, "/reports/1")).toBe(200);
    const before = (await identitiesOf("pods")).length;
    expect((await api.call("POST", "/owners/platform/disable")).body["delivery"]).toBe("delivered");
    await sleep(BOUND_MS);
    for (const edge of [first, second]) {
      expect(await tryIt(sendTo(edge), token, "/reports/1")).toBe("key_disabled");
      // `first` remembers the identity, `second` has not met it.
      expect((await present(edge, jwt)).status).toBe(400);
      expect(await present(edge, unmet)).toMatchObject({
        status: 400,
        body: { error: "invalid_request", error_description: expect.stringContaining("owner") },
      });
    }
    expect(await identitiesOf("pods")).toHaveLength(before);
    expect((await api.call("POST", "/owners/platform/enable")).body["delivery"]).toBe("delivered");
    for (const edge of [first, second]) {
      expect(await tryIt(sendTo(edge), token, "/reports/1")).toBe(200);
      expect((await present(edge, jwt)).status).toBe(200);
      expect((await present(edge, unmet)).status).toBe(200);
    }
  });

  it("past its rule's bound is not made, and those that there are go on", async () => {
    const branch = (name: string): Promise<string> =>
      github.token(githubClaims({ sub: `repo:acme/branches:ref:refs/heads/${name}` }));
    expect((await present(first, await branch("a"))).status).toBe(200);
    expect((await present(second, await branch("b"))).status).toBe(200);
    expect(await present(first, await branch("c"))).toMatchObject({
      status: 400,
      body: { error: "unauthorized_client" },
    });
    expect((await present(second, await branch("a"))).status).toBe(200);
    expect(await identitiesOf("branches")).toHaveLength(2);
  });
});

describe("an address that sends forged tokens", () => {
  it("is refused before they are verified, while its neighbours get in", async () => {
    const good = await job("neighbour");
    const [header = "", payload = ""] = good.split(".");
    const from = (ip: string) => (target: string, init?: RequestInit) => first.fetch(target, { ...init, ip });
    const send = (ip: string, jwt: string): Promise<OAuthAnswer> =>
      post(from(ip), "token", { grant_type: EXCHANGE, subject_token: jwt, subject_token_type: JWT });
    const statuses = new Set<number>();
    // Ten at a time, as the shield counts behind the request's back.
    for (let round = 0; round < 60; round++) {
      const forged = `${header}.${payload}.${Buffer.alloc(256, round + 1).toString("base64url")}`;
      const answers = await Promise.all(Array.from({ length: 10 }, () => send("203.0.113.9", forged)));
      for (const { status } of answers) statuses.add(status);
      if (statuses.has(429)) break;
    }
    expect(statuses).toEqual(new Set([400, 429]));
    expect((await send("203.0.113.10", good)).status).toBe(200);
  });
});

describe("when something is down", () => {
  it("the registry: a new identity is 503, one that the isolate knows is exchanged", async () => {
    const known = await job("known");
    await tokenFor(first, known);
    await first.setFaults({ KEY_REGISTRY: { kind: "down" } });
    try {
      const { status, headers, body } = await present(first, await job("unknown"));
      expect(status).toBe(503);
      expect(Number(headers.get("retry-after"))).toBeGreaterThan(0);
      expect(body).toMatchObject({ error: "temporarily_unavailable" });
      expect((await present(first, known)).status).toBe(200);
    } finally {
      await first.setFaults({});
    }
    expect((await present(first, await job("unknown"))).status).toBe(200);
  });

  it("an issuer that could never be asked: 503, and nobody gets in", async () => {
    const jwt = await absent.token(githubClaims());
    await absent.stop();
    const { status, headers, body } = await present(first, jwt);
    expect([status, body["error"]]).toEqual([503, "temporarily_unavailable"]);
    expect(Number(headers.get("retry-after"))).toBeGreaterThan(0);
  });

  it("an issuer whose keys are known: exchange goes on; its keys rotated away: they are, once they were read again", async () => {
    const jwt = await job("steady");
    await tokenFor(first, jwt);
    await github.stop();
    expect((await present(first, jwt)).status).toBe(200);
    // The same issuer with another key, as after an emergency.
    github = await startIssuer("RS256", github.port);
    // The cool-down of the isolate's questions.
    await first.setClock(31_000);
    try {
      expect((await present(first, await job("steady"))).status).toBe(200);
      expect(await present(first, jwt)).toMatchObject({ status: 400, body: { error: "invalid_request" } });
    } finally {
      await first.setClock(0);
    }
  });
});
