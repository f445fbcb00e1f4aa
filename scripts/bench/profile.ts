import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";

/** V8's sampling profiler inside workerd, through its inspector. */

/** One function's samples, as V8 writes them: times in microseconds, lines from 0. */
interface ProfileNode {
  readonly id: number;
  readonly callFrame: {
    readonly functionName: string;
    readonly url: string;
    readonly lineNumber: number;
    readonly columnNumber: number;
  };
  readonly children?: readonly number[];
}

export interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  readonly startTime: number;
  readonly endTime: number;
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

export interface ProfileLine {
  readonly name: string;
  readonly selfMicros: number;
  /** With all that it called. */
  readonly totalMicros: number;
}

const SAMPLING_MICROS = 200;
const CONNECT_ATTEMPTS = 20;

/** Profiles `service` while `load` runs. */
export async function profileWhile(port: number, service: string, load: () => Promise<void>): Promise<CpuProfile> {
  const session = await connect(port, service);
  try {
    await session.call("Profiler.enable", {});
    await session.call("Profiler.setSamplingInterval", { interval: SAMPLING_MICROS });
    await session.call("Profiler.start", {});
    await load();
    const { profile } = (await session.call("Profiler.stop", {})) as { profile: CpuProfile }; // the inspector's protocol
    return profile;
  } finally {
    session.close();
  }
}

interface Session {
  readonly call: (method: string, params: object) => Promise<unknown>;
  readonly close: () => void;
}

async function connect(port: number, service: string): Promise<Session> {
  const socket = new WebSocket(await debuggerUrl(port, service));
  await new Promise<void>((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("error", reject);
  });
  const waiting = new Map<number, (result: unknown) => void>();
  let last = 0;
  socket.on("message", (data: Buffer) => {
    const { id, result } = JSON.parse(data.toString()) as { id?: number; result?: unknown }; // the inspector's protocol
    if (id === undefined) return;
    waiting.get(id)?.(result);
    waiting.delete(id);
  });
  return {
    call: (method, params) =>
      new Promise((resolve, reject) => {
        last += 1;
        waiting.set(last, resolve);
        socket.once("close", () => reject(new Error("the inspector went away")));
        socket.send(JSON.stringify({ id: last, method, params }));
      }),
    close: () => socket.terminate(),
  };
}

/** workerd lists a Worker once its isolate is there. */
async function debuggerUrl(port: number, service: string): Promise<string> {
  for (let attempt = 1; attempt <= CONNECT_ATTEMPTS; attempt++) {
    const response = await fetch(`http://127.0.0.1:${port}/json`);
    const listed = (await response.json()) as readonly { id: string; webSocketDebuggerUrl: string }[]; // the inspector's format
    const found = listed.find(({ id }) => id === service || id.endsWith(`:${service}`));
    if (found !== undefined) return found.webSocketDebuggerUrl;
    await sleep(100);
  }
  throw new Error(`the inspector does not list ${service}`);
}

/** By self time, greatest first. Functions of one name and place are one line. */
export function summarize(profile: CpuProfile): readonly ProfileLine[] {
  const selfMicros = new Map<number, number>();
  for (const [index, node] of profile.samples.entries()) {
    selfMicros.set(node, (selfMicros.get(node) ?? 0) + (profile.timeDeltas[index] ?? 0));
  }
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  const lines = new Map<string, { name: string; selfMicros: number; totalMicros: number }>();
  const visit = (id: number, above: ReadonlySet<string>): number => {
    const node = nodes.get(id);
    if (node === undefined) return 0;
    const name = nameOf(node);
    const own = selfMicros.get(id) ?? 0;
    const within = above.has(name) ? above : new Set([...above, name]);
    const total = (node.children ?? []).reduce((sum, child) => sum + visit(child, within), own);
    const line = lines.get(name) ?? { name, selfMicros: 0, totalMicros: 0 };
    line.selfMicros += own;
    // A function that calls itself is counted where it was first entered.
    if (!above.has(name)) line.totalMicros += total;
    lines.set(name, line);
    return total;
  };
  const root = profile.nodes[0];
  if (root !== undefined) visit(root.id, new Set());
  return [...lines.values()].sort((a, b) => b.selfMicros - a.selfMicros);
}

function nameOf({ callFrame: { functionName, url, lineNumber } }: ProfileNode): string {
  const name = functionName === "" ? "(anonymous)" : functionName;
  return url === "" ? name : `${name} (${url.split("/").at(-1)}:${lineNumber + 1})`;
}
