import { z } from "@hono/zod-openapi";
import {
  DEFAULT_SIGNATURE_AGE_SECONDS,
  MAX_BINDING_CHARACTERS,
  MAX_BINDING_ENTRIES,
  MAX_GRACE_SECONDS,
  MAX_PURPOSE_CHARACTERS,
  MAX_SIGNATURE_AGE_SECONDS,
  MAX_SIGNATURE_COMPONENTS,
  MAX_SCOPES,
  MAX_TAGS,
  MAX_TAG_CHARACTERS,
  MAX_TOKEN_TTL_SECONDS,
  REVOCATION_BOUND_SECONDS,
} from "../../constants.ts";
import { isKeyHash } from "../../keys/digest.ts";
import { isCertificateHash, isCountry, isOriginPattern, normalizeCidr } from "../../keys/bindings.ts";
import {
  environmentSchema,
  kindSchema,
  metadataFits,
  METADATA_TOO_LARGE,
  metadataSchema,
  nameSchema,
  ownerIdSchema,
  plainText,
  planSchema,
  scopeSchema,
  timeSchema,
} from "./common.ts";
import { limitsSchema } from "./limit.ts";
import { TAG_PATTERN } from "./names.ts";

/** What a key is issued with, and what may be changed later. Strict: a member that is not known is refused, not ignored. */

function distinct<T>(values: readonly T[]): readonly T[] {
  return [...new Set(values)];
}

export const scopesSchema = z.array(scopeSchema).max(MAX_SCOPES).transform(distinct).openapi({
  description: "`charges:*` covers every action on charges. An admin key takes the scopes of the control API only.",
});

export const tagsSchema = z
  .array(
    z
      .string()
      .min(1)
      .max(MAX_TAG_CHARACTERS)
      .regex(TAG_PATTERN, "Must be letters, digits or ._:/=- and start with a letter or digit."),
  )
  .max(MAX_TAGS)
  .transform(distinct)
  .openapi({ example: ["team:billing"] });

const purposeSchema = plainText(MAX_PURPOSE_CHARACTERS).openapi({ example: "Nightly invoice run" });

function entries<T extends z.ZodType<unknown, string>>(entry: T) {
  return z.array(entry).max(MAX_BINDING_ENTRIES).transform(distinct);
}

const cidrSchema = z
  .string()
  .max(MAX_BINDING_CHARACTERS)
  .transform((text, context) => {
    const normal = normalizeCidr(text);
    if (normal !== null) return normal;
    context.addIssue({ code: "custom", message: "Must be an IPv4 or IPv6 address or CIDR block." });
    return z.NEVER;
  })
  .openapi({ example: "203.0.113.0/24" });

const originSchema = z
  .string()
  .max(MAX_BINDING_CHARACTERS)
  .toLowerCase()
  .refine(isOriginPattern, "Must be an origin, such as https://app.example.com, or *.example.com.")
  .openapi({ example: "https://app.example.com" });

const countrySchema = z
  .string()
  .max(2)
  .toUpperCase()
  .refine(isCountry, "Must be an ISO 3166-1 alpha-2 code.")
  .openapi({ example: "DE" });

const certificateSchema = z
  .string()
  .max(64)
  .toLowerCase()
  .refine(isCertificateHash, "Must be a SHA-256 in hex.")
  .openapi({ pattern: "^[0-9a-fA-F]{64}$" });

const BINDING_MEMBERS = {
  ips: entries(cidrSchema).openapi({ description: "Addresses and CIDR blocks; v4-mapped v6 counts as v4." }),
  origins: entries(originSchema).openapi({
    description: "Web origins; `*.example.com` for every https origin below it.",
  }),
  countries: entries(countrySchema).openapi({ description: "ISO 3166-1 alpha-2." }),
  certificateSha256: entries(certificateSchema).openapi({ description: "SHA-256 of client certificates." }),
};

