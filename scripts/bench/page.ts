import { writeFile } from "node:fs/promises";
import path from "node:path";
import { ROOT } from "../local/bundle.ts";
import { figure, markdownTable, targetRows } from "../report/table.ts";
import type { Target } from "../report/table.ts";
import type { Figures } from "./figures.ts";
import type { ProfileLine } from "./profile.ts";
import { profileRows } from "./profile-run.ts";
import type { RunFacts } from "./run.ts";
import { candidateRows, coldRows, countRows } from "./tables.ts";

/** `docs/benchmarks.md`, whole, from one run. Nothing in it is written by hand: change it here. */

const FILE = path.join(ROOT, "docs/benchmarks.md");

export interface Judged {
  readonly targets: readonly Target[];
  /** Of `latchkey`, by own time. */
  readonly profile: readonly ProfileLine[];
}

/** So many functions have most of the time that functions have. */
const PROFILE_LINES = 30;

export async function writePage(facts: RunFacts, figures: Figures, judged: Judged): Promise<void> {
  await writeFile(FILE, pageOf(facts, figures, judged));
}

export function pageOf(facts: RunFacts, figures: Figures, { targets, profile }: Judged): string {
  const { machine } = facts;
  const missed = targets.filter(({ held }) => !held);
  const { cpuLatchkeyOverHono: cpu, throughputLatchkeyOverHono: throughput } = figures.ratioSpreads;
  return `# Benchmarks

Written by \`npm run bench -- --write\` on ${facts.date}; run it to have your own. \`npm run bench -- --help\` says more.

Machine: ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGib} GiB, ${machine.system}, Node ${machine.node}; load of the minute before: ${figure(facts.loadBefore)}. Clients, origin, KV and queue
share these cores with what is measured: compare the lines of a run with each other, not with another machine's.

## Targets

${markdownTable(targetRows(targets))}

${missed.length === 0 ? "All held." : `Missed: ${missed.map(({ name, wanted, measured }) => `${name} (${measured}, wanted ${wanted})`).join("; ")}.`}
Round by round, processor time of \`latchkey\` over \`hono\` was between ${ratio(cpu.least)} and ${ratio(cpu.greatest)}, throughput between ${ratio(throughput.least)}
and ${ratio(throughput.greatest)}; the table has the medians.

## Candidates

${markdownTable(candidateRows(figures))}

* **CPU µs**: processor time of the candidate's processes for one request, when busy; the median of ${facts.rounds} rounds, and their range.
* **added µs**: what is over the candidate's own floor, the proxy without a check on the same stack.
* **p50, p99 ms**: at ${facts.ratePerSecond} requests a second, where nothing queues. **p50 full, p99 full**: with all connections busy, in whole milliseconds.

${markdownTable([["candidate", "what it does with a request", "its floor"], ...aboutRows(figures)])}

${section("## What bounds it", boundText(figures, profile), figures.ratios.cpuPromisesOverHono !== null)}
${section("## A cold isolate", markdownTable(coldRows(figures)), figures.coldIsolate !== null)}${coldText(figures)}
${section("## Operations", markdownTable(countRows(figures)), figures.counted !== null)}
## How it is measured

* **What runs**: for \`latchkey\` the bundle that \`wrangler deploy\` would upload, minified, under \`workerd serve\` with a configuration generated from
  wrangler.toml: no \`wrangler dev\`, no Miniflare, no entry Worker before it. The other Workers are built with the same dates, flags and minifying. Durable
  Objects run in the same process on SQLite files, so that a meter's time is Latchkey's time.
* **The key** has all that a key can have: two scopes, an address binding that is checked, a rate and a quota (too large to refuse), an owner, metadata. The
  route needs a scope and costs 5. The shipped gateway.config.ts decides, also that 1 % of requests are logged.
* **KV and queue** are HTTP services in the benchmark's own process, spoken to as workerd's bindings do; their time is nobody's. In the measured rounds they
  answer at once, and the queue's messages are dropped after they are counted: the consumer is another invocation. Its rows are in the table of operations.
* **Processor time** is what Linux's scheduler accounts to each thread of the processes (\`/proc/PID/task/*/schedstat\`), read before and after a round, over the
  answers in it. It includes the runtime's own work: sockets, HTTP, garbage collection. The ticks of \`/proc/PID/stat\` are in the JSON as a cross-check.
* **Rounds**: ${facts.rounds} of ${facts.seconds} s for each candidate, by turns (A B C A B C), after a warm-up. Ratios and differences are taken within a round first, then their
  median: what slows the machine for a while meets both sides. Load at saturation: \`autocannon\`, 16 connections, in a process of its own.
* **Latency at a low rate** has an own small generator, since autocannon sends a second's requests at once: every request is sent at its time whatever is still
  outstanding, to three candidates by turns, for ${facts.pacedSeconds} s, and timed from its sending${lateness(figures)}.
* **Operations** are counted in a run of their own with one hot key: KV reads and messages by the services that serve them, calls to objects and their rows
  (\`rowsWritten\` of SQLite's cursors, and alarms) by wrapping the shipped Worker's bindings and classes. Everything that 4,000 requests cause is counted, also
  what a meter writes 5 s later. Rows are those of the meter; the ledger's come with the consumer.
* **Any answer that is not as expected fails the run.**

## What a local run does not show

No network: a KV read, a meter call and a queue message take a fraction of a millisecond here, and milliseconds between locations; [scale.md](scale.md) has
these. KV is consistent at once and has no cache; the rate-limit binding always says yes and costs no call; there is one isolate; logs go nowhere; no cron runs.
Processor time on Cloudflare's machines is another, and is billed without the runtime's own sockets. Every figure here is only as quiet as its machine.
`;
}

