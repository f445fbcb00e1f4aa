import { z } from "@hono/zod-openapi";
import type { Rotated, RotateRefusal, SigningOff, SigningStatus } from "../../durable-objects/signing-keys/api.ts";
import { JWKS_MAX_AGE_SECONDS, MAX_NOTE_CHARACTERS, REVOCATION_BOUND_SECONDS } from "../constants.ts";
import { logError } from "../platform/log.ts";
import { err, ok } from "../result.ts";
import type { Caller } from "./caller.ts";
import { replayHeader } from "./key-answer.ts";
import { type Call, defineOperation } from "./operation.ts";
import { NOT_FOUND, type Outcome } from "./problem.ts";
import { plainText, sentTimeSchema } from "./schemas/common.ts";

/**
 * `/signing-keys`: the keys that sign tokens. They are the whole installation's, so only root in the workspace `default`, and admin keys
 * of that workspace, may see and rotate them.
 */

const HOME_WORKSPACE = "default";

const nullableTime = sentTimeSchema.nullable();

const signingKeySchema = z
  .strictObject({
    kid: z.string().openapi({ description: "RFC 7638 thumbprint; `kid` in the header of tokens." }),
    alg: z.enum(["ES256", "Ed25519", "RS256"]),
    state: z.enum(["next", "current", "retired", "removed"]).openapi({
      description:
        "`next`: published, signs nothing yet. `current`: signs. `retired`: signs no more, and is published until its last token has expired. `removed`: nothing that it signed passes.",
    }),
    publishedAt: sentTimeSchema,
    startedAt: nullableTime,
    retiredAt: nullableTime,
    removedAt: nullableTime,
  })
  .openapi("SigningKey");

const signingKeysSchema = z
  .strictObject({
    signing: z.enum(["on", "secret_missing", "secret_unknown", "damaged"]).openapi({
      description:
        "Whether tokens can be signed, and if not, why: there is no `LATCHKEY_TOKEN_SECRET`; the key was wrapped by a secret that is no longer known; the key is not what was wrapped.",
    }),
    algorithm: z.enum(["ES256", "Ed25519", "RS256"]),
    rotationDays: z.int(),
    rotatesAt: nullableTime.openapi({ description: "When the next key starts by itself." }),
    mayRotateFrom: nullableTime.openapi({ description: "From when on it may be started by hand." }),
    keys: z.array(signingKeySchema).openapi({ description: "Newest first. Never a private part." }),
    log: z
      .array(
        z.strictObject({
          sequence: z.int(),
          time: sentTimeSchema,
          action: z.string().openapi({ example: "keys.rotate" }),
          actor: z.strictObject({
            kind: z.string(),
            id: z.string(),
            address: z.string().nullable(),
            requestId: z.string().nullable(),
          }),
          kids: z.array(z.string()),
          reason: z.string().nullable(),
        }),
      )
      .openapi({ description: "The newest 100 changes, newest first." }),
  })
  .openapi("SigningKeys");

const rotatedSchema = signingKeysSchema
  .extend({
    effectiveBy: nullableTime.openapi({
      description:
        "Of an emergency: from then on no token that was signed before passes here. Otherwise null: nothing stops.",
    }),
  })
  .openapi("RotatedSigningKeys");

export const listSigningKeys = defineOperation({
  method: "get",
  path: "/signing-keys",
  scope: "audit:read",
  operationId: "listSigningKeys",
  tag: "Signing keys",
  summary: "Read the signing keys",
  description: "States and times of the keys that sign tokens, and who changed them. In the workspace `default` alone.",
  write: false,
  success: { status: 200, description: "All that are remembered.", schema: signingKeysSchema },
  problems: ["not_found"],
  async handle({ caller, deps }) {
    if (!isAtHome(caller)) return err(NOT_FOUND);
    try {
      return ok({ status: 200, body: describe(await deps.signingKeys.status()) });
    } catch (error) {
      return unreached(error, "Nothing was changed. Try again shortly.");
    }
  },
});

