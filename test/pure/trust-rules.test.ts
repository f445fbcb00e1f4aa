import { readFileSync } from "node:fs";
import path from "node:path";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { TrustRule } from "../../src/config.ts";
import { checkTrust } from "../../src/gateway/config-check-trust.ts";
import { Findings } from "../../src/gateway/config-findings.ts";
import { compileTrust, findSource, matchRule } from "../../src/tokens/trust.ts";
import { parseTrustPattern } from "../../src/tokens/trust-pattern.ts";

const GITHUB = "https://token.actions.githubusercontent.com";
const HERE = "https://gateway.test";

const RULE: TrustRule = {
  name: "ci",
  issuer: "https://issuer.test",
  subject: "job:main",
  owner: "acme",
  environment: "live",
  scopes: ["charges:read"],
};

function faults(rules: unknown): readonly string[] {
  const findings = new Findings();
  checkTrust(findings, "tokens.trust", rules, { planNames: new Set(["pro"]), ownIssuer: HERE });
  return findings.errors.map(({ place, detail }) => `${place}: ${detail}`);
}

function faultsOf(change: object): readonly string[] {
  return faults([{ ...RULE, ...change }]);
}

function matches(pattern: string, value: string): boolean {
  const parsed = parseTrustPattern(pattern);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value.matches(value);
}

/** The name of the rule that a token meets, or why none. */
function met(
  rules: readonly Partial<TrustRule>[],
  payload: Readonly<Record<string, unknown>>,
  algorithm = "RS256",
): string {
  const whole = rules.map((rule, index) => ({ ...RULE, name: `rule-${index}`, subject: undefined, ...rule }));
  // `undefined` stands for an absent member, which the type tells apart and nothing here does.
  const sources = compileTrust({ trust: whole as unknown as TrustRule[] });
  const claims = { iss: RULE.issuer, aud: HERE, ...payload };
  const source = findSource(sources, claims);
  if (source === null) return "no source";
  const matched = matchRule(source.rules, { algorithm, payload: claims }, HERE);
  return matched.ok ? matched.value.rule.name : matched.error;
}

/** Segments as workloads choose them: few, so that they meet, and with all that a pattern could trip over. */
const segment = fc.constantFrom("a", "b", "main", "release-1", "*", "a.b", "x y", "", ".", "(", "\\", "main\n", "é");
const separator = fc.constantFrom(":", "/");
const value = fc
  .tuple(segment, fc.array(fc.tuple(separator, segment), { maxLength: 5 }))
  .map(([first, rest]) => first + rest.map((pair) => pair.join("")).join(""));

