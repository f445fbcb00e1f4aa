import { Buffer } from "node:buffer";
import { SIGNATURE_KEY_CACHE_ENTRIES } from "../constants.ts";
import type { KeyId, SignaturePolicy } from "../keys/record.ts";
import { importVerifyingKey, type SignatureKey } from "./algorithms.ts";
import { type DeploymentSecrets, signingSecrets } from "./signing-secret.ts";

/** What signatures of keys are verified with, kept ready in the isolate: a warm request derives and imports nothing. */
export class SignatureKeys {
  readonly #secrets: DeploymentSecrets;
  readonly #known = new Map<string, readonly SignatureKey[]>();

  constructor(secrets: DeploymentSecrets) {
    this.#secrets = secrets;
  }

  /** Empty where the policy wants HMAC and the deployment has no secret, or where the public key is none. */
  async of(keyId: KeyId, policy: SignaturePolicy): Promise<readonly SignatureKey[]> {
    const name = `${keyId} ${policy.algorithm} ${policy.publicKey ?? ""}`;
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const made = await this.#make(keyId, policy);
    if (made.length === 0) return made;
    if (this.#known.size >= SIGNATURE_KEY_CACHE_ENTRIES) {
      const [oldest = ""] = this.#known.keys();
      this.#known.delete(oldest);
    }
    this.#known.set(name, made);
    return made;
  }

  async #make(keyId: KeyId, { algorithm, publicKey }: SignaturePolicy): Promise<readonly SignatureKey[]> {
    if (algorithm === "hmac-sha256") {
      const secrets = await signingSecrets(keyId, this.#secrets);
      return await Promise.all(secrets.map((secret) => importVerifyingKey(algorithm, secret)));
    }
    try {
      return [await importVerifyingKey(algorithm, new Uint8Array(Buffer.from(publicKey ?? "", "base64url")))];
    } catch {
      return [];
    }
  }
}
