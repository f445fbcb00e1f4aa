import { readFile, readdir, stat } from "node:fs/promises";
import path from "node:path";
import { figure } from "../report/table.ts";
import { controlApi } from "./control-api.ts";
import type { ControlApi } from "./control-api.ts";
import { Client, tally } from "./client.ts";
import type { Seen } from "./client.ts";
import type { Drill, DrillContext, Outcome } from "./drill.ts";
import { atMost, exactly, judgeSpeed, percentile, spreadOf, spreadText } from "./figures.ts";
import { inParallel, waitFor } from "./load.ts";
import { makeInstall } from "./server.ts";
import type { Server } from "./server.ts";

/** Keys are issued and revoked, one after the other and without a pause, on a real `npm start`. */

/** Each is issued and revoked. */
const KEYS = { full: 25_000, quick: 300 };
/** A caller of the control API may call 200 times a second; as many admin keys share the work. */
const CALLERS = 8;
/** An issue waits for the registry, the hash's claim, the meter and KV. */
const ISSUE_P99_MS = 1_000;
/** Of the runtime's memory, from the middle of the run to its end: a leak of 20 KB a key is past it in the full run. */
const GROWTH_MIB = 256;
/** A run of this length has its middle after the first objects were put out of memory. */
const SETTLED_SECONDS = 180;
const MEBIBYTE = 2 ** 20;
/** Keys that are tried in the end. */
const SAMPLE = 100;

export const churn: Drill = {
  name: "churn",
  breaks: "25,000 keys are issued, and each revoked again, without a pause: 50,000 changes in a row",
  seconds: { full: 480, quick: 14 },
  run,
};

interface Done {
  readonly issueMs: number[];
  readonly revokeMs: number[];
  readonly errors: string[];
  /** Some of the keys, all of them revoked. */
  readonly revoked: string[];
  readonly memoryMib: { readonly atKeys: number; readonly mib: number }[];
}

async function run({ quick, timeline, onEnd }: DrillContext): Promise<Outcome> {
  const keys = quick ? KEYS.quick : KEYS.full;
  const install = await makeInstall();
  onEnd(install.remove);
  const server = await install.start();
  const root = controlApi(server, server.rootToken);
  const callers = await makeCallers(root, server);
  timeline.note(`${figure(keys)} keys by ${callers.length} admin keys`);
  const done: Done = { issueMs: [], revokeMs: [], errors: [], revoked: [], memoryMib: [] };
  const startedAt = Date.now();
  let finished = 0;
  await inParallel(keys, callers.length, async (index) => {
    await issueAndRevoke(callers[index % callers.length] ?? root, done, index % Math.ceil(keys / SAMPLE) === 0);
    finished++;
    if (finished % Math.ceil(keys / 10) !== 0) return;
    const mib = await memoryOf(server);
    done.memoryMib.push({ atKeys: finished, mib });
    timeline.note(`${figure(finished)} keys; the runtime has ${figure(mib)} MiB`);
  });
  const seconds = (Date.now() - startedAt) / 1_000;
  const drained = await waitFor(async () => (await root.metric("latchkey_outbox_pending")) === 0, {
    forMs: 60_000,
    everyMs: 100,
  });
  const drainMs = drained === null ? Infinity : drained - startedAt - seconds * 1_000;
  timeline.note(`the outbox is empty ${Math.round(drainMs)} ms after the last answer`);
  const client = new Client();
  const seen: Seen[] = [];
  for (const key of done.revoked) seen.push(await client.send({ url: server.url, key }));
  client.close();
  const registryMib = await sizeOf(path.join(install.directory, "state/data"), /KeyRegistry/);
  return conclude({ quick, keys, done, seconds, drainMs, seen, registryMib });
}

/** Each with a budget of its own. */
async function makeCallers(root: ControlApi, server: Server): Promise<readonly ControlApi[]> {
  const callers: ControlApi[] = [];
  for (let index = 0; index < CALLERS; index++) {
    const scopes = ["keys:write", "keys:revoke"];
    const { key } = await root.issue({ name: `Churn ${index}`, owner: "operations", kind: "admin", scopes });
    callers.push(controlApi(server, key));
  }
  return callers;
}

