import { readFileSync } from "node:fs";
import path from "node:path";
import { endProcess, startHelper } from "../processes.ts";
import { installPackages } from "./install.ts";
import type { Peer, ServerOptions, Server } from "./peer.ts";

/** Peers on Node: one process of the Node that runs the benchmark, from a `server.mjs` with its own packages beside it. */

function nodePeer(
  folder: string,
  texts: (version: (name: string) => string) => Omit<Peer, "prepare" | "startServer">,
): Peer {
  const directory = path.join(import.meta.dirname, folder);
  // Pinned there.
  const { dependencies } = JSON.parse(readFileSync(path.join(directory, "package.json"), "utf8")) as {
    readonly dependencies: Readonly<Record<string, string>>;
  };
  return {
    ...texts((name) => `${name} ${dependencies[name] ?? ""}`),
    prepare: () => installPackages(directory),
    startServer: (options) => startNode(`peers/${folder}/server.mjs`, options),
  };
}

async function startNode(file: string, options: ServerOptions): Promise<Server> {
  const { child, nextLine } = startHelper(file, options);
  try {
    const { port, key = options.key } = (await nextLine()) as { port: number; key?: string }; // node-peer.mjs announces
    return { url: `http://127.0.0.1:${port}`, key, pids: () => [child.pid ?? 0], stop: () => endProcess(child) };
  } catch (error) {
    await endProcess(child);
    throw error;
  }
}

export const BETTER_AUTH = nodePeer("better-auth", (version) => ({
  name: "better-auth",
  about: `${version("better-auth")}'s api-key plugin before that: hash, SQLite row read, rate limit counted in the row`,
  floorName: "hono-node",
  floorAbout: `${version("hono")}'s proxy helper on Node ${process.version}`,
}));

export const FASTIFY = nodePeer("fastify", (version) => ({
  name: "fastify-keys",
  about: `${version("@fastify/bearer-auth")} (hash, SQLite row read) and ${version("@fastify/rate-limit")} (in memory) before that`,
  floorName: "fastify",
  floorAbout: `${version("fastify")} with ${version("@fastify/http-proxy")} on Node ${process.version}`,
}));
