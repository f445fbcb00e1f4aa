/** `npm run bench`: what Latchkey costs a request, beside the least that a proxy costs and beside others. See docs/benchmarks.md. */
import { profileCandidate } from "./bench/profile-run.ts";
import { runBench, runSmoke } from "./bench/run.ts";
import { readFlags, wholeNumber } from "./report/flags.ts";

const flags = readFlags({
  name: "bench",
  about: `Loads Latchkey and other gateways over the same origin, by turns, and compares what a request costs in processor time and in
latency; then counts the operations behind a hot key's requests. Linux only: times come from /proc.
Exit status: 0 when every target held, 1 when one was missed, which is then named. With --smoke only the counts decide.`,
  flags: {
    smoke: { type: "boolean", about: "under a minute: operations counted and checked, times only shown" },
    write: { type: "boolean", about: "write docs/benchmarks.md from this run" },
    only: { type: "string", about: "these candidates alone, separated by commas; no counts", value: "NAMES" },
    rounds: { type: "string", about: "rounds of all candidates (default 5)", value: "N" },
    seconds: { type: "string", about: "length of one candidate's turn (default 3)", value: "N" },
    rate: { type: "string", about: "requests/s for latency (default 100; 0 leaves that out)", value: "N" },
    profile: { type: "string", about: "profile this situation of Latchkey instead", value: "NAME" },
    plant: {
      type: "string",
      about: 'with --smoke: "no-leases" counts a strict key, to see the check fail',
      value: "BUG",
    },
  },
});

const seconds = wholeNumber("seconds", flags.seconds, 3);

if (flags.profile !== undefined) process.exitCode = await profileCandidate(flags.profile, seconds);
else if (flags.smoke === true) {
  process.exitCode = await runSmoke(flags.json, flags.plant === "no-leases" ? { policy: { strict: true } } : {});
} else {
  process.exitCode = await runBench({
    only: flags.only?.split(",") ?? null,
    rounds: wholeNumber("rounds", flags.rounds, 5),
    seconds,
    ratePerSecond: wholeNumber("rate", flags.rate, 100, 0),
    json: flags.json,
    write: flags.write === true,
  });
}
