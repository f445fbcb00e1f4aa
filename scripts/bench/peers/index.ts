import type { Candidate } from "../candidate.ts";

/** Other people's key checks, each over the same origin as its own documentation configures it. */
export const PEERS: readonly Candidate[] = [];
