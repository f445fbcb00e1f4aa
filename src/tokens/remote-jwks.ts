import { createLocalJWKSet, errors } from "jose";
import type { CryptoKey, JWK, JWSHeaderParameters } from "jose";
import {
  ISSUER_COOL_DOWN_MS,
  ISSUER_KEYS_KEPT_MS,
  ISSUER_KEYS_LATE_MS,
  ISSUER_QUESTIONS_MAX,
  ISSUER_TIMEOUT_MS,
  MAX_ISSUER_ANSWER_BYTES,
  MAX_ISSUER_KEYS,
  MAX_ISSUER_KEYS_TTL_SECONDS,
  MIN_ISSUER_KEYS_TTL_SECONDS,
} from "../constants.ts";
import type { EpochMs } from "../keys/record.ts";
import { sleep } from "../platform/clock.ts";
import { counters } from "../platform/counters.ts";
import { logWarning } from "../platform/log.ts";
import { err, ok } from "../result.ts";
import type { Result } from "../result.ts";
import { fetchJson } from "./bounded-fetch.ts";
import type { Fetch } from "./bounded-fetch.ts";
import type { WaitUntil } from "./token-keys.ts";
import type { Source } from "./trust.ts";

/** One source's public keys as an isolate knows them. */

/** `unknown_key`: the issuer was asked within its bounds, and has no such key. */
export type KeyLookUp = Result<CryptoKey, "unknown_key" | "unavailable">;

/** What a look-up needs of the request that makes it. */
export interface Asking {
  readonly fetch: Fetch;
  readonly now: EpochMs;
  readonly waitUntil: WaitUntil;
}

interface KeySet {
  readonly find: ReturnType<typeof createLocalJWKSet>;
  readonly readAt: EpochMs;
  readonly freshUntil: EpochMs;
}

const BOUNDS = { timeoutMs: ISSUER_TIMEOUT_MS, maxBytes: MAX_ISSUER_ANSWER_BYTES };
/** Discovery and key set, each with its time-out. */
const QUESTION_LIFE_MS = 2 * ISSUER_TIMEOUT_MS;
const LOOK_AGAIN_MS = 50;
const DISCOVERY_PATH = "/.well-known/openid-configuration";
/** Of an RSA modulus of 8,192 bits in base64url, the longest member of a public key. */
const MAX_MEMBER_CHARACTERS = 1_400;

/**
 * Reads, keeps and renews the keys of one issuer. Only settled key sets are shared between requests: whoever finds none asks,
 * and so may a few at once. A token whose key is not known has the issuer asked again, once per cool-down.
 */
export class RemoteJwks {
  readonly #source: Source;
  #keys: KeySet | null = null;
  #askedAt: EpochMs = -Infinity;
  #failedAt: EpochMs = -Infinity;
  /** Questions by number: the last one that was asked, and the last one that came to an end. */
  #asked = 0;
  #answered = 0;
  /** When the latest questions were asked; a request that was cut off never says that its own is over. */
  #questions: readonly EpochMs[] = [];

  constructor(source: Source) {
    this.#source = source;
    if (source.keys.kind !== "inline") return;
    const keys = parseKeySet(source.keys.jwks);
    if (!keys.ok) throw new Error(`the key set of ${source.id} ${keys.error}`);
    this.#keys = { find: createLocalJWKSet({ keys: [...keys.value] }), readAt: Infinity, freshUntil: Infinity };
  }

