import type { Candidate } from "../candidate.ts";
import { NGINX } from "./nginx.ts";
import { BETTER_AUTH, FASTIFY } from "./node.ts";
import { candidatesOf } from "./peer.ts";

/** Other people's key checks, each over the same origin as its own documentation configures it, each after its own floor. */
export const PEERS: readonly Candidate[] = [BETTER_AUTH, FASTIFY, NGINX].flatMap(candidatesOf);
