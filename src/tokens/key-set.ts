import { importJWK, importPKCS8, type JSONWebKeySet, type JWTPayload, SignJWT } from "jose";
import type { KeySetCopy, PublishedKey, SigningPolicy } from "../../durable-objects/signing-keys/api.ts";
import {
  SIGNING_GRACE_MS,
  SIGNING_KEYS_KNOWN_MS,
  SIGNING_KEYS_RENEW_AHEAD_MS,
  SIGNING_UNREACHABLE_MEMORY_MS,
  UNKNOWN_KID_PAUSE_MS,
} from "../constants.ts";
import { logError } from "../platform/log.ts";
import { err, ok, type Result } from "../result.ts";
import type { SigningAlgorithm, TokenKeys, VerificationKey, WaitUntil } from "./token-keys.ts";

/** Asks for a copy: the replica nearby, or home. Throws when neither can tell. */
export type AskForKeys = (policy: SigningPolicy, fresh: boolean) => Promise<KeySetCopy>;

interface Signer {
  readonly kid: string;
  readonly alg: SigningAlgorithm;
  /** Not extractable. */
  readonly key: CryptoKey;
}

interface Known {
  readonly version: number;
  readonly keys: ReadonlyMap<string, VerificationKey>;
  readonly signer: Signer | null;
  readonly published: JSONWebKeySet;
  readonly askedAt: number;
  readonly validUntil: number;
}

/**
 * An isolate's copy of the signing keys. A warm call finds a copy that stands and waits for nothing; the copy is renewed in the
 * background ahead of its end by whoever uses it. Only settled values are shared between requests.
 */
export class KeySet implements TokenKeys {
  readonly #ask: AskForKeys;
  readonly #policy: SigningPolicy;
  #known: Known | null = null;
  /** Nobody can be asked, as a request found out a moment ago. */
  #unreachableUntil = 0;
  /** A renewal is on its way; past this moment it was cut off with its request. */
  #renewingUntil = 0;
  #unknownUntil = 0;

  constructor(ask: AskForKeys, policy: SigningPolicy) {
    this.#ask = ask;
    this.#policy = policy;
  }

  stands(kid: string, now: number, waitUntil: WaitUntil): boolean | null {
    const known = this.#known;
    if (known === null) return null;
    if (isStanding(known, now)) {
      this.#renewAhead(known, now, waitUntil);
      return known.keys.has(kid);
    }
    // A set that has lapsed cannot say that a key is not there.
    return this.#mayGoOn(known, now) && known.keys.has(kid) ? true : null;
  }

  async find(kid: string, waitUntil: WaitUntil): Promise<Result<VerificationKey | null, "unavailable">> {
    const known = await this.#current(waitUntil);
    if (known === null) return err("unavailable");
    const found = known.keys.get(kid);
    if (found !== undefined) return ok(found);
    const now = Date.now();
    if (!isStanding(known, now)) return err("unavailable");
    // Anyone can make up a name: it may be new since the copy was made, which is looked up at a bounded rate.
    if (now < this.#unknownUntil) return ok(null);
    this.#unknownUntil = now + UNKNOWN_KID_PAUSE_MS;
    const asked = await this.#askNow(true);
    return asked === null ? err("unavailable") : ok(asked.keys.get(kid) ?? null);
  }

  async sign(typ: string, claims: JWTPayload, waitUntil: WaitUntil): Promise<Result<string, "unavailable">> {
    const known = await this.#current(waitUntil);
    if (known === null || known.signer === null) return err("unavailable");
    const now = Date.now();
    if (now < known.askedAt || now >= known.validUntil + SIGNING_GRACE_MS) return err("unavailable");
    const { kid, alg, key } = known.signer;
    return ok(await new SignJWT(claims).setProtectedHeader({ alg, kid, typ }).sign(key));
  }

  async published(waitUntil: WaitUntil): Promise<Result<JSONWebKeySet, "unavailable">> {
    const known = await this.#current(waitUntil);
    return known === null ? err("unavailable") : ok(known.published);
  }

  /** A copy that stands, or else the last one for as long as known keys may go on; `null` where there is none. */
  async #current(waitUntil: WaitUntil): Promise<Known | null> {
    const now = Date.now();
    const known = this.#known;
    if (known !== null && isStanding(known, now)) {
      this.#renewAhead(known, now, waitUntil);
      return known;
    }
    if (now < this.#unreachableUntil) return this.#lastKnown(now);
    return (await this.#askNow(false)) ?? this.#lastKnown(Date.now());
  }

  #lastKnown(now: number): Known | null {
    return this.#known !== null && isRemembered(this.#known, now) ? this.#known : null;
  }

  #mayGoOn(known: Known, now: number): boolean {
    return now < this.#unreachableUntil && isRemembered(known, now);
  }

