/**
 * Stands in the bundle for zod's messages in fifty languages: see `[alias]` in wrangler.toml. Messages are English here, and nobody asks for
 * another language's.
 */
export const languages: readonly string[] = ["en"];
