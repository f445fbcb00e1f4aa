import { z } from "@hono/zod-openapi";
import {
  DEFAULT_LIST_LIMIT,
  MAX_CURSOR_CHARACTERS,
  MAX_LIST_LIMIT,
  MAX_METADATA_BYTES,
  MAX_NAME_CHARACTERS,
  MAX_SCOPE_CHARACTERS,
} from "../../constants.ts";
import { PROBLEMS } from "../../http/codes.ts";
import { isScope } from "../../keys/scopes.ts";
import { isTimeZone } from "../../usage/periods.ts";
import { NAME_PATTERN, PLAN_PATTERN } from "./names.ts";

/** Building blocks of the schemas. Messages never repeat a value: someone may have put a key in the wrong place. */

/** Of a call that takes a body only as every write does. */
export const noMembersSchema = z.strictObject({}).openapi("NoMembers");

const CONTROL_CHARACTERS = /\p{Cc}/u;

/** Text for people: something visible, no control characters, valid Unicode. */
export function plainText(maxCharacters: number) {
  return z
    .string()
    .min(1)
    .max(maxCharacters)
    .refine((text) => text.trim() !== "", "Must not be blank.")
    .refine((text) => !CONTROL_CHARACTERS.test(text), "Must not contain control characters.")
    .refine((text) => text.isWellFormed(), "Must be valid Unicode.");
}

export const nameSchema = plainText(MAX_NAME_CHARACTERS).openapi({
  description: "For people.",
  example: "Billing worker",
});

export const ownerIdSchema = z
  .string()
  .regex(NAME_PATTERN, "Must be 1 to 64 letters, digits or ._:- and start with a letter or digit.")
  .openapi({ description: "Whose key it is: a name of your own, a customer id for instance.", example: "acme" });

export const environmentSchema = z.enum(["live", "test"]).openapi({ example: "live" });
export const kindSchema = z.enum(["secret", "publishable", "admin"]);
/** Of a record: a workload's is made by its trust rule, and never asked for. */
export const recordKindSchema = z.enum([...kindSchema.options, "workload"]).openapi({
  description: "`workload`: an identity that a trust rule knows. It has no secret, and is made by its first exchange.",
});
export const statusSchema = z.enum(["active", "rotating", "disabled", "expired", "revoked"]).openapi({
  description: "`rotating`: being replaced, valid until `notAfter`.",
});

export const scopeSchema = z
  .string()
  .max(MAX_SCOPE_CHARACTERS)
  .refine(isScope, "Must be resource:action, in lower case.")
  .openapi({ example: "charges:read", pattern: "^[a-z0-9][a-z0-9._-]*:([a-z0-9][a-z0-9._-]*|\\*)$" });

export const planSchema = z.string().regex(PLAN_PATTERN, "Must be the name of a plan.").openapi({ example: "pro" });

/** An RFC 3339 time with any offset, brought to UTC. */
export const timeSchema = z.iso
  .datetime({ offset: true, message: "Must be an RFC 3339 time, such as 2027-01-31T12:00:00Z." })
  .transform((text) => new Date(text).toISOString())
  .openapi({ format: "date-time", example: "2027-01-31T12:00:00Z" });

/** The same in a query string, where the `+` of an offset that was not escaped arrives as a space. */
export const queryTimeSchema = z
  .string()
  .max(64)
  .transform((text) => text.replace(" ", "+"))
  .pipe(timeSchema)
  .openapi({ format: "date-time", example: "2027-01-31T12:00:00Z" });

export const timeZoneSchema = z
  .string()
  .max(64)
  .refine(isTimeZone, "Must be the name of a time zone, such as Europe/Berlin.")
  .openapi({ example: "Europe/Berlin" });

/** Times as Latchkey sends them. */
export const sentTimeSchema = z.iso.datetime().openapi({ format: "date-time", example: "2027-01-31T12:00:00.000Z" });

const encoder = new TextEncoder();

export function metadataFits(metadata: unknown): boolean {
  return encoder.encode(JSON.stringify(metadata)).byteLength <= MAX_METADATA_BYTES;
}

export const METADATA_TOO_LARGE = `Must be at most ${MAX_METADATA_BYTES} bytes of JSON.`;

export const metadataSchema = z
  .record(z.string(), z.unknown())
  .refine(metadataFits, METADATA_TOO_LARGE)
  .openapi({
    type: "object",
    additionalProperties: true,
    description: `Anything of yours, up to ${MAX_METADATA_BYTES} bytes of JSON. Never a secret: whoever verifies a key sees it.`,
    example: { customerId: "cus_123" },
  });

/** A query parameter that holds a whole number. */
export function wholeNumber(min: number, max: number) {
  return z
    .string()
    .regex(/^\d{1,9}$/, "Must be a whole number.")
    .transform(Number)
    .pipe(z.int().min(min).max(max));
}

export const pageQuery = {
  limit: wholeNumber(1, MAX_LIST_LIMIT).optional().openapi({
    type: "integer",
    minimum: 1,
    maximum: MAX_LIST_LIMIT,
    default: DEFAULT_LIST_LIMIT,
    description: "Entries to a page.",
  }),
  cursor: z.string().min(1).max(MAX_CURSOR_CHARACTERS).optional().openapi({
    description: "`nextCursor` of the page before.",
  }),
};

export const problemSchema = z
  .object({
    type: z
      .string()
      .openapi({ description: "Path of a page on this code.", example: "/_latchkey/problems/request_invalid" }),
    title: z.string().openapi({ example: "Invalid request" }),
    status: z.int().openapi({ example: 400 }),
    detail: z.string().openapi({ example: "The request has faults; see errors." }),
    code: z.enum(Object.keys(PROBLEMS)).openapi({ example: "request_invalid" }),
    requestId: z.string().openapi({ example: "req_01jd8q3v5x9k2m4n6p8r0s2t4v" }),
    errors: z
      .array(
        z.object({
          pointer: z
            .string()
            .openapi({ description: "RFC 6901, into the body unless `in` is there.", example: "/limits/0/window" }),
          detail: z.string().openapi({ example: "Must be at least 1." }),
          in: z.enum(["query", "path", "header"]).optional(),
        }),
      )
      .optional()
      .openapi({ description: "With `request_invalid`: each fault." }),
    violatedPolicies: z
      .array(z.string())
      .optional()
      .openapi({ description: "With 429: names of the limits that refused." }),
  })
  .openapi("Problem", { description: "RFC 9457 problem details." });
