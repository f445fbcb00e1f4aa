import { generateKeyPair, SignJWT } from "jose";
import { describe, expect, test, vi } from "vitest";
import { TOKEN_SKEW_SECONDS } from "../../src/constants.ts";
import { findToken, type TokenParts } from "../../src/gateway/token-subject.ts";
import { digestKey } from "../../src/keys/digest.ts";
import { TokenCache } from "../../src/tokens/token-cache.ts";
import type { TokenKeys } from "../../src/tokens/token-keys.ts";
import type { VerifiedToken } from "../../src/tokens/verified-token.ts";

/** What an isolate does with a token that it may have verified before, with keys that a test plays. */

const KID = "k1";
const { privateKey, publicKey } = await generateKeyPair("ES256");

async function mint(): Promise<string> {
  const iat = Math.floor(Date.now() / 1_000);
  const whose = { lk_workspace: "default", lk_lineage: "lin_1", lk_environment: "live", client_id: "key_1", scope: "" };
  const claims = { iss: "https://api.test", sub: "acme", aud: "api", jti: "tok_1", iat, exp: iat + 60, ...whose };
  return await new SignJWT(claims).setProtectedHeader({ alg: "ES256", kid: KID, typ: "at+jwt" }).sign(privateKey);
}

function isolate() {
  const keys = {
    stands: vi.fn<TokenKeys["stands"]>(() => true),
    find: vi.fn<TokenKeys["find"]>(() => Promise.resolve({ ok: true, value: { key: publicKey, alg: "ES256" } })),
  };
  const cache = new TokenCache();
  const get = vi.spyOn(cache, "get");
  // Neither signs nor publishes here.
  const parts: TokenParts = { keys: keys as unknown as TokenKeys, cache, issuer: null };
  /** As `check` asks. */
  const find = async (token: string, known = cache.get(digestKey(token))) =>
    await findToken({ presentedKey: token, waitUntil: () => undefined }, digestKey(token), known, parts);
  return { keys, cache, get, find };
}

async function verified(find: ReturnType<typeof isolate>["find"], token: string): Promise<VerifiedToken> {
  const found = await find(token);
  if (!found.ok) throw new Error(found.error);
  return found.value;
}

describe("a token", () => {
  test("is verified once; then it is looked up once a request, and nothing is asked of the keys but whether its own stands", async () => {
    const { keys, get, find } = isolate();
    const token = await mint();
    const first = await verified(find, token);
    get.mockClear();
    for (let request = 0; request < 10; request++) expect(await verified(find, token)).toBe(first);
    expect(get).toHaveBeenCalledTimes(10);
    expect(keys.find).toHaveBeenCalledTimes(1);
    expect(keys.stands).toHaveBeenCalledTimes(10);
  });

  test("that has ended is forgotten, skew and all", async () => {
    const { cache, find } = isolate();
    const token = await mint();
    const known = await verified(find, token);
    const over = { ...known, expiresAt: Date.now() - TOKEN_SKEW_SECONDS * 1_000 };
    cache.put(digestKey(token), over);
    expect(await find(token)).toEqual({ ok: false, error: "token_expired" });
    expect(cache.get(digestKey(token))).toBeNull();
    const nearly = { ...known, expiresAt: over.expiresAt + 60_000 };
    expect(await find(token, nearly)).toEqual({ ok: true, value: nearly });
  });

  test("whose key does not stand, or of which nobody can tell, is verified anew, and forgotten where that fails", async () => {
    const { keys, cache, find } = isolate();
    const token = await mint();
    await verified(find, token);
    keys.stands.mockReturnValue(null);
    expect((await find(token)).ok).toBe(true);
    expect(keys.find).toHaveBeenCalledTimes(2);
    keys.stands.mockReturnValue(false);
    keys.find.mockResolvedValue({ ok: true, value: null });
    expect(await find(token)).toEqual({ ok: false, error: "token_invalid" });
    expect(cache.get(digestKey(token))).toBeNull();
  });
});
