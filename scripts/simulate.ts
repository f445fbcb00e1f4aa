import { registerHooks } from "node:module";
import { setFlagsFromString } from "node:v8";

/** `npm run simulate`. The parts are in `simulate/`. */

// Millions of short-lived objects beside thousands of isolates that stay: room for the young ones.
setFlagsFromString("--max-semi-space-size=128");
setFlagsFromString("--min-semi-space-size=64");

// The objects' classes import the runtime's module, which Node does not have.
registerHooks({
  resolve: (specifier, context, next) =>
    specifier === "cloudflare:workers"
      ? { url: new URL("simulate/platform/cloudflare-workers.ts", import.meta.url).href, shortCircuit: true }
      : next(specifier, context),
});

const { simulate } = await import("./simulate/main.ts");
process.exitCode = await simulate();
