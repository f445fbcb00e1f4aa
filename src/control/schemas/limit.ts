import { z } from "@hono/zod-openapi";
import { MAX_LIMITS, MAX_LIMIT_NAME_CHARACTERS, MAX_LIMIT_UNITS, MAX_WINDOW_SECONDS } from "../../constants.ts";
import type { Limit } from "../../limits/limit.ts";
import { LIMIT_NAME_PATTERN } from "./names.ts";

const windowSchema = z
  .union([
    z.enum(["minute", "hour", "day", "month"]),
    z.strictObject({ seconds: z.int().min(1).max(MAX_WINDOW_SECONDS) }),
  ])
  .openapi({ description: "A calendar window in UTC, or a length aligned to the Unix epoch.", example: "minute" });

export const limitSchema = z
  .strictObject({
    name: z
      .string()
      .min(1)
      .max(MAX_LIMIT_NAME_CHARACTERS)
      .regex(LIMIT_NAME_PATTERN, "Must be letters, digits or ._- and start with a letter or digit.")
      .openapi({ description: "Overrides the plan's limit of the same name.", example: "burst" }),
    limit: z
      .int()
      .min(0)
      .max(MAX_LIMIT_UNITS)
      .openapi({ description: "Cost units that one window holds.", example: 100 }),
    window: windowSchema,
    kind: z
      .enum(["rate", "quota"])
      .openapi({ description: "A `rate` refuses with `rate_limited`, a `quota` with `quota_exhausted`." }),
  })
  .openapi("Limit");

/** Names tell limits apart in headers and answers, so they are unique within one list. */
export const limitsSchema = z
  .array(limitSchema)
  .max(MAX_LIMITS)
  .superRefine((limits: readonly Limit[], context) => {
    const seen = new Set<string>();
    for (const [index, { name }] of limits.entries()) {
      if (seen.has(name)) {
        context.addIssue({
          code: "custom",
          path: [index, "name"],
          message: "Another limit in this list has this name.",
        });
      }
      seen.add(name);
    }
  });