const rotateSchema = z
  .strictObject({
    emergency: z
      .boolean()
      .default(false)
      .openapi({
        description: `Drop every present key, at once: nothing that was signed before passes, anywhere, ${REVOCATION_BOUND_SECONDS} seconds from now. Otherwise the next key starts, and tokens in use stay good.`,
      }),
    reason: plainText(MAX_NOTE_CHARACTERS).nullable().optional().openapi({ description: "For the log." }),
  })
  .openapi("SigningKeyRotation", { example: { emergency: false, reason: "Yearly exercise" } });

export const rotateSigningKeys = defineOperation({
  method: "post",
  path: "/signing-keys/rotate",
  scope: "admin:*",
  operationId: "rotateSigningKeys",
  tag: "Signing keys",
  summary: "Rotate the signing keys",
  description: `Starts the next key now. 409 until it has been published for ${(2 * JWKS_MAX_AGE_SECONDS) / 60} minutes, so that whoever keeps the public keys has heard of it. An emergency does not wait: who verifies by itself, with public keys that it has kept, refuses new tokens and takes old ones until it reads the keys again. In the workspace \`default\` alone.`,
  body: rotateSchema,
  bodyRequired: false,
  write: true,
  success: { status: 200, description: "The keys after it.", schema: rotatedSchema },
  problems: ["not_found", "conflict", "idempotency_conflict"],
  async handle(call) {
    if (!isAtHome(call.caller)) return err(NOT_FOUND);
    try {
      const rotated = await call.deps.signingKeys.rotate(rotationOf(call));
      if (!rotated.ok) return err(fromRefusal(rotated.error));
      return ok({ status: 200, body: describeRotated(rotated.value), headers: replayHeader(rotated.value) });
    } catch (error) {
      return unreached(
        error,
        "The keys may or may not have been rotated. Send it again with the same Idempotency-Key to find out.",
      );
    }
  },
});

function isAtHome({ workspace }: Caller): boolean {
  return workspace === HOME_WORKSPACE;
}

function rotationOf({ body, context }: Call<unknown, z.output<typeof rotateSchema>>) {
  const { actor, idempotency } = context;
  return {
    emergency: body.emergency,
    reason: body.reason ?? null,
    actor,
    idempotency: idempotency === null ? null : { ...idempotency, key: `${actor.kind}/${actor.id}/${idempotency.key}` },
  };
}

function fromRefusal(refusal: RotateRefusal): {
  readonly code: "conflict" | "idempotency_conflict";
  readonly detail: string;
} {
  switch (refusal.code) {
    case "too_early": {
      const detail = `The next key has not been published for long enough. It may start from ${timeOf(refusal.from)} on; in an emergency set "emergency": true.`;
      return { code: "conflict", detail };
    }
    case "idempotency_conflict":
      return { code: refusal.code, detail: "This Idempotency-Key was used with another request." };
    case "signing_off":
      return { code: "conflict", detail: WHY_OFF[refusal.why] };
  }
}

const WHY_OFF: Readonly<Record<SigningOff, string>> = {
  secret_missing: "No key can be made: LATCHKEY_TOKEN_SECRET is missing, or shorter than 32 characters.",
  secret_unknown:
    "The next key was wrapped by a secret that is not known. Put it into LATCHKEY_TOKEN_SECRET_PREVIOUS, or rotate as an emergency.",
  damaged: "The next key is not what was wrapped. Rotate as an emergency.",
};

function unreached(error: unknown, detail: string): Outcome<never> {
  logError(error, { part: "control" });
  return err({ code: "storage_unavailable", detail });
}

function describeRotated({ status, effectiveBy }: Rotated) {
  return { ...describe(status), effectiveBy: timeOrNull(effectiveBy) };
}

function describe({ policy, signingOff, keys, log, rotatesAt, mayRotateFrom }: SigningStatus) {
  return {
    signing: signingOff ?? "on",
    ...policy,
    rotatesAt: timeOrNull(rotatesAt),
    mayRotateFrom: timeOrNull(mayRotateFrom),
    keys: keys.map((key) => ({
      ...key,
      publishedAt: timeOf(key.publishedAt),
      startedAt: timeOrNull(key.startedAt),
      retiredAt: timeOrNull(key.retiredAt),
      removedAt: timeOrNull(key.removedAt),
    })),
    log: log.map((entry) => ({ ...entry, time: timeOf(entry.time) })),
  };
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}

function timeOrNull(ms: number | null): string | null {
  return ms === null ? null : timeOf(ms);
}
