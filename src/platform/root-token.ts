import { createHash, timingSafeEqual } from "node:crypto";
import { MIN_ROOT_TOKEN_CHARACTERS } from "../constants.ts";

/** The token that bootstraps an install. Its digest alone is kept; absent, or too short to be a secret, there is no root. */
export class RootToken {
  readonly #digest: Buffer | null;

  constructor(token: string | undefined) {
    this.#digest = token === undefined || token.length < MIN_ROOT_TOKEN_CHARACTERS ? null : sha256(token);
  }

  /** Digests have one length, and say nothing of where two tokens differ. */
  matches(presented: string): boolean {
    return this.#digest !== null && timingSafeEqual(sha256(presented), this.#digest);
  }

  /** Tells one token from the next, for sessions that began with it, and cannot be presented in its place; `null` without root. */
  get mark(): string | null {
    return this.#digest === null
      ? null
      : sha256(`latchkey/mark/${this.#digest.toString("base64url")}`).toString("base64url");
  }
}

function sha256(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
