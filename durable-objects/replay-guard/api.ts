/** What a replay guard is asked and answers: plain data, over RPC. */

export interface ProofUse {
  /** Names the proof: the same for the same proof, and for no other one. At most `MAX_REPLAY_ID_CHARACTERS`. */
  readonly id: string;
  /** When the client says that it made the proof: seconds since the epoch, as in the proof. */
  readonly iat: number;
  /** The proof's `nonce`; `null`: it has none. */
  readonly nonce: string | null;
}

export type ProofUseAnswer =
  /** It was used by nobody before, and now it is. */
  | { readonly outcome: "fresh" }
  | { readonly outcome: "replayed" }
  /** Whether it was used before cannot be told: make one with this nonce. */
  | { readonly outcome: "nonce"; readonly nonce: string }
  /** Its time is too far from now, by the guard's clock. */
  | { readonly outcome: "stale" }
  /** As many were used in the window as the guard can remember. */
  | { readonly outcome: "overloaded" };

export interface SignatureUse {
  readonly id: string;
  /** `created` of the signature: seconds since the epoch. */
  readonly created: number;
}

/** As of proofs; a signature cannot be asked for with a nonce of ours. */
export type SignatureUseAnswer = Exclude<ProofUseAnswer, { readonly outcome: "nonce" }>;
