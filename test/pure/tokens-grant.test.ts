import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MAX_TOKEN_HOPS, MAX_TOKEN_TTL_SECONDS } from "../../src/constants.ts";
import { covers } from "../../src/keys/scopes.ts";
import type { TokenClaims } from "../../src/tokens/claims.ts";
import { grant, type GrantInput } from "../../src/tokens/grant.ts";
import { isOver, isRevoked, narrow, toVerifiedToken } from "../../src/tokens/verified-token.ts";
import { proxyRecord } from "../support/proxy-record.ts";

/** What an exchange may come to: never more than the subject has, at any hop. */

const NOW = 1_800_000_000_500;
const SCOPES = ["charges:read", "charges:write", "charges:*", "reports:read", "reports:*", "a:b"] as const;
const scopes = fc.uniqueArray(fc.constantFrom(...SCOPES), { minLength: 1, maxLength: 5 });

function ask(over: Partial<GrantInput> = {}): GrantInput {
  return {
    record: proxyRecord({ scopes: ["charges:*", "reports:read"], expiresAt: null, notAfter: null }),
    token: null,
    issuer: "https://api.example.com",
    audience: "demo",
    scope: null,
    defaultTtlSeconds: null,
    ttlSeconds: null,
    actor: null,
    jti: "tok_1",
    now: NOW,
    ...over,
  };
}

function granted(over: Partial<GrantInput> = {}): TokenClaims {
  const result = grant(ask(over));
  if (!result.ok) throw new Error(result.error);
  return result.value;
}

describe("scopes", () => {
  it("never grow, whatever is asked, over any number of hops", () => {
    fc.assert(
      fc.property(scopes, fc.array(fc.option(scopes), { maxLength: MAX_TOKEN_HOPS + 2 }), (held, hops) => {
        const parent = proxyRecord({ scopes: held });
        let token: GrantInput["token"] = null;
        for (const hop of hops) {
          const record = token === null ? parent : narrow(token, parent);
          const before = record.scopes;
          const result = grant(ask({ record, token, scope: hop === null ? null : hop.join(" ") }));
          if (!result.ok) continue;
          const after = result.value.scope === "" ? [] : result.value.scope.split(" ");
          expect(covers(before, after)).toBe(true);
          expect(covers(held, after)).toBe(true);
          token = toVerifiedToken(result.value, "kid");
        }
      }),
    );
  });

  it.each(["charges:read other:read", "*", "", "charges:read\nreports:read", "CHARGES:READ", "charges:**"])(
    "that are not held, or are none, are refused: %j",
    (scope) => {
      expect(grant(ask({ scope }))).toEqual({ ok: false, error: "invalid_scope" });
    },
  );

  it("of a wildcard may be narrowed to what it covers", () => {
    expect(granted({ scope: "charges:read" }).scope).toBe("charges:read");
  });

  it("that the parent has lost since, its tokens have lost too", () => {
    const token = toVerifiedToken(granted(), "kid");
    expect(narrow(token, proxyRecord({ scopes: ["charges:read"] })).scopes).toEqual(["charges:read"]);
    expect(narrow(token, proxyRecord({ scopes: ["other:read"] })).scopes).toEqual([]);
  });

  it("that the parent has gained since, its tokens have not", () => {
    const token = toVerifiedToken(granted({ scope: "charges:read" }), "kid");
    const record = proxyRecord({ scopes: ["charges:*", "reports:*", "a:b"] });
    expect(narrow(token, record).scopes).toEqual(["charges:read"]);
  });
});

