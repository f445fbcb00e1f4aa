/**
 * The load, in a process of its own. Reads one plan on its standard input and writes what it measured.
 *
 * Closed loop: autocannon keeps a number of connections busy. Paced: one timer sends at fixed times whatever is still
 * outstanding (an open loop, so that no slow answer delays the next request), by turns to each target.
 */
import http from "node:http";
import { text } from "node:stream/consumers";
import autocannon from "autocannon";
import type { ClosedPlan, ClosedResult, PacedPlan, PacedResult, Plan } from "./load.ts";

const TIMEOUT_SECONDS = 10;
const SKIPPED_ANSWERS = 20;

async function runClosed(plan: ClosedPlan): Promise<ClosedResult> {
  const { url, requests, connections, seconds, amount } = plan;
  const once = amount === requests.length && amount >= connections;
  const lists = Array.from({ length: connections }, (_, client) =>
    // Each connection has its own part; else all send the same.
    once ? requests.filter((_request, index) => index % connections === client) : requests,
  );
  let started = 0;
  const startedAt = performance.now();
  let answeredAt = startedAt;
  const options = {
    url,
    connections,
    timeout: TIMEOUT_SECONDS,
    ...(amount === null ? { duration: seconds } : { amount }),
    setupClient: (client: autocannon.Client) => client.setRequests([...(lists[started++ % connections] ?? [])]),
  };
  const result = await new Promise<autocannon.Result>((resolve, reject) => {
    const instance = autocannon(options, (error: Error | null, done) =>
      error === null ? resolve(done) : reject(error),
    );
    instance.on("response", () => void (answeredAt = performance.now()));
  });
  const statuses = (result as unknown as { statusCodeStats: Record<string, { count: number }> }).statusCodeStats; // since 7.13
  return {
    statuses: Object.fromEntries(Object.entries(statuses).map(([status, { count }]) => [status, count])),
    errors: result.errors + result.timeouts,
    // autocannon itself looks at the clock once a second.
    seconds: (answeredAt - startedAt) / 1_000,
    p50Ms: result.latency.p50,
    p99Ms: result.latency.p99,
  };
}

interface Lane {
  readonly name: string;
  readonly agent: http.Agent;
  readonly latenciesMs: number[];
  readonly statuses: Record<string, number>;
  errors: number;
  sent: number;
  /** First answers that are not kept: they opened a connection. */
  skip: number;
}

async function runPaced({ targets, ratePerSecond, seconds }: PacedPlan): Promise<PacedResult> {
  const lanes = targets.map(({ name }): Lane => ({
    name,
    agent: new http.Agent({ keepAlive: true }),
    latenciesMs: [],
    statuses: {},
    errors: 0,
    sent: 0,
    skip: SKIPPED_ANSWERS,
  }));
  const stepMs = 1_000 / (ratePerSecond * targets.length);
  const total = Math.floor(ratePerSecond * seconds) * targets.length;
  const pending: Promise<void>[] = [];
  const startedAt = performance.now();
  let latestMs = 0;
  for (let index = 0; index < total; index++) {
    const dueAt = startedAt + index * stepMs;
    await until(dueAt);
    latestMs = Math.max(latestMs, performance.now() - dueAt);
    const target = targets[index % targets.length];
    const lane = lanes[index % targets.length];
    if (target !== undefined && lane !== undefined) pending.push(sendOne(target, lane));
  }
  await Promise.all(pending);
  for (const { agent } of lanes) agent.destroy();
  return {
    latestMs,
    lanes: lanes.map(({ name, latenciesMs, statuses, errors }) => ({ name, latenciesMs, statuses, errors })),
  };
}

/** A timer of Node is up to a millisecond late, which is reported; an answer is timed from its own sending. */
async function until(time: number): Promise<void> {
  const left = time - performance.now();
  if (left > 0) await new Promise((resolve) => setTimeout(resolve, Math.ceil(left)));
}

function sendOne({ url, requests }: PacedPlan["targets"][number], lane: Lane): Promise<void> {
  const request = requests[lane.sent++ % requests.length];
  if (request === undefined) return Promise.resolve();
  const { method, path, headers, body } = request;
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const startedAt = performance.now();
    const fail = (): void => {
      lane.errors += 1;
      resolve();
    };
    const outgoing = http.request({ hostname, port, method, path, headers, agent: lane.agent }, (response) => {
      response.resume();
      response.on("error", fail);
      response.on("end", () => {
        if (lane.skip > 0) lane.skip -= 1;
        else lane.latenciesMs.push(performance.now() - startedAt);
        const status = String(response.statusCode);
        lane.statuses[status] = (lane.statuses[status] ?? 0) + 1;
        resolve();
      });
    });
    outgoing.setTimeout(TIMEOUT_SECONDS * 1_000, () => outgoing.destroy());
    outgoing.on("error", fail);
    outgoing.end(body);
  });
}

process.on("SIGINT", () => undefined);
const plan = JSON.parse(await text(process.stdin)) as Plan; // written by load.ts
const result = plan.kind === "closed" ? await runClosed(plan) : await runPaced(plan);
process.stdout.write(`${JSON.stringify(result)}\n`);
