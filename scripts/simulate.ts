import { registerHooks } from "node:module";

/** `npm run simulate`. The parts are in `simulate/`. */

// The objects' classes import the runtime's module, which Node does not have.
registerHooks({
  resolve: (specifier, context, next) =>
    specifier === "cloudflare:workers"
      ? { url: new URL("simulate/platform/cloudflare-workers.ts", import.meta.url).href, shortCircuit: true }
      : next(specifier, context),
});

const { simulate } = await import("./simulate/main.ts");
process.exitCode = await simulate();
