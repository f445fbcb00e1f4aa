import { compactVerify } from "jose";
import {
  MAX_PROOF_CHARACTERS,
  MAX_PROOF_ID_CHARACTERS,
  MAX_PROOF_NONCE_CHARACTERS,
  PROOF_WINDOW_SECONDS,
} from "../constants.ts";
import { digestKey } from "../keys/digest.ts";
import { err, ok, type Result } from "../result.ts";
import { type ProofKey, readProofKey, rememberProofKey } from "./proof-key.ts";

/** DPoP proofs (RFC 9449 §4): that whoever sends a request holds a private key. Whether a proof was used before: `use-proof.ts`. */

export interface ProofInput {
  /** The field `DPoP`, as `Headers.get` gives it; several lines arrive joined by a comma. `null`: there is none. */
  readonly proof: string | null;
  readonly method: string;
  /** Of the request. Query and fragment are not looked at. */
  readonly url: string;
  /** The token that is presented with the proof, which then must name it; `null` at the token endpoint. */
  readonly accessToken: string | null;
  /** The key that the token is bound to (`cnf.jkt`); `null`: any. */
  readonly expectedJkt: string | null;
  /** Epoch ms. */
  readonly now: number;
}

export interface Proof {
  /** RFC 7638 thumbprint of the client's key. */
  readonly jkt: string;
  readonly jti: string;
  /** Seconds since the epoch. */
  readonly iat: number;
  readonly nonce: string | null;
  /** Names the proof among those of all keys: a digest of key and `jti`. */
  readonly replayId: string;
}

export interface InvalidProof {
  readonly kind: "invalid_dpop_proof";
  /** Says what is wrong and repeats nothing of the proof. */
  readonly detail: string;
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });

/** RFC 9449 §4.3, in its order where that tells the client more. */
export async function checkProof(input: ProofInput): Promise<Result<Proof, InvalidProof>> {
  const { proof } = input;
  if (proof === null) return invalid("The DPoP header is missing.");
  if (proof.includes(",")) return invalid("There must be one DPoP header, with one proof.");
  if (proof.length > MAX_PROOF_CHARACTERS)
    return invalid(`A DPoP proof has at most ${MAX_PROOF_CHARACTERS} characters.`);
  const header = proof.slice(0, Math.max(0, proof.indexOf(".")));
  const key = await readProofKey(header);
  if (!key.ok) return invalid(key.error);
  if (input.expectedJkt !== null && key.value.jkt !== input.expectedJkt) {
    return invalid("The proof is by another key than the one that the token is bound to.");
  }
  const claims = await readSignedClaims(proof, key.value);
  if (claims === null) return invalid("The signature of the proof is not by the key in its header.");
  rememberProofKey(header, key.value);
  return checkClaims(claims, key.value.jkt, input);
}

/** `null`: the signature is not right, or what it signs is no JSON object. */
async function readSignedClaims(proof: string, { key, alg }: ProofKey): Promise<object | null> {
  try {
    const { payload } = await compactVerify(proof, key, { algorithms: [alg] });
    const claims: unknown = JSON.parse(decoder.decode(payload));
    return typeof claims === "object" ? claims : null;
  } catch {
    return null;
  }
}

function checkClaims(claims: object, jkt: string, input: ProofInput): Result<Proof, InvalidProof> {
  const { jti, htm, htu, iat, ath, nonce }: Partial<Record<string, unknown>> = { ...claims };
  if (typeof jti !== "string" || jti === "" || jti.length > MAX_PROOF_ID_CHARACTERS) {
    return invalid(`jti must be a text of 1 to ${MAX_PROOF_ID_CHARACTERS} characters.`);
  }
  if (htm !== input.method) return invalid("htm must be the method of the request.");
  if (typeof htu !== "string" || !isSameTarget(htu, input.url)) {
    return invalid("htu must be the URL of the request, without its query.");
  }
  if (typeof iat !== "number" || !(Math.abs(iat * 1_000 - input.now) <= PROOF_WINDOW_SECONDS * 1_000)) {
    return invalid(`iat must be within ${PROOF_WINDOW_SECONDS} s of now.`);
  }
  if (input.accessToken !== null && ath !== digestKey(input.accessToken)) {
    return invalid("ath must be the SHA-256 of the token that is presented, in base64url.");
  }
  if (nonce !== undefined && (typeof nonce !== "string" || nonce.length > MAX_PROOF_NONCE_CHARACTERS)) {
    return invalid("nonce must be one that this server has given.");
  }
  return ok({ jkt, jti, iat, nonce: nonce ?? null, replayId: replayIdOf(jkt, jti) });
}

/** 132 bits of a digest: who could find two texts for one could only refuse requests of their own. */
const REPLAY_ID_CHARACTERS = 22;

function replayIdOf(jkt: string, jti: string): string {
  return digestKey(`${jkt} ${jti}`).slice(0, REPLAY_ID_CHARACTERS);
}

/** RFC 9449 §4.3: after syntax-based and scheme-based normalization (RFC 3986 §6.2.2, §6.2.3), without query and fragment. */
function isSameTarget(htu: string, url: string): boolean {
  if (htu === url) return true;
  const said = URL.parse(htu);
  const real = URL.parse(url);
  if (said === null || real === null || said.username !== "" || said.password !== "") return false;
  return said.origin === real.origin && normalPath(said.pathname) === normalPath(real.pathname);
}

const UNRESERVED = /[A-Za-z0-9._~-]/;

/** `URL` has done the rest of it: case of scheme and host, default ports, dot segments, the empty path. */
function normalPath(pathname: string): string {
  return pathname.replaceAll(/%[0-9A-Fa-f]{2}/g, (octet) => {
    const character = String.fromCharCode(Number.parseInt(octet.slice(1), 16));
    return UNRESERVED.test(character) ? character : octet.toUpperCase();
  });
}

function invalid(detail: string): Result<never, InvalidProof> {
  return err({ kind: "invalid_dpop_proof", detail });
}
