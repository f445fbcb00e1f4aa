import { createHash } from "node:crypto";
import { exportJWK, exportSPKI, generateKeyPair, importJWK, SignJWT, UnsecuredJWT } from "jose";
import type { CryptoKey, JWK, JWTHeaderParameters, JWTPayload } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { classify } from "../../src/keys/format.ts";
import { compileTrust } from "../../src/tokens/trust.ts";
import { describeWorkload } from "../../src/tokens/workload-record.ts";
import { githubClaims, podClaims, startIssuer } from "../support/issuer-lab.ts";
import type { Issuer } from "../support/issuer-lab.ts";
import { githubRule, HERE, WorkloadLab } from "../support/workload-lab.ts";

let issuer: Issuer;
beforeAll(async () => {
  issuer = await startIssuer();
});
afterAll(() => issuer.stop());

function nowSeconds(): number {
  return Math.floor(Date.now() / 1_000);
}

/** Signed with the issuer's own key, so that only what a test says is wrong with it. */
async function signed(
  claims: Readonly<Record<string, unknown>>,
  header: Partial<JWTHeaderParameters> = {},
): Promise<string> {
  const [jwk] = issuer.privateKeys();
  if (jwk === undefined) throw new Error("the issuer has no key");
  const key = await importJWK(jwk as JWK, "RS256");
  return new SignJWT({ iss: issuer.url, iat: nowSeconds(), exp: nowSeconds() + 300, ...githubClaims(), ...claims })
    .setProtectedHeader({ alg: "RS256", kid: String(jwk["kid"]), ...header })
    .sign(key);
}

describe("a token of a trusted issuer", () => {
  test("as GitHub gives its jobs becomes the identity that its rule names, once", async () => {
    const lab = new WorkloadLab(githubRule(issuer.url, { ttlSeconds: 900, scopes: ["charges:read", "charges:write"] }));
    const first = await lab.resolve(await issuer.token(githubClaims()));
    const again = await lab.resolve(await issuer.token(githubClaims({ run_attempt: "2" })));
    expect(first).toMatchObject({
      ok: true,
      value: {
        keyId: "key_0",
        lineageId: "lin_key_0",
        workspace: "default",
        ttlSeconds: 900,
        rule: "github",
        subject: "repo:acme/api:ref:refs/heads/main",
      },
    });
    expect(again.ok && first.ok && again.value.keyId === first.value.keyId).toBe(true);
    expect([...lab.registry.records.values()].map(({ wanted }) => wanted)).toMatchObject([
      {
        rule: "github",
        name: "repo:acme/api:ref:refs/heads/main",
        owner: "acme",
        environment: "live",
        scopes: ["charges:read", "charges:write"],
        metadata: { workload: { rule: "github", issuer: issuer.url, subject: "repo:acme/api:ref:refs/heads/main" } },
      },
    ]);
    // Discovery, the key set, one call to the registry: the second exchange asked nobody.
    expect(lab.fetched).toEqual([`${issuer.url}/.well-known/openid-configuration`, `${issuer.url}/jwks`]);
    expect(lab.registry.contexts).toEqual([
      {
        actor: { kind: "system", id: "trust:github", address: "192.0.2.7", requestId: "req_1" },
        idempotency: null,
        ifGeneration: null,
      },
    ]);
  });

  test("as Kubernetes gives its pods is known by namespace and service account, with keys from the configuration", async () => {
    const rule = githubRule(issuer.url, {
      name: "pods",
      jwks: { keys: issuer.keys() },
      subject: "system:serviceaccount:prod:billing",
      claims: { "/kubernetes.io/namespace": "prod", "/kubernetes.io/serviceaccount/uid": "1a2b" },
    });
    const lab = new WorkloadLab(rule);
    expect(await lab.outcome(await issuer.token(podClaims()))).toBe("pods");
    expect(await lab.outcome(await issuer.token(podClaims({ sub: "system:serviceaccount:dev:billing" })))).toMatch(
      /No trust rule/,
    );
    // A service account that was deleted and made anew is another one.
    const reborn = { "kubernetes.io": { namespace: "prod", serviceaccount: { name: "billing", uid: "9z" } } };
    expect(await lab.outcome(await issuer.token(podClaims(reborn)))).toMatch(/No trust rule/);
    expect(lab.fetched).toEqual([]);
  });

  test.each(["RS256", "PS256", "ES256", "EdDSA"])("signed with %s is taken", async (algorithm) => {
    const other = await startIssuer(algorithm);
    try {
      const lab = new WorkloadLab(githubRule(other.url));
      expect(await lab.outcome(await other.token(githubClaims()))).toBe("github");
      lab.restart(githubRule(other.url, { algorithms: ["ES512"] }));
      expect(await lab.outcome(await other.token(githubClaims()))).toBe(
        "invalid: The token's algorithm is not allowed.",
      );
    } finally {
      await other.stop();
    }
  });

  test("as SPIFFE gives its workloads needs no issuer: the trust domain's bundle decides", async () => {
    const { privateKey, publicKey } = await generateKeyPair("ES256");
    const bundle = {
      keys: [
        { ...(await exportJWK(publicKey)), kid: "svid", use: "jwt-svid" },
        { kty: "EC", crv: "P-256", use: "x509-svid", x: "AA", y: "AA" },
      ],
    };
    const { issuer: _none, ...rule } = githubRule("", {
      subject: "spiffe://example.org/ns/*/sa/billing",
      jwks: bundle,
    });
    const lab = new WorkloadLab(rule);
    const svid = (sub: string, more: JWTPayload = {}): Promise<string> =>
      new SignJWT({ sub, aud: HERE, exp: nowSeconds() + 300, ...more })
        .setProtectedHeader({ alg: "ES256", kid: "svid", typ: "JOSE" })
        .sign(privateKey);
    expect(await lab.outcome(await svid("spiffe://example.org/ns/prod/sa/billing"))).toBe("github");
    expect(await lab.outcome(await svid("spiffe://example.org/ns/prod/sa/other"))).toMatch(/No trust rule/);
    expect(await lab.outcome(await svid("spiffe://other.test/ns/prod/sa/billing"))).toMatch(/issuer is not trusted/);
    expect(
      await lab.outcome(await svid("spiffe://example.org/ns/prod/sa/billing", { exp: nowSeconds() + 90_000 })),
    ).toMatch(/longer than/);
  });
});