describe("the end of a token", () => {
  it("is never later than its policy, the most, its parent's deadlines and the token that it came from", () => {
    const moment = fc.option(fc.integer({ min: NOW + 2_000, max: NOW + 9_000_000 }));
    const seconds = fc.option(fc.integer({ min: 1, max: 2 * MAX_TOKEN_TTL_SECONDS }));
    fc.assert(
      fc.property(moment, moment, seconds, seconds, seconds, (expiresAt, notAfter, policySeconds, rule, usual) => {
        const policy = policySeconds === null ? {} : { tokenTtlSeconds: policySeconds };
        const record = proxyRecord({ expiresAt, notAfter, policy });
        const claims = granted({ record, ttlSeconds: rule, defaultTtlSeconds: usual });
        expect(claims.exp * 1_000).toBeLessThanOrEqual(Math.min(expiresAt ?? Infinity, notAfter ?? Infinity));
        expect(claims.exp - claims.iat).toBeLessThanOrEqual(MAX_TOKEN_TTL_SECONDS);
        expect(claims.exp - claims.iat).toBeLessThanOrEqual(policySeconds ?? rule ?? usual ?? 300);
        const next = granted({ record, token: toVerifiedToken(claims, "kid"), ttlSeconds: MAX_TOKEN_TTL_SECONDS });
        expect(next.exp).toBeLessThanOrEqual(claims.exp);
      }),
    );
  });

  it("is no token where the subject ends within the second", () => {
    const record = proxyRecord({ expiresAt: NOW + 400 });
    expect(grant(ask({ record }))).toEqual({ ok: false, error: "too_late" });
  });

  it("comes at exp and a small skew", () => {
    const token = toVerifiedToken(granted(), "kid");
    expect(isOver(token, token.expiresAt)).toBe(false);
    expect(isOver(token, token.expiresAt + 5_000)).toBe(true);
  });
});

describe("who acts", () => {
  it("is the outermost, and whoever acted before stays within", () => {
    const first = granted({ actor: { sub: "one", client_id: "key_1" } });
    const second = granted({ token: toVerifiedToken(first, "kid"), actor: { sub: "two", client_id: "key_2" } });
    expect(second.act).toEqual({ sub: "two", client_id: "key_2", act: { sub: "one", client_id: "key_1" } });
    expect(second.sub).toBe(first.sub);
  });

  it("is kept by a hop that names nobody", () => {
    const first = granted({ actor: { sub: "one", client_id: "key_1" } });
    expect(granted({ token: toVerifiedToken(first, "kid") }).act).toEqual({ sub: "one", client_id: "key_1" });
  });

  it("does not go on for ever", () => {
    let token: GrantInput["token"] = null;
    for (let hop = 0; hop <= MAX_TOKEN_HOPS; hop++)
      token = toVerifiedToken(granted({ token, jti: `tok_${hop}` }), "kid");
    expect(grant(ask({ token }))).toEqual({ ok: false, error: "too_many_hops" });
  });
});

describe("a revocation", () => {
  const parentToken = toVerifiedToken(granted({ jti: "tok_parent" }), "kid");
  const child = toVerifiedToken(granted({ token: parentToken, jti: "tok_child" }), "kid");
  const revoked = (jti: string) => proxyRecord({ revokedTokens: [{ jti, expiresAt: NOW + 300_000 }] });

  it("ends the token and whatever was derived from it, and nothing else", () => {
    expect(isRevoked(parentToken, revoked("tok_parent"))).toBe(true);
    expect(isRevoked(child, revoked("tok_parent"))).toBe(true);
    expect(isRevoked(parentToken, revoked("tok_child"))).toBe(false);
    expect(isRevoked(child, revoked("tok_other"))).toBe(false);
  });

  it("of all of a key's tokens ends those that were minted until then", () => {
    expect(isRevoked(parentToken, proxyRecord({ tokensRevokedAt: NOW }))).toBe(true);
    expect(isRevoked(parentToken, proxyRecord({ tokensRevokedAt: NOW - 1_000 }))).toBe(false);
  });

  it("of all of them ends what was derived from them later, at any hop", () => {
    const later = granted({ token: parentToken, now: NOW + 5_000 });
    const latest = granted({ token: toVerifiedToken(later, "kid"), now: NOW + 9_000 });
    for (const claims of [later, latest])
      expect(isRevoked(toVerifiedToken(claims, "kid"), proxyRecord({ tokensRevokedAt: NOW + 2_000 }))).toBe(true);
  });
});
