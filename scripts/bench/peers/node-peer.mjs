/**
 * How a Node peer is told what to serve. Imported first by each server: libraries look at NODE_ENV when they are loaded.
 */
import { createInterface } from "node:readline";

process.env["NODE_ENV"] = "production";

/**
 * @typedef {object} PeerInput As `start-node.ts` writes it.
 * @property {string} originUrl
 * @property {string} directory An empty folder of its own.
 * @property {number | null} limitPerMinute Of each key; `null`: check nothing, only forward.
 * @property {string} key The key to know, for a peer that takes keys made elsewhere.
 */

/** The one JSON line on the standard input, which ends with the benchmark: so does this process. */
export async function readInput() {
  const lines = createInterface({ input: process.stdin });
  lines.once("close", () => process.exit(0));
  const line = await new Promise((resolve) => lines.once("line", resolve));
  return /** @type {PeerInput} */ (JSON.parse(line));
}

/**
 * It answers from now on.
 * @param {{ port: number, key?: string }} ready With a key of its own making, where it makes its own.
 */
export function announce(ready) {
  process.stdout.write(`${JSON.stringify(ready)}\n`);
}

process.on("SIGINT", () => undefined);