const ratio = (value: number): string => (Number.isFinite(value) ? value.toFixed(2) : "–");

function aboutRows({ candidates }: Figures): string[][] {
  return Object.entries(candidates).map(([name, { about, floor }]) => [name, about, floor ?? "-"]);
}

function section(title: string, body: string, present: boolean): string {
  return present ? `${title}\n\n${body}\n` : "";
}

/** The targets beside Hono are missed: where the time goes, as far as this run can tell. */
function boundText({ ratios, candidates }: Figures, profile: readonly ProfileLine[]): string {
  const micros = (name: string): string => figure(candidates[name]?.cpuMicrosPerRequest ?? Number.NaN);
  return `\`promises\` is a Worker that checks nothing and only keeps what the contract promises of a forwarded request: ten fields for the origin, three for the
client, a deadline, and a client's abort that reaches the origin. It took ${micros("promises")} µs, ${ratio(ratios.cpuPromisesOverHono ?? Number.NaN)} times \`hono\`: a gateway that keeps this contract and checks keys as well takes more.
[Decision 0011](decisions/0011-time-and-bytes-of-a-forwarded-request.md) has the price of each promise in instructions. From there to \`latchkey\`'s ${micros("latchkey")} µs is the check itself (digest, record, lease, scopes,
network), the limits' arithmetic, the event and its message, and the runtime's work for them; peers on other stacks begin from other floors, and count in
the memory of one process.

The profile of a warm request, by V8's sampling profiler (\`npm run bench -- --profile latchkey\` takes it anew). It slows what it looks at: compare its lines with each other. \`(program)\` is the runtime outside of
JavaScript: sockets, HTTP, promises. Functions are called as the built bundle calls them.

${markdownTable(profileRows(profile.filter(({ name }) => name !== "(idle)").slice(0, PROFILE_LINES)))}
`;
}

function coldText({ coldIsolate }: Figures): string {
  if (coldIsolate === null) return "";
  return `
Each of ${coldIsolate.samples} samples is a new process on the same storage: an isolate that has served nothing, objects that read their storage first, code that V8 has
not compiled. \`cold-key\` above is the other half: a running isolate, and a key that neither it nor the key's meter has in memory.
`;
}

function lateness({ generatorLatestMs }: Figures): string {
  return generatorLatestMs === null
    ? ""
    : ` (the generator itself was late by ${figure(generatorLatestMs)} ms at most)`;
}
