import { DEFAULT_SIGNATURE_AGE_SECONDS, MAX_SIGNED_BODY_BYTES, SIGNED_BODY_TIMEOUT_MS } from "../constants.ts";
import type { EdgeRecord, SignaturePolicy } from "../keys/record.ts";
import { within } from "../platform/clock.ts";
import { logError } from "../platform/log.ts";
import { err, ok, type Result } from "../result.ts";
import { isDigestOf } from "../signatures/content-digest.ts";
import { acceptSignature, checkRequestSignature, type VerifiedSignature } from "../signatures/request-signature.ts";
import type { SignatureKeys } from "../signatures/signature-keys.ts";
import { declaredLength } from "./body-limit.ts";
import type { Judgement } from "./judge.ts";
import type { Fields } from "./survey.ts";

/**
 * Step 5 for keys whose requests must be signed (RFC 9421), before anything is charged: the signature and the body's digest.
 * That neither was used before: `single-use.ts`. A body is read whole, up to `MAX_SIGNED_BODY_BYTES`: nobody acts on one that is not what was signed.
 */

/** A request whose signature can be looked at. `request` is another one afterwards, where its body was read. */
export interface Signable {
  request: Request;
  readonly method: string;
  readonly url: string;
  readonly fields: Fields;
}

export interface SignatureParties {
  readonly signatureKeys: SignatureKeys;
}

/** The signature that is to be used up, `null` where nobody asks for it; else why the request may not go on. */
export async function judgeSignature(
  record: EdgeRecord,
  policy: SignaturePolicy,
  { signable }: { readonly signable?: Signable | "not asked" },
  parties: SignatureParties,
): Promise<Result<VerifiedSignature | null, Judgement>> {
  if (signable === "not asked") return ok(null);
  if (signable !== undefined) return await requireSignature(signable, record, policy, parties);
  const acceptable = wantedOf(record, policy, false);
  return err({ code: "signature_required", detail: UNSEEN, final: false, acceptSignature: acceptable });
}

const UNSEEN =
  "This key's requests must be signed, and this call does not see the request that the key is for. Send that through the gateway.";

async function requireSignature(
  signable: Signable,
  record: EdgeRecord,
  policy: SignaturePolicy,
  parties: SignatureParties,
): Promise<Result<VerifiedSignature, Judgement>> {
  const hasBody = signable.request.body !== null && declaredLength(signable.fields.get("content-length")) !== 0;
  const keys = await parties.signatureKeys.of(record.id, policy);
  if (keys.length === 0) {
    logError(new Error("a key demands signatures that cannot be checked: is LATCHKEY_TOKEN_SECRET set?"), {
      part: "signatures",
      keyId: record.id,
    });
    return err(UNAVAILABLE);
  }
  const { components = [], maxAgeSeconds = DEFAULT_SIGNATURE_AGE_SECONDS } = policy;
  const rules = { keyid: record.id, keys, components, maxAgeSeconds, hasBody };
  const checked = await checkRequestSignature(messageOf(signable), rules, Date.now());
  if (!checked.ok) {
    const wanted = wantedOf(record, policy, hasBody);
    return checked.error.kind === "missing"
      ? err({ code: "signature_required", detail: MISSING, final: false, acceptSignature: wanted })
      : err({ code: "signature_invalid", detail: checked.error.detail, final: false, acceptSignature: wanted });
  }
  const wrong = hasBody ? await checkBody(signable) : null;
  return wrong === null ? checked : err(wrong);
}

const MISSING = "This key's requests must be signed (RFC 9421). Accept-Signature says what the signature must cover.";

const UNAVAILABLE: Judgement = {
  code: "verification_unavailable",
  detail: "Signatures cannot be checked right now. Nothing was charged; try again shortly.",
  final: true,
};

function wantedOf(record: EdgeRecord, { algorithm, components = [] }: SignaturePolicy, hasBody: boolean): string {
  return acceptSignature({ keyid: record.id, components, hasBody }, algorithm);
}

function messageOf({ method, url, fields }: Signable) {
  const linesOf = (name: string): readonly string[] => {
    const value = fields.get(name);
    return value === undefined ? [] : [value];
  };
  return { method, url, status: null, linesOf };
}

/** The body as it was signed takes the place of the one that was read. */
async function checkBody(signable: Signable): Promise<Judgement | null> {
  const { method, request, fields } = signable;
  if (method === "GET" || method === "HEAD") {
    return { code: "request_invalid", detail: "A signed GET or HEAD has no body.", final: true };
  }
  const body = await readWhole(request, declaredLength(fields.get("content-length")));
  if (!(body instanceof Uint8Array)) return body;
  if (!(await isDigestOf(fields.get("content-digest") ?? "", body))) {
    return invalid("Content-Digest is not that of the body.");
  }
  signable.request = new Request(request, { method, body, signal: request.signal });
  return null;
}

const TOO_LARGE: Judgement = {
  code: "body_too_large",
  detail: `The body of a signed request is at most ${MAX_SIGNED_BODY_BYTES} bytes.`,
  final: true,
};
const BROKEN: Judgement = {
  code: "request_invalid",
  detail: "The body did not arrive whole, or not in time.",
  final: true,
};

async function readWhole({ body }: Request, declared: number | null): Promise<Uint8Array<ArrayBuffer> | Judgement> {
  if (body === null) return new Uint8Array();
  if (declared !== null && declared > MAX_SIGNED_BODY_BYTES) return TOO_LARGE;
  const reader: ReadableStreamDefaultReader<Uint8Array> = body.getReader();
  try {
    return await within(collect(reader), SIGNED_BODY_TIMEOUT_MS, "a signed body");
  } catch {
    await reader.cancel().catch(() => undefined);
    return BROKEN;
  }
}

async function collect(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<Uint8Array<ArrayBuffer> | Judgement> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    bytes += value.byteLength;
    if (bytes > MAX_SIGNED_BODY_BYTES) {
      await reader.cancel();
      return TOO_LARGE;
    }
    chunks.push(value);
  }
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.byteLength;
  }
  return whole;
}

function invalid(detail: string): Judgement {
  return { code: "signature_invalid", detail, final: false };
}