export const bindingsSchema = z
  .strictObject({
    ips: BINDING_MEMBERS.ips.optional(),
    origins: BINDING_MEMBERS.origins.optional(),
    countries: BINDING_MEMBERS.countries.optional(),
    certificateSha256: BINDING_MEMBERS.certificateSha256.optional(),
  })
  .openapi("Bindings", {
    description: "Where a key may be used from. Each list that has entries must be met by one of them.",
  });

const POLICY_MEMBERS = {
  strict: z.boolean().openapi({ description: "Every request asks the meter: a revocation stops the key at once." }),
  onMeterUnavailable: z
    .enum(["open", "closed"])
    .openapi({ description: "While the meter cannot be asked: refuse, or go on for `graceSeconds`." }),
  graceSeconds: z.int().min(0).max(MAX_GRACE_SECONDS),
  leaseTtlSeconds: z
    .number()
    .min(0)
    .max(REVOCATION_BOUND_SECONDS)
    .openapi({ description: "How long an admission may stand without asking again." }),
  exchangeOnly: z
    .boolean()
    .openapi({ description: "The key opens nothing but the token endpoint; its tokens are what is used." }),
  tokenTtlSeconds: z
    .int()
    .min(1)
    .max(MAX_TOKEN_TTL_SECONDS)
    .openapi({ description: "How long a token of this key may live. Default: as the deployment says." }),
  requireDpop: z.boolean().openapi({ description: "Tokens of this key are minted for a client key alone (RFC 9449)." }),
};

const COMPONENT_PATTERN =
  /^(?:@(?:method|target-uri|authority|scheme|request-target|path|query)|[a-z0-9][a-z0-9-]{0,63})$/;

const SIGNATURE_MEMBERS = {
  algorithm: z.enum(["hmac-sha256", "ed25519"]).openapi({
    description: "`hmac-sha256`: by `signingSecret`, which the answer shows. `ed25519`: by the holder's own key.",
  }),
  publicKey: z
    .string()
    .refine(isKeyHash, "Must be 32 bytes in base64url.")
    .openapi({ description: "With `ed25519`: the 32 bytes of the public key, base64url." }),
  components: z
    .array(z.string().regex(COMPONENT_PATTERN, "Must be a field name in lower case, or a derived component."))
    .max(MAX_SIGNATURE_COMPONENTS)
    .transform(distinct)
    .openapi({
      description: "What a signature must cover besides method, target and body.",
      example: ["content-type"],
    }),
  maxAgeSeconds: z
    .int()
    .min(1)
    .max(MAX_SIGNATURE_AGE_SECONDS)
    .openapi({ description: `How old a signature may be; ${DEFAULT_SIGNATURE_AGE_SECONDS} where it is not said.` }),
};

const signaturePolicySchema = z
  .strictObject({
    algorithm: SIGNATURE_MEMBERS.algorithm,
    publicKey: SIGNATURE_MEMBERS.publicKey.optional(),
    components: SIGNATURE_MEMBERS.components.optional(),
    maxAgeSeconds: SIGNATURE_MEMBERS.maxAgeSeconds.optional(),
  })
  .openapi("SignaturePolicy", {
    description:
      "Each request with the key must be signed (RFC 9421): the key alone is not enough. Such a key is of no use to `verify`, `authorize` and RPC, which do not see the request.",
  });

export const policySchema = z
  .strictObject({
    strict: POLICY_MEMBERS.strict.optional(),
    onMeterUnavailable: POLICY_MEMBERS.onMeterUnavailable.optional(),
    graceSeconds: POLICY_MEMBERS.graceSeconds.optional(),
    leaseTtlSeconds: POLICY_MEMBERS.leaseTtlSeconds.optional(),
    exchangeOnly: POLICY_MEMBERS.exchangeOnly.optional(),
    tokenTtlSeconds: POLICY_MEMBERS.tokenTtlSeconds.optional(),
    requireDpop: POLICY_MEMBERS.requireDpop.optional(),
    signature: signaturePolicySchema.optional(),
  })
  .openapi("Policy");

