/** `npm run bench`: what Latchkey costs a request, beside the least that a proxy costs and beside others. See docs/benchmarks.md. */
import { runBench } from "./bench/run.ts";
import { readFlags, wholeNumber } from "./report/flags.ts";

const flags = readFlags({
  name: "bench",
  about:
    "Loads Latchkey and other gateways over the same origin, by turns, and compares what a request costs in processor time and\nin latency. Exit status: 0 when every target held, 1 when one was missed.",
  flags: {
    only: { type: "string", about: "these candidates alone, separated by commas", value: "NAMES" },
    rounds: { type: "string", about: "rounds of all candidates (default 5)", value: "N" },
    seconds: { type: "string", about: "length of one candidate's turn (default 4)", value: "N" },
    profile: {
      type: "string",
      about: "profile this candidate with V8's profiler in place of measuring",
      value: "NAME",
    },
  },
});

process.exitCode = await runBench({
  only: flags.only?.split(",") ?? null,
  rounds: wholeNumber("rounds", flags.rounds, 5),
  seconds: wholeNumber("seconds", flags.seconds, 4),
  profile: flags.profile ?? null,
  json: flags.json,
});
