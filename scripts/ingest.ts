/** `npm run ingest`: how many events a second one ledger takes, through the real queue and consumer, with nothing lost or doubled. */
import { setTimeout as sleep } from "node:timers/promises";
import { newId } from "../src/platform/ids.ts";
import { BATCH_ID_PREFIX } from "../src/usage/parse-batch.ts";
import { EVENTS_PER_BATCH } from "./ingest/order.ts";
import { startIngestServer } from "./ingest/server.ts";
import { readFlags, wholeNumber } from "./report/flags.ts";
import { textTable } from "./report/table.ts";

const flags = readFlags({
  name: "ingest",
  about:
    "Puts usage events into the local queue at a steady rate and waits until the ledger has counted them. Exit status: 0 when it\ncounted each once, 1 when not.",
  flags: {
    rate: { type: "string", about: "events a second (default 5000)", value: "N" },
    seconds: { type: "string", about: "for so long (default 60)", value: "N" },
  },
});
const rate = wholeNumber("rate", flags.rate, 5_000, EVENTS_PER_BATCH);
const seconds = wholeNumber("seconds", flags.seconds, 60);

/** Orders a second: messages are spread over it, as those of many isolates are. */
const ORDERS_PER_SECOND = 10;
/** Nothing more is counted for so long: what is not counted by then is lost. */
const PATIENCE_MS = 60_000;
const QUESTIONS = [
  "?granularity=minute&groupBy=code",
  "?granularity=hour&groupBy=key",
  "?granularity=hour&groupBy=owner&distributions=true",
] as const;

const server = await startIngestServer();
try {
  const batches = Math.round((rate * seconds) / EVENTS_PER_BATCH);
  const expected = batches * EVENTS_PER_BATCH;
  const cpuBefore = await server.cpuSeconds();
  const started = performance.now();
  const pending: Promise<void>[] = [];
  let slowest = 0;
  let sent = 0;
  for (let order = 1; sent < batches; order++) {
    const due = Math.min(batches, Math.round((order * rate) / EVENTS_PER_BATCH / ORDERS_PER_SECOND));
    const now = Date.now();
    const batchIds = Array.from({ length: due - sent }, () => newId(BATCH_ID_PREFIX, now));
    sent = due;
    if (batchIds.length > 0) pending.push(server.send({ batchIds, at: now }));
    if (order % ORDERS_PER_SECOND === 0 && process.stderr.isTTY)
      process.stderr.write(`\r${sent * EVENTS_PER_BATCH} events sent`);
    const wait = started + (order * 1_000) / ORDERS_PER_SECOND - performance.now();
    if (wait > 0) await sleep(wait);
    else slowest = Math.max(slowest, -wait);
  }
  await Promise.all(pending);
  const sentAfter = (performance.now() - started) / 1_000;
  let counted = await server.counted();
  for (let last = performance.now(); counted < expected && performance.now() - last < PATIENCE_MS;) {
    await sleep(100);
    const now = await server.counted();
    if (now !== counted) last = performance.now();
    counted = now;
  }
  const countedAfter = (performance.now() - started) / 1_000;
  const cpuAfter = await server.cpuSeconds();
  const cpu = cpuBefore === null || cpuAfter === null ? null : cpuAfter - cpuBefore;
  const questions: number[] = [];
  for (const query of QUESTIONS) questions.push(await server.timeQuestion(query));
  const rows = [
    ["events sent", String(expected)],
    ["events counted", String(counted)],
    ["sent in", `${sentAfter.toFixed(1)} s: ${Math.round(expected / sentAfter)} a second`],
    [
      "counted",
      `${(countedAfter - sentAfter).toFixed(1)} s after the last was sent: ${Math.round(counted / countedAfter)} a second`,
    ],
    ["the sender was late by at most", `${Math.round(slowest)} ms`],
    [
      "processor time of the runtime",
      cpu === null ? "unknown" : `${cpu.toFixed(1)} s: ${((cpu / expected) * 1e6).toFixed(0)} µs an event`,
    ],
    ...QUESTIONS.map((query, index) => [`/usage${query}`, `${(questions[index] ?? 0).toFixed(0)} ms`]),
  ];
  process.stdout.write(`${textTable([["", ""], ...rows])}\n`);
  if (counted !== expected) {
    process.stderr.write(`${expected} events were sent, ${counted} counted.\n`);
    process.exitCode = 1;
  }
} finally {
  await server.stop();
}
