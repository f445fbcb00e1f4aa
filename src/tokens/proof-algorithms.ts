/**
 * Of DPoP proofs: signatures by a private key alone (RFC 9449 §11.6). Named in metadata and in challenges. `EdDSA` is the older name of
 * `Ed25519` (RFC 9864).
 */
export const PROOF_ALGORITHMS: readonly string[] = ["ES256", "ES384", "Ed25519", "EdDSA", "PS256", "RS256"];
