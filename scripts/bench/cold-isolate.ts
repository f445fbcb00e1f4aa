import http from "node:http";
import { issueKey } from "./control.ts";
import { cpuTimeOf } from "./cpu-time.ts";
import { startGateway } from "./gateway.ts";
import { keyedRequest } from "./keyed-request.ts";
import { spreadOf } from "./statistics.ts";
import type { Spread } from "./statistics.ts";

/** A new process each time: an isolate that has served nothing, objects that must read their storage, code that V8 has not compiled. */

export interface ColdIsolate {
  readonly samples: number;
  /** The first request's way, milliseconds; the second one's on the same connection. */
  readonly firstMs: Spread;
  readonly secondMs: Spread;
  /** Processor time of the first request, microseconds, all threads: V8 compiles in the background. */
  readonly firstCpuMicros: Spread;
}

export async function measureColdIsolate(originUrl: string, directory: string, samples: number): Promise<ColdIsolate> {
  const gateway = await startGateway({ originUrl, directory });
  try {
    const { key } = await issueKey(gateway, {});
    const { headers, path } = keyedRequest(key);
    const first: number[] = [];
    const second: number[] = [];
    const cpu: number[] = [];
    for (let sample = 0; sample < samples; sample++) {
      await gateway.restart();
      const agent = new http.Agent({ keepAlive: true });
      const pids = [gateway.server().pid];
      const before = cpuTimeOf(pids).scheduledMicros;
      first.push(await timeRequest(gateway.url + path, headers, agent));
      cpu.push(cpuTimeOf(pids).scheduledMicros - before);
      second.push(await timeRequest(gateway.url + path, headers, agent));
      agent.destroy();
    }
    return { samples, firstMs: spreadOf(first), secondMs: spreadOf(second), firstCpuMicros: spreadOf(cpu) };
  } finally {
    await gateway.stop();
  }
}

function timeRequest(url: string, headers: Readonly<Record<string, string>>, agent: http.Agent): Promise<number> {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now();
    const request = http.get(url, { headers, agent }, (response) => {
      response.resume();
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode === 200) resolve(performance.now() - startedAt);
        else reject(new Error(`a cold isolate answered ${response.statusCode}`));
      });
    });
    request.on("error", reject);
  });
}