describe("a token that is not what it says", () => {
  test.each<readonly [string, Readonly<Record<string, unknown>>, RegExp]>([
    ["expired", { exp: nowSeconds() - 31 }, /has expired/],
    ["without an expiry", { exp: undefined }, /claim exp is missing/],
    ["not valid yet", { nbf: nowSeconds() + 120 }, /not valid yet/],
    ["issued in the future", { iat: nowSeconds() + 120 }, /issued in the future/],
    ["made to live for days", { exp: nowSeconds() + 200_000 }, /lives longer/],
    ["issued at no number", { iat: "yesterday" }, /claim iat is missing or wrong/],
    ["for another audience", { aud: "https://other.test" }, /another audience/],
    ["for several audiences", { aud: [HERE, "https://other.test"] }, /or for several/],
    ["without an audience", { aud: undefined }, /another audience/],
    ["of another issuer", { iss: "https://issuer.test" }, /issuer is not trusted/],
    ["without an issuer", { iss: undefined }, /issuer is not trusted/],
    ["without a subject", { sub: undefined }, /claim sub is missing/],
    ["of an empty subject", { sub: "" }, /subject must have/],
    ["of a subject that is no text", { sub: 7 }, /subject must have/],
    ["of a subject with a line break", { sub: "repo:acme/api\n" }, /control characters/],
    ["of an endless subject", { sub: "a".repeat(1_025) }, /subject must have/],
    ["of somebody else", { sub: "repo:evil/api:ref:refs/heads/main" }, /No trust rule/],
    ["bound to a key", { cnf: { jkt: "x" } }, /bound to a key/],
  ])("%s: refused", async (_what, claims, expected) => {
    const lab = new WorkloadLab(githubRule(issuer.url));
    expect(await lab.outcome(await signed(claims))).toMatch(expected);
    expect(lab.registry.records.size).toBe(0);
    // The control: the same token without that is taken.
    expect(await lab.outcome(await signed({}))).toBe("github");
  });

  test("within the skew of a clock is taken", async () => {
    const lab = new WorkloadLab(githubRule(issuer.url));
    expect(await lab.outcome(await signed({ iat: nowSeconds() - 300, exp: nowSeconds() - 10 }))).toBe("github");
    expect(await lab.outcome(await signed({ iat: nowSeconds() + 20, nbf: nowSeconds() + 20 }))).toBe("github");
  });

  test.each<readonly [string, Partial<JWTHeaderParameters>, RegExp]>([
    ["another use's type", { typ: "logout+jwt" }, /type for another use/],
    ["a proof's type", { typ: "dpop+jwt" }, /type for another use/],
    ["an unknown key's id", { kid: "no-such-key" }, /signing key is not one/],
  ])("with %s: refused", async (_what, header, expected) => {
    const lab = new WorkloadLab(githubRule(issuer.url));
    expect(await lab.outcome(await signed({}, header))).toMatch(expected);
  });

  test("with critical header parameters: refused, even those that jose would know", async () => {
    const lab = new WorkloadLab(githubRule(issuer.url));
    const [, payload = "", signature = ""] = (await signed({})).split(".");
    const header = Buffer.from(JSON.stringify({ alg: "RS256", crit: ["b64"], b64: true })).toString("base64url");
    expect(await lab.outcome(`${header}.${payload}.${signature}`)).toMatch(/critical header/);
  });

  test("alg none, and HS256 with the public key as its secret: refused before any key is asked for", async () => {
    const lab = new WorkloadLab(githubRule(issuer.url));
    const claims = { iss: issuer.url, ...githubClaims(), iat: nowSeconds(), exp: nowSeconds() + 300 };
    const none = new UnsecuredJWT(claims).encode();
    expect(await lab.outcome(none)).toBe("invalid: This is no signed JWT.");
    expect(await lab.outcome(`${none}AAAA`)).toBe("invalid: The token's algorithm is not allowed.");
    const [jwk = {}] = issuer.keys();
    const pem = await exportSPKI((await importJWK(jwk as JWK, "RS256", { extractable: true })) as CryptoKey);
    for (const secret of [pem, JSON.stringify(jwk), String(jwk["n"])]) {
      const forged = await new SignJWT(claims)
        .setProtectedHeader({ alg: "HS256", kid: String(jwk["kid"]) })
        .sign(new TextEncoder().encode(secret));
      expect(await lab.outcome(forged)).toBe("invalid: The token's algorithm is not allowed.");
    }
    expect(lab.fetched).toEqual([]);
  });

  test("a key that comes with the token (jwk, jku, x5u, x5c) is not looked at, nor its address asked", async () => {
    const attacker = await startIssuer();
    try {
      const lab = new WorkloadLab(githubRule(issuer.url));
      const [jwk = {}] = attacker.privateKeys();
      const key = await importJWK(jwk as JWK, "RS256");
      const [{ kid } = { kid: "" }] = issuer.keys();
      const headers = [
        { jwk: attacker.keys()[0] as JWK },
        { jku: `${attacker.url}/jwks` },
        { x5u: `${attacker.url}/cert` },
        { x5c: ["AAAA"] },
      ];
      for (const header of headers) {
        const forged = await new SignJWT({
          iss: issuer.url,
          ...githubClaims(),
          iat: nowSeconds(),
          exp: nowSeconds() + 300,
        })
          .setProtectedHeader({ alg: "RS256", kid: String(kid), ...header })
          .sign(key);
        expect(await lab.outcome(forged)).toBe("invalid: The token's signature does not hold.");
      }
      expect(lab.fetched.filter((url) => url.startsWith(attacker.url))).toEqual([]);
    } finally {
      await attacker.stop();
    }
  });

  test("whatever is changed in it after signing: refused", async () => {
    const lab = new WorkloadLab(githubRule(issuer.url));
    const jwt = await signed({ sub: "repo:evil/api:ref:refs/heads/main" });
    const [header = "", payload = "", signature = ""] = jwt.split(".");
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as JWTPayload;
    const forged = Buffer.from(JSON.stringify({ ...claims, sub: "repo:acme/api:ref:refs/heads/main" })).toString(
      "base64url",
    );
    expect(await lab.outcome(`${header}.${forged}.${signature}`)).toBe("invalid: The token's signature does not hold.");
  });

  test.each([
    ["nothing", ""],
    ["two parts", "a.b"],
    ["an encrypted token's five", "a.b.c.d.e"],
    ["no JSON", "e30.YQ.YQ"],
    ["an array for claims", `${Buffer.from('{"alg":"RS256"}').toString("base64url")}.W10.YQ`],
    ["padding", "e30=.e30=.YQ=="],
    ["a type that is no text", `${Buffer.from('{"alg":"RS256","typ":7}').toString("base64url")}.e30.YQ`],
    ["more than 16 KB", `${"a".repeat(20_000)}.b.c`],
  ])("of %s: refused without a question to anyone", async (_what, jwt) => {
    const lab = new WorkloadLab(githubRule(issuer.url));
    expect(await lab.outcome(jwt)).toMatch(/^invalid: /);
    expect(lab.fetched).toEqual([]);
  });

  test("no refusal repeats anything of the token", async () => {
    const lab = new WorkloadLab(githubRule(issuer.url));
    const marked = { sub: "repo:evil/marker:x", aud: "https://marker.test", job: "marker" };
    for (const claims of [marked, { ...marked, iss: "https://marker.test" }, { ...marked, exp: 1 }])
      expect(await lab.outcome(await signed(claims, { kid: "marker" }))).not.toMatch(/marker/);
  });
});