describe("a pattern", () => {
  test("without a wildcard matches itself and nothing else, to the character", () => {
    fc.assert(
      fc.property(value, value, (text, other) => {
        const parsed = parseTrustPattern(text);
        fc.pre(parsed.ok && !text.includes("*"));
        expect(parsed.ok && parsed.value.matches(other)).toBe(text === other);
      }),
    );
  });

  test("agrees with the definition: `*` is within a segment and never empty, `**` is the rest and never empty", () => {
    /** The definition, segment by segment, without an expression. */
    const within = (pattern: string, text: string): boolean => {
      const star = pattern.indexOf("*");
      if (star < 0) return pattern === text;
      const [head, tail] = [pattern.slice(0, star), pattern.slice(star + 1)];
      return text.length > head.length + tail.length && text.startsWith(head) && text.endsWith(tail);
    };
    const cut = (text: string): string[] => text.split(/(?<=[:/])|(?=[:/])/);
    const holds = (pattern: string, text: string): boolean => {
      const open = pattern.endsWith("**");
      const wanted = cut(open ? pattern.slice(0, -2) : pattern);
      const head = open ? text.slice(0, wanted.join("").length) : text;
      if (open) {
        const parts = cut(text);
        const begins = wanted.every((part, at) => within(part, parts[at] ?? ""));
        return begins && parts.slice(wanted.length).join("") !== "" && (head !== "" || wanted.length === 0);
      }
      const parts = cut(text);
      return parts.length === wanted.length && wanted.every((part, at) => within(part, parts[at] ?? ""));
    };
    const piece = fc.constantFrom("a", "main", "*", "release-*", "*-1", "b");
    const pattern = fc
      .tuple(piece, fc.array(fc.tuple(separator, piece), { maxLength: 4 }), fc.boolean(), separator)
      .map(
        ([first, rest, open, last]) => first + rest.map((pair) => pair.join("")).join("") + (open ? `${last}**` : ""),
      );
    let hits = 0;
    fc.assert(
      fc.property(pattern, value, (text, candidate) => {
        const parsed = parseTrustPattern(text);
        fc.pre(parsed.ok);
        const expected = holds(text, candidate);
        if (expected) hits += 1;
        expect(parsed.ok && parsed.value.matches(candidate), `${text} on ${candidate}`).toBe(expected);
      }),
      { numRuns: 5_000 },
    );
    // Some 25 of 5,000 random pairs: it is a test of both answers.
    expect(hits).toBeGreaterThan(5);
  });

  test.each([
    ["repo:acme/api:ref:refs/heads/main", "repo:acme/api:ref:refs/heads/main", true],
    ["repo:acme/api:ref:refs/heads/main", "repo:acme/api:ref:refs/heads/main2", false],
    ["repo:acme/*:ref:refs/heads/main", "repo:acme/web:ref:refs/heads/main", true],
    ["repo:acme/*:ref:refs/heads/main", "repo:acme/web:environment:x:ref:refs/heads/main", false],
    ["repo:acme/*:ref:refs/heads/main", "repo:acme-evil/web:ref:refs/heads/main", false],
    ["repo:acme/api:ref:refs/heads/*", "repo:acme/api:ref:refs/heads/feature/x", false],
    ["repo:acme/api:ref:refs/heads/**", "repo:acme/api:ref:refs/heads/feature/x", true],
    ["repo:acme/api:**", "repo:acme/api2:ref:refs/heads/main", false],
    ["project_path:grp/app:ref_type:branch:ref:main", "project_path:grp/app:ref_type:branch:ref:main", true],
    ["project_path:grp/*:ref_type:tag:ref:v*", "project_path:grp/app:ref_type:tag:ref:v1.2", true],
    ["system:serviceaccount:prod:*", "system:serviceaccount:prod:api", true],
    ["system:serviceaccount:prod:*", "system:serviceaccount:prod2:api", false],
    ["spiffe://example.org/ns/*/sa/api", "spiffe://example.org/ns/a/sa/api", true],
    ["spiffe://example.org/ns/*/sa/api", "spiffe://example.org/ns/a/b/sa/api", false],
    ["spiffe://example.org/**", "spiffe://example.org.evil.test/x", false],
    ["a.c", "abc", false],
    ["a/*", "a/", false],
    ["a/**", "a/", false],
    ["a/**", "a/b\nc", true],
    ["a/*", "a/b\n", true],
    ["A", "a", false],
  ])("%s on %s: %s", (pattern, text, expected) => {
    expect(matches(pattern, text)).toBe(expected);
  });

  test.each([
    "",
    "*",
    "**",
    "*:*",
    "*/**",
    "***",
    "a**",
    "a/**/b",
    "**/a",
    "a*b*c",
    "a/*x**",
    "a\nb",
    "x".repeat(513),
    "\ud800",
  ])("%j is refused: too open, or not what it looks like", (pattern) => {
    expect(parseTrustPattern(pattern).ok).toBe(false);
  });

  test("does not stall on a name made to stall it", () => {
    const pattern = `${Array.from({ length: 60 }, () => "a*b").join(":")}:end`;
    const text = `${Array.from({ length: 60 }, () => "a".repeat(200)).join(":")}:end`;
    expect(matches(pattern, text)).toBe(false);
  });
});

