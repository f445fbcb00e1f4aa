import type { EdgeRecord } from "../keys/record.ts";
import type { Result } from "../result.ts";
import type { ActorClaim } from "./claims.ts";
import type { TokenKeys, WaitUntil } from "./token-keys.ts";

/**
 * What Latchkey says to an origin of one request that it lets through, signed by the key that signs tokens: an origin that asks for it
 * refuses whoever came around Latchkey. Its `typ` tells it from an access token (RFC 8725 §3.11), which has the same audience.
 */
export const ASSERTION_TYPE = "latchkey-assertion+jwt";
export const ASSERTION_HEADER = "x-latchkey-assertion";

export interface AssertedRequest {
  readonly issuer: string;
  /** The upstream's. */
  readonly audience: string;
  readonly ttlSeconds: number;
  readonly requestId: string;
  readonly record: EdgeRecord;
  /** RFC 8693 §4.1, of a token that was presented in the key's place. */
  readonly act?: ActorClaim | undefined;
  /** As the client sent them. */
  readonly method: string;
  readonly url: string;
  /** Epoch ms. */
  readonly now: number;
}

export interface AssertionClaims {
  readonly iss: string;
  /** The key's owner. */
  readonly sub: string;
  readonly aud: string;
  readonly iat: number;
  readonly exp: number;
  /** The request's id: an origin that remembers it for the lifetime takes each assertion once. */
  readonly jti: string;
  /** The key's id. */
  readonly client_id: string;
  /** Space-separated. */
  readonly scope: string;
  readonly lk_workspace: string;
  readonly lk_lineage: string;
  readonly lk_environment: string;
  readonly lk_plan?: string;
  readonly act?: ActorClaim;
  /** As in RFC 9449 §4.2: the method, and the URL without query and fragment. */
  readonly htm: string;
  readonly htu: string;
}

export function assertionClaims({ record, act, now, ...request }: AssertedRequest): AssertionClaims {
  const iat = Math.floor(now / 1_000);
  return {
    iss: request.issuer,
    sub: record.owner,
    aud: request.audience,
    iat,
    exp: iat + request.ttlSeconds,
    jti: request.requestId,
    client_id: record.id,
    scope: record.scopes.join(" "),
    lk_workspace: record.workspace,
    lk_lineage: record.lineageId,
    lk_environment: record.environment,
    ...(record.plan === null ? {} : { lk_plan: record.plan }),
    ...(act === undefined ? {} : { act }),
    htm: request.method,
    htu: withoutQuery(request.url),
  };
}

export async function signAssertion(
  request: AssertedRequest,
  keys: TokenKeys,
  waitUntil: WaitUntil,
): Promise<Result<string, "unavailable">> {
  return await keys.sign(ASSERTION_TYPE, { ...assertionClaims(request) }, waitUntil);
}

function withoutQuery(url: string): string {
  const end = url.search(/[?#]/);
  return end < 0 ? url : url.slice(0, end);
}