const ISSUANCE_MEMBERS = {
  name: nameSchema,
  owner: ownerIdSchema,
  environment: environmentSchema,
  kind: kindSchema.default("secret"),
  scopes: scopesSchema,
  plan: planSchema.nullable().default(null),
  limits: limitsSchema.default([]),
  bindings: bindingsSchema.default({}),
  policy: policySchema.default({}),
  expiresAt: timeSchema.nullable().default(null),
  notBefore: timeSchema.nullable().default(null),
  metadata: metadataSchema.default({}),
  tags: tagsSchema.default([]),
  purpose: purposeSchema.nullable().default(null),
};

const CREATE_EXAMPLE = {
  name: "Billing worker",
  owner: "acme",
  environment: "live",
  scopes: ["charges:read", "charges:write"],
  plan: "pro",
};

export const createKeySchema = z.strictObject(ISSUANCE_MEMBERS).openapi("NewKey", { example: CREATE_EXAMPLE });

const hashSchema = z
  .strictObject({
    algorithm: z.literal("sha256"),
    encoding: z.enum(["hex", "base64", "base64url"]),
    value: z.string().max(64).openapi({ example: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" }),
  })
  .openapi("ImportedHash", { description: "SHA-256 of the whole key, as its bearer presents it." });

export const importItemSchema = z.strictObject({ hash: hashSchema, ...ISSUANCE_MEMBERS }).openapi("ImportedKey", {
  example: {
    hash: {
      algorithm: "sha256",
      encoding: "hex",
      value: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    },
    ...CREATE_EXAMPLE,
  },
});

/** Merge-patch (RFC 7396): `null` takes a member away. */
export const patchKeySchema = z
  .strictObject({
    name: nameSchema.optional(),
    scopes: scopesSchema.optional(),
    plan: planSchema.nullable().optional(),
    limits: limitsSchema.nullable().optional(),
    bindings: z
      .strictObject({
        ips: BINDING_MEMBERS.ips.nullable().optional(),
        origins: BINDING_MEMBERS.origins.nullable().optional(),
        countries: BINDING_MEMBERS.countries.nullable().optional(),
        certificateSha256: BINDING_MEMBERS.certificateSha256.nullable().optional(),
      })
      .nullable()
      .optional(),
    policy: z
      .strictObject({
        strict: POLICY_MEMBERS.strict.nullable().optional(),
        onMeterUnavailable: POLICY_MEMBERS.onMeterUnavailable.nullable().optional(),
        graceSeconds: POLICY_MEMBERS.graceSeconds.nullable().optional(),
        leaseTtlSeconds: POLICY_MEMBERS.leaseTtlSeconds.nullable().optional(),
        exchangeOnly: POLICY_MEMBERS.exchangeOnly.nullable().optional(),
        tokenTtlSeconds: POLICY_MEMBERS.tokenTtlSeconds.nullable().optional(),
        requireDpop: POLICY_MEMBERS.requireDpop.nullable().optional(),
        signature: z
          .strictObject({
            algorithm: SIGNATURE_MEMBERS.algorithm,
            publicKey: SIGNATURE_MEMBERS.publicKey.nullable().optional(),
            components: SIGNATURE_MEMBERS.components.nullable().optional(),
            maxAgeSeconds: SIGNATURE_MEMBERS.maxAgeSeconds.nullable().optional(),
          })
          .nullable()
          .optional(),
      })
      .nullable()
      .optional(),
    metadata: z
      .record(z.string(), z.unknown())
      .refine(metadataFits, METADATA_TOO_LARGE)
      .nullable()
      .optional()
      .openapi({
        type: ["object", "null"],
        additionalProperties: true,
        description: "Merged into what is there; a member set to null goes.",
      }),
    tags: tagsSchema.nullable().optional(),
    purpose: purposeSchema.nullable().optional(),
    notBefore: timeSchema.nullable().optional(),
    expiresAt: timeSchema.nullable().optional(),
  })
  .openapi("KeyPatch", {
    description: "JSON merge patch (RFC 7396) of everything but the key's identity.",
    example: { plan: "free", metadata: { seats: 5 } },
  });