describe("the rule that a token meets", () => {
  const sub = "repo:acme/api:ref:refs/heads/main";

  test("is the first whose every demand holds, whatever stands after it", () => {
    expect(met([{ subject: "repo:acme/web:**" }, { subject: "repo:acme/api:**" }, { subject: sub }], { sub })).toBe(
      "rule-1",
    );
    expect(met([{ subject: sub, claims: { job: "deploy" } }, { subject: sub }], { sub, job: "test" })).toBe("rule-1");
    expect(met([{ subject: sub, claims: { job: "deploy" } }, { subject: sub }], { sub, job: "deploy" })).toBe("rule-0");
  });

  test("is met by a random token only if an independent reading of each demand says so, and is the first of those", () => {
    const some = fc.constantFrom("a", "b", "c");
    const rule = fc.record({
      subject: some,
      claims: fc.dictionary(fc.constantFrom("x", "y"), some),
      audience: fc.constantFrom(HERE, "other"),
    });
    const token = fc.record({
      sub: some,
      x: some,
      y: some,
      aud: fc.constantFrom(HERE, "other", [HERE], [HERE, "other"]),
    });
    fc.assert(
      fc.property(fc.array(rule, { minLength: 1, maxLength: 5 }), token, (rules, payload) => {
        const audience =
          typeof payload.aud === "string" ? payload.aud : payload.aud.length === 1 ? payload.aud[0] : null;
        const first = rules.findIndex(
          (each) =>
            each.audience === audience &&
            each.subject === payload.sub &&
            (each.claims["x"] ?? payload.x) === payload.x &&
            (each.claims["y"] ?? payload.y) === payload.y,
        );
        const heard = rules.some((each) => each.audience === audience);
        expect(met(rules, payload)).toBe(first >= 0 ? `rule-${first}` : heard ? "workload" : "audience");
      }),
      { numRuns: 2_000 },
    );
  });

  test("wants exactly one audience: a token that is for others too could be replayed by them", () => {
    expect(met([{ subject: sub }], { sub, aud: [HERE] })).toBe("rule-0");
    for (const aud of [
      "https://other.test",
      [HERE, "https://other.test"],
      [],
      undefined,
      null,
      1,
      { 0: HERE },
      [[HERE]],
    ])
      expect(met([{ subject: sub }], { sub, aud }), JSON.stringify(aud)).toBe("audience");
    expect(met([{ subject: sub, audience: "k8s" }], { sub, aud: "k8s" })).toBe("rule-0");
    expect(met([{ subject: sub, audience: "k8s" }], { sub })).toBe("audience");
  });

  test("reads claims by name or by JSON pointer, as texts, numbers, truth values and lists of texts", () => {
    const payload = { sub, n: 7, t: true, groups: ["dev", "ops"], "kubernetes.io": { namespace: "prod", "a/b": "x" } };
    for (const claims of [
      { n: "7" },
      { t: "true" },
      { groups: "ops" },
      { "/kubernetes.io/namespace": "prod" },
      { "/kubernetes.io/a~1b": "x" },
      { "/n": "7" },
    ])
      expect(met([{ claims }], payload), JSON.stringify(claims)).toBe("rule-0");
    for (const claims of [
      { n: "8" },
      { missing: "undefined" },
      { "kubernetes.io": "prod" },
      { "/kubernetes.io/namespace/x": "prod" },
      { "/groups/0": "dev" },
      { "/groups/length": "2" },
      { constructor: "Object" },
      { "/constructor/name": "Object" },
      { "/sub/length": String(sub.length) },
    ])
      expect(met([{ claims }], payload), JSON.stringify(claims)).toBe("workload");
  });

  test("is none for an algorithm that it does not name, even where a sibling does", () => {
    expect(
      met(
        [
          { subject: "x", algorithms: ["RS256"] },
          { subject: sub, algorithms: ["ES256"] },
        ],
        { sub },
        "RS256",
      ),
    ).toBe("workload");
    expect(met([{ subject: sub }], { sub }, "HS256")).toBe("workload");
    expect(met([{ subject: sub }], { sub }, "none")).toBe("workload");
  });

  test("is one of the token's own issuer, to the character; a JWT-SVID's is found by its trust domain", () => {
    for (const iss of [
      "https://issuer.test/",
      "https://ISSUER.test",
      "http://issuer.test",
      "",
      undefined,
      ["https://issuer.test"],
    ])
      expect(met([{ subject: sub }], { sub, iss }), JSON.stringify(iss)).toBe("no source");
    const spiffe = {
      issuer: undefined,
      jwksUri: "https://keys.test/",
      subject: "spiffe://example.org/ns/*/sa/api",
    } as unknown as TrustRule;
    const id = "spiffe://example.org/ns/a/sa/api";
    expect(met([spiffe], { sub: id, iss: undefined })).toBe("rule-0");
    expect(met([spiffe], { sub: id, iss: "https://spire.example.org" })).toBe("rule-0");
    expect(met([spiffe], { sub: "spiffe://example.com/ns/a/sa/api", iss: undefined })).toBe("no source");
    expect(met([spiffe], { sub: "spiffe://example.org.evil.test/ns/a/sa/api", iss: undefined })).toBe("no source");
    // A rule with an issuer is not met by a token without one, whatever its subject.
    expect(met([{ subject: id }], { sub: id, iss: undefined })).toBe("no source");
    expect(met([spiffe], { sub: "someone else", iss: "spiffe://example.org" })).toBe("no source");
  });
});

