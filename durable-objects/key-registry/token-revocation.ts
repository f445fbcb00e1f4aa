import { MAX_REVOKED_TOKENS, TOKEN_SKEW_SECONDS } from "../../src/constants.ts";
import type { EpochMs, KeyId, RevokedToken } from "../../src/keys/record.ts";
import { ok } from "../../src/result.ts";
import type { Result } from "../../src/result.ts";
import type { KeyRecord, RegistryError, TokenRevocation } from "./api.ts";
import { checkGeneration, fail } from "./change.ts";
import type { Change } from "./change.ts";
import { toKeyRecord } from "./edge-record.ts";
import type { StoredKey } from "./stored-key.ts";

/**
 * Tokens that end before their time. What is revoked stands in the key's record and goes the way of every change to a key: to its
 * meter first, and with the next lease to every isolate. The list is short: tokens live an hour at most, and what has expired is
 * left out. Should it run over, all tokens of the key are dead: those who hold one mint another.
 */
export function revokeTokens(
  change: Change,
  id: KeyId,
  { token, root }: TokenRevocation,
): Result<KeyRecord, RegistryError> {
  const key = change.parts.keys.byId(id);
  if (key === null) return fail("not_found", "No such key.");
  if (key.state === "revoked") return ok(toKeyRecord(change.keepKey(key), change.now));
  const lost = checkGeneration(change.context, key);
  if (lost !== null) return lost;
  const live = stillLive(key, change.now);
  const isFull = live.length >= MAX_REVOKED_TOKENS;
  // Who holds one token can derive many: they end with the one that they came from, and not with everybody's.
  if (token !== null && isFull && root !== null && live.length < 2 * MAX_REVOKED_TOKENS)
    return revokeOne(change, key, live, root);
  if (token === null || isFull) {
    return ok(toKeyRecord(change.replaceKey(key, revokeAll(key, change.now), "key.revoke_tokens", null), change.now));
  }
  return revokeOne(change, key, live, token);
}

function revokeOne(
  change: Change,
  key: StoredKey,
  live: readonly RevokedToken[],
  token: RevokedToken,
): Result<KeyRecord, RegistryError> {
  const isDead = live.some(({ jti }) => jti === token.jti) || token.expiresAt <= change.now;
  if (isDead) return ok(toKeyRecord(change.keepKey(key), change.now));
  const next = { ...key, revokedTokens: [...live, token] };
  return ok(toKeyRecord(change.replaceKey(key, next, "token.revoke", token.jti), change.now));
}

function stillLive({ revokedTokens = [] }: StoredKey, now: EpochMs): readonly RevokedToken[] {
  return revokedTokens.filter(({ expiresAt }) => expiresAt + TOKEN_SKEW_SECONDS * 1_000 > now);
}

function revokeAll(key: StoredKey, now: EpochMs): StoredKey {
  const { revokedTokens: _, ...rest } = key;
  return { ...rest, tokensRevokedAt: now };
}
