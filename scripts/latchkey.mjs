#!/usr/bin/env node
// The command line. Plain JavaScript, so that it runs on the machine's own Node without a build.
import process from "node:process";

const OLDEST_NODE = 20;

if (Number(process.versions.node.split(".")[0]) < OLDEST_NODE) {
  process.stderr.write(`latchkey needs Node ${OLDEST_NODE} or later; this is ${process.versions.node}.\n`);
  process.exit(2);
}

const { main } = await import("./latchkey/main.mjs");
const { processIo } = await import("./latchkey/io.mjs");
// Not `process.exit`: what was written to a pipe must get there first.
process.exitCode = await main(process.argv.slice(2), processIo());
