import type { ChildProcess } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";
import { unstable_readConfig } from "wrangler";
import { bundleWorker, WRANGLER_CONFIG } from "../../scripts/local/bundle.ts";

/** The Worker of `proxy-lab-worker.ts` on a socket of its own, in a workerd process whose memory can be read. */
export interface ProxyLab {
  readonly url: string;
  readonly port: number;
  readonly workerdPid: number;
  readonly stop: () => Promise<void>;
}

export async function startProxyLab(upstreamUrl: string): Promise<ProxyLab> {
  const directory = await mkdtemp(path.join(os.tmpdir(), "latchkey-lab-"));
  const bundle = await bundleWorker(directory, path.join(import.meta.dirname, "proxy-lab-worker.ts"));
  const config = unstable_readConfig({ config: WRANGLER_CONFIG });
  let pid = 0;
  const onProcess = (message: unknown): void => {
    const child = (message as { process: ChildProcess }).process; // documented shape of the `child_process` channel
    setImmediate(() => {
      if (child.spawnfile?.includes("workerd")) pid = child.pid ?? 0;
    });
  };
  subscribe("child_process", onProcess);
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      host: "127.0.0.1",
      port: 0,
      cf: false,
      telemetry: { enabled: false },
      log: new Log(LogLevel.NONE),
      workers: [
        {
          name: "lab",
          rootPath: directory,
          modules: [{ type: "ESModule", path: bundle.main, contents: await readFile(bundle.main, "utf8") }],
          compatibilityDate: config.compatibility_date ?? "",
          compatibilityFlags: config.compatibility_flags,
          bindings: { LATCHKEY_UPSTREAM_URL: upstreamUrl },
          unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
          stripCfConnectingIp: false,
        },
      ],
    }),
  );
  await miniflare.ready;
  unsubscribe("child_process", onProcess);
  const url = await miniflare.unsafeGetDirectURL("lab");
  return {
    url: url.origin,
    port: Number(url.port),
    workerdPid: pid,
    stop: async () => {
      await miniflare.dispose();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Sends octets as they are and gives back all that comes within `ms`, latin1; `client` is the socket, still open. */
export async function exchangeRaw(port: number, text: string, ms: number): Promise<string> {
  const socket = net.connect(port, "127.0.0.1");
  let received = "";
  socket.on("data", (chunk: Buffer) => (received += chunk.toString("latin1")));
  socket.on("error", () => undefined);
  socket.write(text, "latin1");
  await Promise.race([
    new Promise((resolve) => socket.once("close", resolve)),
    new Promise((resolve) => setTimeout(resolve, ms)),
  ]);
  socket.destroy();
  return received;
}