describe("an identity", () => {
  test("is one for each subject, or for the whole rule where it says so; a bound stops what differs with each build", async () => {
    const each = new WorkloadLab(githubRule(issuer.url, { subject: "repo:acme/api:**", maxIdentities: 2 }));
    const branch = (name: string): Promise<string> => signed({ sub: `repo:acme/api:ref:refs/heads/${name}` });
    expect(await each.outcome(await branch("a"))).toBe("github");
    expect(await each.outcome(await branch("b"))).toBe("github");
    expect(await each.outcome(await branch("c"))).toBe(
      "full: The trust rule for this workload takes no further identities.",
    );
    expect(each.registry.records.size).toBe(2);
    const whole = new WorkloadLab(
      githubRule(issuer.url, { subject: "repo:acme/api:**", identity: "rule", maxIdentities: 1 }),
    );
    for (const name of ["a", "b", "c"]) expect(await whole.outcome(await branch(name))).toBe("github");
    expect(whole.registry.records.size).toBe(1);
    const [only] = [...whole.registry.records.values()];
    expect(only?.wanted).toMatchObject({
      name: "github",
      metadata: { workload: { rule: "github", issuer: issuer.url } },
    });
  });

  test("whose rule has changed is asked for anew, by an isolate of the new configuration", async () => {
    const lab = new WorkloadLab(githubRule(issuer.url));
    const jwt = await signed({});
    await lab.outcome(jwt);
    await lab.outcome(jwt);
    expect(lab.registry.contexts).toHaveLength(1);
    lab.restart(githubRule(issuer.url, { scopes: ["charges:write"] }));
    await lab.outcome(jwt);
    expect(lab.registry.contexts).toHaveLength(2);
    expect(lab.registry.records.size).toBe(1);
    // Owner and environment cannot change in a record: they are part of who it is.
    lab.restart(githubRule(issuer.url, { owner: "other" }));
    await lab.outcome(jwt);
    lab.restart(githubRule(issuer.url, { environment: "test" }));
    await lab.outcome(jwt);
    expect(lab.registry.records.size).toBe(3);
  });

  test("is remembered for a while, and then looked up again", async () => {
    const lab = new WorkloadLab(githubRule(issuer.url));
    const jwt = await signed({ exp: nowSeconds() + 3_600 });
    await lab.outcome(jwt);
    lab.now += 299_000;
    await lab.outcome(jwt);
    expect(lab.registry.contexts).toHaveLength(1);
    lab.now += 2_000;
    await lab.outcome(jwt);
    expect(lab.registry.contexts).toHaveLength(2);
  });

  test.each(["revoked", "disabled", "expired"] as const)(
    "that an operator made %s is refused, and not remembered",
    async (status) => {
      const lab = new WorkloadLab(githubRule(issuer.url));
      lab.registry.status = status;
      const jwt = await signed({});
      expect(await lab.outcome(jwt)).toBe(`revoked: This workload's identity key_0 is ${status}.`);
      expect(await lab.outcome(jwt)).toMatch(/^revoked/);
      lab.registry.status = "active";
      expect(await lab.outcome(jwt)).toBe("github");
    },
  );

  test("cannot be told while the registry is down, or its meter has not heard of it: to be tried again", async () => {
    const lab = new WorkloadLab(githubRule(issuer.url));
    lab.registry.failure = new Error("injected");
    const jwt = await signed({});
    expect(await lab.resolve(jwt)).toMatchObject({ ok: false, error: { kind: "unavailable", retryAfterSeconds: 1 } });
    lab.registry.failure = null;
    lab.registry.delivered = false;
    expect(await lab.resolve(jwt)).toMatchObject({ ok: false, error: { kind: "unavailable", retryAfterSeconds: 1 } });
    lab.registry.delivered = true;
    expect(await lab.outcome(jwt)).toBe("github");
  });

  test("has the hash of a text that is no credential, whatever its parts are called", () => {
    const [source] = [...compileTrust({ trust: [githubRule(issuer.url)] }).values()];
    const [rule] = source?.rules ?? [];
    if (rule === undefined) throw new Error("no rule");
    const who = ["default", "github", "live", "acme", issuer.url, "s"];
    const text = `latchkey workload\n${JSON.stringify(who)}`;
    expect(describeWorkload(rule, issuer.url, "s").hash).toBe(createHash("sha256").update(text).digest("base64url"));
    expect(classify(text, new Set(["lk"]), true)).toBe("garbage");
  });

  test("with a long subject has a name that can be stored", () => {
    const [source] = [...compileTrust({ trust: [githubRule(issuer.url)] }).values()];
    const [rule] = source?.rules ?? [];
    if (rule === undefined) throw new Error("no rule");
    const { name, metadata } = describeWorkload(rule, issuer.url, "𝄞".repeat(300));
    expect(name.length).toBe(128);
    expect(name.isWellFormed()).toBe(true);
    expect(metadata).toMatchObject({ workload: { subject: "𝄞".repeat(300) } });
  });
});