/** The configurations in `docs/workload-identity.md`, as they would be read. */
function documented(): readonly {
  readonly tokens: { readonly issuer: string; readonly trust: readonly TrustRule[] };
}[] {
  const page = readFileSync(path.resolve(import.meta.dirname, "../../docs/workload-identity.md"), "utf8");
  return [...page.matchAll(/```ts\n(export default [^`]+)```/g)].map(([, code = ""]) =>
    // The page is this repository's own.
    runInNewContext(code.replace("export default", ""), {
      defineConfig: (config: unknown) => JSON.parse(JSON.stringify(config)),
    }),
  );
}

describe("a configuration", () => {
  test("that docs/workload-identity.md shows is taken, rule for rule", () => {
    const shown = documented();
    expect(shown.map(({ tokens }) => tokens.trust[0]?.name)).toEqual([
      "github-deploy",
      "prod-invoicer",
      "gitlab-release",
      "mesh",
    ]);
    for (const { tokens } of shown) expect(faults(tokens.trust)).toEqual([]);
  });

  test("takes the four kinds that the documents show", () => {
    expect(
      faults([
        { ...RULE, name: "github", issuer: GITHUB, subject: "repo:acme/api:ref:refs/heads/main" },
        {
          ...RULE,
          name: "gitlab",
          issuer: "https://gitlab.com",
          subject: "project_path:acme/api:ref_type:branch:ref:main",
        },
        {
          ...RULE,
          name: "pods",
          issuer: "https://kubernetes.default.svc.cluster.local",
          jwks: { keys: [{ kty: "RSA", n: "AQAB", e: "AQAB" }] },
          subject: "system:serviceaccount:prod:api",
          claims: { "/kubernetes.io/namespace": "prod" },
          plan: "pro",
        },
        {
          ...RULE,
          name: "spiffe",
          issuer: undefined,
          jwksUri: "https://spire.test/keys",
          subject: "spiffe://example.org/ns/prod/**",
        },
        { ...RULE, name: "local", issuer: "http://127.0.0.1:8080" },
      ]),
    ).toEqual([]);
  });

  test.each([
    [{ name: "" }, "tokens.trust[0].name: is not a name"],
    [{ owner: undefined }, "tokens.trust[0].owner: is not a name"],
    [{ owner: "{repository_owner}" }, "tokens.trust[0].owner: is not a name"],
    [{ workspace: "a b" }, "tokens.trust[0].workspace: is not a name"],
    [{ issuer: "http://issuer.test" }, "tokens.trust[0].issuer: must be an https URL"],
    [{ issuer: "issuer.test" }, "tokens.trust[0].issuer: must be a URL"],
    [{ issuer: "https://u:p@issuer.test" }, "tokens.trust[0].issuer: must not contain a user name"],
    [{ issuer: "https://issuer.test?x" }, "tokens.trust[0].issuer: must not have a query"],
    [{ issuer: HERE }, "tokens.trust[0].issuer: is Latchkey's own"],
    [{ issuer: undefined }, "tokens.trust[0].issuer: may be absent only"],
    [
      { issuer: undefined, jwksUri: "https://k.test", subject: "spiffe://example*" },
      "tokens.trust[0].issuer: may be absent only",
    ],
    [{ issuer: undefined, subject: "spiffe://example.org/x" }, "tokens.trust[0].jwksUri: or jwks is needed"],
    [{ jwksUri: "http://issuer.test/k" }, "tokens.trust[0].jwksUri: must be an https URL"],
    [{ jwksUri: "https://issuer.test/k", jwks: { keys: [] } }, "tokens.trust[0].jwks: stands beside jwksUri"],
    [{ jwks: { keys: [{ kty: "oct", k: "AAAA" }] } }, "tokens.trust[0].jwks.keys[0]: must be of kty RSA, EC or OKP"],
    [{ jwks: { keys: [{ kty: "EC", d: "AAAA" }] } }, "tokens.trust[0].jwks.keys[0]: is a private key"],
    [{ jwks: { keys: [] } }, "tokens.trust[0].jwks.keys: must have 1 to"],
    [{ audience: "" }, "tokens.trust[0].audience: must be"],
    [{ subject: undefined }, "tokens.trust[0]: must have a subject or claims"],
    [{ subject: "*" }, "tokens.trust[0].subject: has nothing but wildcards"],
    [{ subject: "*:main" }, "tokens.trust[0].subject: must begin with literal text"],
    [{ subject: 7 }, "tokens.trust[0].subject: must be a text"],
    [{ claims: { aud: "x" } }, "tokens.trust[0].claims.aud: is no claim that can be asked for here"],
    [{ claims: { "/a//b": "x" } }, "tokens.trust[0].claims./a//b: is no claim"],
    [{ claims: { x: "**" } }, "tokens.trust[0].claims.x: has nothing but wildcards"],
    [{ algorithms: ["HS256"] }, "tokens.trust[0].algorithms[0]: must be one of"],
    [{ algorithms: ["none"] }, "tokens.trust[0].algorithms[0]: must be one of"],
    [{ algorithms: [] }, "tokens.trust[0].algorithms: must name at least one"],
    [{ environment: undefined }, "tokens.trust[0].environment: must be one of live, test"],
    [{ scopes: [] }, "tokens.trust[0].scopes: must name at least one scope"],
    [{ scopes: undefined }, "tokens.trust[0].scopes: must be a list"],
    [{ scopes: ["*"] }, "tokens.trust[0].scopes[0]: must be resource:action"],
    [{ plan: "none" }, "tokens.trust[0].plan: must be one of the names under plans"],
    [{ limits: [{ name: "x" }] }, "tokens.trust[0].limits[0].limit: must be a whole number"],
    [{ ttlSeconds: 3_601 }, "tokens.trust[0].ttlSeconds: must be a whole number from 10 to 3600"],
    [{ identity: "branch" }, "tokens.trust[0].identity: must be one of subject, rule"],
    [{ maxIdentities: 0 }, "tokens.trust[0].maxIdentities: must be a whole number"],
    [{ subjects: "x" }, "tokens.trust[0]: has an unknown field subjects"],
  ])("%j is refused at its place", (change, expected) => {
    expect(
      faultsOf(change).some((fault) => fault.startsWith(expected)),
      faultsOf(change).join("\n"),
    ).toBe(true);
  });

  test.each([
    [GITHUB, { subject: "repo:*/api:ref:refs/heads/main" }],
    [GITHUB, { subject: "repo:acme*/api:ref:refs/heads/main" }],
    [GITHUB, { subject: "repo:ac*" }],
    [GITHUB, { subject: undefined, claims: { ref: "refs/heads/main" } }],
    [GITHUB, { subject: undefined, claims: { repository: "acme*" } }],
    [`${GITHUB}/acme-enterprise`, { subject: undefined, claims: { ref: "refs/heads/main" } }],
    ["https://gitlab.com", { subject: "project_path:*/app:ref_type:branch:ref:main" }],
    ["https://agent.buildkite.com", { subject: "organization:*:pipeline:x" }],
    ["https://app.terraform.io", { subject: undefined, claims: { terraform_run_phase: "apply" } }],
    ["https://accounts.google.com", { subject: "1234*" }],
    ["https://accounts.google.com", { subject: undefined, claims: { email: "*@acme.test" } }],
  ])("a rule for %s has to say whose workloads it means: %j does not", (issuer, change) => {
    expect(faultsOf({ issuer, ...change }).join("\n")).toContain("signs for everybody");
  });

  test.each([
    [GITHUB, { subject: "repo:acme/*:ref:refs/heads/main" }],
    [GITHUB, { subject: undefined, claims: { repository_owner_id: "1234", ref: "refs/heads/main" } }],
    [GITHUB, { subject: undefined, claims: { repository: "acme/*", ref: "refs/heads/main" } }],
    ["https://accounts.google.com", { subject: "104857600000000000000" }],
    ["https://accounts.google.com", { subject: undefined, claims: { email: "ci@acme.iam.gserviceaccount.test" } }],
  ])("a rule for %s that does is taken: %j", (issuer, change) => {
    expect(faultsOf({ issuer, ...change })).toEqual([]);
  });

  test("rules are told apart, agree on an issuer's keys, and none stands behind its twin", () => {
    expect(faults([RULE, { ...RULE, subject: "other" }])).toEqual([
      "tokens.trust[1].name: is the name of tokens.trust[0], too",
    ]);
    expect(faults([RULE, { ...RULE, name: "two", subject: "b", jwksUri: "https://k.test/" }])).toEqual([
      "tokens.trust[1]: has other keys for https://issuer.test than tokens.trust[0]: one issuer has one set",
    ]);
    expect(faults([RULE, { ...RULE, name: "two", scopes: ["charges:write"] }])).toEqual([
      "tokens.trust[1]: never matches: tokens.trust[0] asks for the same, and stands before it",
    ]);
  });
});