  async find(header: JWSHeaderParameters, asking: Asking): Promise<KeyLookUp> {
    const keys = await this.#current(asking);
    if (keys === null) return err("unavailable");
    const found = await pick(keys, header);
    if (found !== null) return ok(found);
    if (this.#source.keys.kind === "inline") return err("unknown_key");
    // It may be newer than what is known here.
    const renewed = await this.#renewed(asking);
    if (renewed === null) return err("unavailable");
    const newer = await pick(renewed, header);
    return newer === null ? err("unknown_key") : ok(newer);
  }

  /** What may be used now. `null`: there is nothing, or nothing young enough, and the issuer does not answer. */
  async #current(asking: Asking): Promise<KeySet | null> {
    const { now, waitUntil } = asking;
    const keys = this.#usable(now);
    if (keys !== null && now < keys.freshUntil) return keys;
    // Without keys each request may ask, up to a few at once, but for a while after a failure nobody does.
    if (keys === null) return await this.#first(asking);
    if (this.#isCooling(now)) return keys;
    if (now < keys.freshUntil + ISSUER_KEYS_LATE_MS) {
      waitUntil(this.#ask(asking));
      return keys;
    }
    // Long out of date: an issuer that answers has the first word, one that does not costs its time-out once per cool-down.
    return (await this.#ask(asking)) ?? this.#usable(now);
  }

  /** As the issuer said last, within a cool-down; `null`: it does not answer. */
  async #renewed(asking: Asking): Promise<KeySet | null> {
    const { now } = asking;
    if (!this.#isCooling(now)) return await this.#ask(asking);
    // Another request's question: all that come with an issuer's new key come at once.
    const awaited = this.#asked;
    const until = this.#askedAt + QUESTION_LIFE_MS;
    for (let at = now; this.#answered < awaited && at < until; at += LOOK_AGAIN_MS) await sleep(LOOK_AGAIN_MS);
    return this.#failedAt >= this.#askedAt || this.#answered < awaited ? null : this.#usable(now);
  }

  #usable(now: EpochMs): KeySet | null {
    return this.#keys !== null && now < this.#keys.readAt + ISSUER_KEYS_KEPT_MS ? this.#keys : null;
  }

  #isCooling(now: EpochMs): boolean {
    return now < this.#askedAt + ISSUER_COOL_DOWN_MS;
  }

  /**
   * Without keys each request may ask for itself, up to a few at once; the others look again and again whether an answer has come
   * in, since they cannot wait for one that is another request's. For a while after a failure nobody asks.
   */
  async #first(asking: Asking): Promise<KeySet | null> {
    const { now } = asking;
    for (let waitedMs = 0; now >= this.#failedAt + ISSUER_COOL_DOWN_MS; waitedMs += LOOK_AGAIN_MS) {
      const keys = this.#usable(now);
      if (keys !== null) return keys;
      const underWay = this.#questions.filter((at) => now < at + QUESTION_LIFE_MS);
      if (underWay.length < ISSUER_QUESTIONS_MAX) return await this.#ask(asking);
      if (waitedMs >= QUESTION_LIFE_MS) return null;
      await sleep(LOOK_AGAIN_MS);
    }
    return null;
  }

  /** The answer stands in `#keys` for all, unless a later one came in before. Never throws. */
  async #ask({ fetch, now }: Asking): Promise<KeySet | null> {
    this.#askedAt = now;
    const question = ++this.#asked;
    this.#questions = [...this.#questions, now].slice(-ISSUER_QUESTIONS_MAX);
    counters.issuerCalls++;
    const answer = await readKeys(this.#source, fetch);
    this.#answered = Math.max(this.#answered, question);
    if (!answer.ok) {
      counters.issuerFailures++;
      logWarning("the keys of a trusted issuer cannot be read", { issuer: this.#source.id, reason: answer.error });
      this.#failedAt = now;
      return null;
    }
    const { find, ttlSeconds } = answer.value;
    const keys = { find, readAt: now, freshUntil: now + ttlSeconds * 1_000 };
    if (this.#keys === null || this.#keys.readAt <= now) this.#keys = keys;
    return keys;
  }
}

async function pick({ find }: KeySet, header: JWSHeaderParameters): Promise<CryptoKey | null> {
  try {
    // The header's own `jwk`, `jku` and `x5u` are not looked at.
    return await find({ alg: header.alg ?? "", ...(header.kid === undefined ? {} : { kid: header.kid }) });
  } catch (error) {
    // None that fits, several and no `kid` to tell them apart, or one that is no key: none of them verifies anything.
    if (error instanceof errors.JOSEError || error instanceof TypeError || error instanceof DOMException) return null;
    throw error;
  }
}

interface ReadKeys {
  readonly find: KeySet["find"];
  readonly ttlSeconds: number;
}

async function readKeys(source: Source, fetch: Fetch): Promise<Result<ReadKeys, string>> {
  const uri = await findUri(source, fetch);
  if (!uri.ok) return uri;
  const answer = await fetchJson(fetch, uri.value, BOUNDS);
  if (!answer.ok) return err(`its key set ${answer.error}`);
  const keys = parseKeySet(answer.value.body);
  if (!keys.ok) return err(`its key set ${keys.error}`);
  const maxAge = answer.value.maxAgeSeconds ?? MIN_ISSUER_KEYS_TTL_SECONDS;
  const ttlSeconds = Math.min(Math.max(maxAge, MIN_ISSUER_KEYS_TTL_SECONDS), MAX_ISSUER_KEYS_TTL_SECONDS);
  return ok({ find: createLocalJWKSet({ keys: [...keys.value] }), ttlSeconds });
}

/** OpenID Connect Discovery 1.0 §4.3: the document's `issuer` is the one that was asked, to the character. */
async function findUri({ keys }: Source, fetch: Fetch): Promise<Result<string, string>> {
  if (keys.kind !== "discovery") return keys.kind === "uri" ? ok(keys.uri) : err("is given inline");
  const answer = await fetchJson(fetch, keys.issuer.replace(/\/$/, "") + DISCOVERY_PATH, BOUNDS);
  if (!answer.ok) return err(`its configuration ${answer.error}`);
  const { body } = answer.value;
  if (typeof body !== "object" || body === null || !("issuer" in body) || body.issuer !== keys.issuer) {
    return err("its configuration is for another issuer");
  }
  const uri = "jwks_uri" in body && typeof body.jwks_uri === "string" ? URL.parse(body.jwks_uri) : null;
  // As safe as the issuer: plain HTTP only where the issuer itself is plain, which the configuration allows on this machine alone.
  const plain =
    uri?.protocol === "http:" && uri.hostname === new URL(keys.issuer).hostname && keys.issuer.startsWith("http:");
  if (uri === null || !(uri.protocol === "https:" || plain)) return err("its configuration names no https jwks_uri");
  return ok(uri.href);
}

/**
 * Public keys that could verify something, each reduced to what makes it one. Secrets and private keys among them are passed
 * over, and so are a SPIFFE bundle's certificates (`use: "x509-svid"`); its `jwt-svid` keys are for signatures.
 */
export function parseKeySet(body: unknown): Result<readonly JWK[], string> {
  const keys: unknown = typeof body === "object" && body !== null && "keys" in body ? body.keys : null;
  if (!Array.isArray(keys)) return err("is none");
  if (keys.length > MAX_ISSUER_KEYS) return err(`has more than ${MAX_ISSUER_KEYS} keys`);
  return ok(keys.flatMap((key: unknown) => parseKey(key) ?? []));
}

const MEMBERS = ["kty", "kid", "alg", "crv", "n", "e", "x", "y"] as const;

function parseKey(key: unknown): JWK | null {
  if (typeof key !== "object" || key === null || "d" in key || "k" in key) return null;
  const use: unknown = "use" in key ? key.use : undefined;
  if (use !== undefined && use !== "sig" && use !== "jwt-svid") return null;
  const members = MEMBERS.flatMap((name): [string, string][] => {
    const value: unknown = Reflect.get(key, name);
    return typeof value === "string" && value.length <= MAX_MEMBER_CHARACTERS ? [[name, value]] : [];
  });
  const { kty, ...rest } = Object.fromEntries(members);
  return kty === "RSA" || kty === "EC" || kty === "OKP" ? { kty, ...rest } : null;
}