async function issueAndRevoke(api: ControlApi, done: Done, keep: boolean): Promise<void> {
  try {
    const issuedAt = performance.now();
    const { id, key } = await api.issue({ owner: "churn" });
    const revokedAt = performance.now();
    done.issueMs.push(revokedAt - issuedAt);
    await api.revoke(id, "retired");
    done.revokeMs.push(performance.now() - revokedAt);
    if (keep) done.revoked.push(key);
  } catch (error) {
    done.errors.push(error instanceof Error ? error.message : String(error));
  }
}

interface Measured {
  readonly quick: boolean;
  readonly keys: number;
  readonly done: Done;
  readonly seconds: number;
  readonly drainMs: number;
  readonly seen: readonly Seen[];
  readonly registryMib: number;
}

function conclude({ quick, keys, done, seconds, drainMs, seen, registryMib }: Measured): Outcome {
  const { issueMs, revokeMs, errors, memoryMib } = done;
  const issue = spreadOf(issueMs);
  const middle = memoryMib[Math.floor(memoryMib.length / 2) - 1]?.mib ?? Number.NaN;
  const end = memoryMib.at(-1)?.mib ?? Number.NaN;
  // Objects stay in memory for a minute after their last use: a short run ends before the first of them has gone.
  const says = !Number.isNaN(end) && seconds > SETTLED_SECONDS;
  const growth = says ? [atMost("memory, from the middle to the end", end - middle, GROWTH_MIB, " MiB")] : [];
  const speed = judgeSpeed(
    quick,
    atMost("issue, p99", issue.p99, ISSUE_P99_MS, " ms"),
    atMost("outbox drained after the last answer", drainMs, 5_000, " ms"),
  );
  const wrong = seen.filter(({ code }) => code !== "key_revoked").length;
  return {
    targets: [
      exactly("calls that failed", errors.length, 0),
      ...speed.targets,
      exactly("outbox drained", Number(Number.isFinite(drainMs)), 1),
      exactly(`revoked keys, of ${seen.length} tried, that were not refused as such`, wrong, 0),
      ...growth,
    ],
    facts: [
      ...speed.facts,
      ["keys issued and revoked", `${figure(issueMs.length)}, ${figure(revokeMs.length)} of ${figure(keys)}`],
      ["issues and revokes a second", figure((issueMs.length + revokeMs.length) / seconds)],
      ["issue", spreadText(issue)],
      ["issue, first and last tenth, p50", `${figure(tenth(issueMs, 0))} ms, ${figure(tenth(issueMs, 9))} ms`],
      ["revoke", spreadText(spreadOf(revokeMs))],
      ["registry on disk", `${figure(registryMib)} MiB, ${figure((registryMib * MEBIBYTE) / 1_024 / keys)} KiB a key`],
      [
        "memory of the runtime",
        Number.isNaN(end)
          ? "not known on this system"
          : `${figure(middle)} MiB in the middle, ${figure(end)} MiB at the end`,
      ],
      ...(errors[0] === undefined ? [] : [["first failure", errors[0]] as const]),
    ],
    detectMs: null,
    refuseMs: null,
    letThrough: seen.filter(({ status }) => status === 200).length,
    eventsLost: null,
    clientsSaw: tally(seen),
    figures: { keys, perSecond: (issueMs.length + revokeMs.length) / seconds, issueMs: issue, registryMib, memoryMib },
  };
}

/** Whether issuing gets slower as the registry fills. */
function tenth(values: readonly number[], index: number): number {
  const size = Math.ceil(values.length / 10);
  return percentile(values.slice(index * size, (index + 1) * size), 50);
}

/** Resident memory of the runtime, MiB; NaN where the system does not say. */
async function memoryOf(server: Server): Promise<number> {
  try {
    const status = await readFile(`/proc/${await server.runtimePid()}/status`, "utf8");
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1_024;
  } catch {
    return Number.NaN;
  }
}

/** MiB of all files below, in folders that match. */
async function sizeOf(directory: string, folder: RegExp): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !folder.test(entry.parentPath)) continue;
    bytes += (await stat(path.join(entry.parentPath, entry.name))).size;
  }
  return bytes / MEBIBYTE;
}