  #renewAhead(known: Known, now: number, waitUntil: WaitUntil): void {
    if (known.validUntil - now >= SIGNING_KEYS_RENEW_AHEAD_MS) return;
    if (now < this.#renewingUntil || now < this.#unreachableUntil) return;
    this.#renewingUntil = known.validUntil;
    waitUntil(this.#askNow(false));
  }

  /** Never rejects; `null` when nobody could tell. */
  async #askNow(fresh: boolean): Promise<Known | null> {
    const askedAt = Date.now();
    try {
      return await this.#take(await this.#ask(this.#policy, fresh), askedAt);
    } catch (error) {
      logError(error, { part: "signing-keys" });
      this.#unreachableUntil = Date.now() + SIGNING_UNREACHABLE_MEMORY_MS;
      return null;
    }
  }

  async #take(copy: KeySetCopy, askedAt: number): Promise<Known> {
    const [keys, signer] = await Promise.all([this.#import(copy.keys), this.#importSigner(copy.signing)]);
    const made: Known = {
      version: copy.version,
      keys,
      signer,
      published: { keys: copy.keys.map(({ jwk }) => ({ ...jwk })) },
      askedAt,
      validUntil: askedAt + copy.validForMs,
    };
    const known = this.#known;
    // Answers may overtake each other: an older set does not replace a newer one.
    if (known !== null && known.version > made.version && known.askedAt <= Date.now()) return known;
    this.#known = made;
    this.#unreachableUntil = 0;
    return made;
  }

  /** Each key once: most copies hold the keys of the one before. */
  async #import(keys: readonly PublishedKey[]): Promise<ReadonlyMap<string, VerificationKey>> {
    const entries = keys.map(async ({ kid, alg, jwk }): Promise<[string, VerificationKey]> => {
      const known = this.#known?.keys.get(kid);
      if (known !== undefined) return [kid, known];
      const key = await importJWK({ ...jwk }, alg);
      if (key instanceof Uint8Array) throw new TypeError("a signing key is never symmetric");
      return [kid, { key, alg }];
    });
    return new Map(await Promise.all(entries));
  }

  async #importSigner(signing: KeySetCopy["signing"]): Promise<Signer | null> {
    if (signing === null) return null;
    const { kid, alg, pkcs8 } = signing;
    const known = this.#known?.signer;
    if (known?.kid === kid) return known;
    return { kid, alg, key: await importPKCS8(pemOf(pkcs8), alg, { extractable: false }) };
  }
}

/** By a clock that was set back nothing stands. */
function isStanding({ askedAt, validUntil }: Known, now: number): boolean {
  return askedAt <= now && now < validUntil;
}

function isRemembered({ askedAt, validUntil }: Known, now: number): boolean {
  return askedAt <= now && now < validUntil + SIGNING_KEYS_KNOWN_MS;
}

/** `jose` reads PKCS #8 from PEM (RFC 7468) and nothing else. */
function pemOf(pkcs8: ArrayBuffer): string {
  return `-----BEGIN PRIVATE KEY-----\n${Buffer.from(pkcs8).toString("base64")}\n-----END PRIVATE KEY-----`;
}
