import { mkdtemp, rm } from "node:fs/promises";
import http from "node:http";
import type { AddressInfo } from "node:net";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { candidatesOf } from "../../scripts/bench/peers/peer.ts";
import type { ServerOptions } from "../../scripts/bench/peers/peer.ts";

/** A peer is compared only when it does what it is compared for. Servers here stand for peers that do, and that do not. */

type Judge = (presentedKey: string | null, options: ServerOptions) => number;

let directory = "";
let running = 0;

beforeEach(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), "latchkey-peers-"));
  running = 0;
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** Starts the peer as a benchmark does. */
async function startPeer(newJudge: () => Judge) {
  const candidates = candidatesOf({
    name: "peer",
    about: "",
    floorName: "floor",
    floorAbout: "",
    prepare: () => Promise.resolve(),
    startServer: async (options) => {
      const judge = newJudge();
      const server = http.createServer((request, response) => {
        const header = request.headers.authorization;
        response.writeHead(judge(header === undefined ? null : header.slice("Bearer ".length), options)).end();
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      running += 1;
      const { port } = server.address() as AddressInfo; // it listens on TCP
      const stop = async (): Promise<void> => {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
        running -= 1;
      };
      return { url: `http://127.0.0.1:${port}`, key: options.key, pids: () => [], stop };
    },
  });
  const peer = candidates.find(({ family }) => family === "peer");
  if (peer === undefined) throw new Error("there is no peer");
  return await peer.start({ originUrl: "http://127.0.0.1:1", directory });
}

function honest(): Judge {
  let passed = 0;
  return (presentedKey, { key, limitPerMinute }) => {
    if (presentedKey !== key) return 401;
    return passed++ < (limitPerMinute ?? Infinity) ? 200 : 429;
  };
}

/** Honest, but where `answer` has a say. */
function withAnswer(answer: (...asked: Parameters<Judge>) => number | null): Judge {
  const judge = honest();
  return (presentedKey, options) => answer(presentedKey, options) ?? judge(presentedKey, options);
}

describe("a peer of the benchmark", () => {
  test("is measured when it refuses no key, a wrong key, and what is over the limit", async () => {
    const peer = await startPeer(honest);
    expect(peer.expectedStatus).toBe(200);
    expect(running).toBe(1);
    await peer.stop();
    expect(running).toBe(0);
  });

  const dishonest: readonly (readonly [string, () => Judge])[] = [
    ["lets everything through", () => () => 200],
    ["needs no key", () => withAnswer((presentedKey) => (presentedKey === null ? 200 : null))],
    ["takes a wrong key", () => withAnswer((presentedKey, { key }) => (presentedKey === key ? null : 200))],
    [
      "has no limit",
      () =>
        (presentedKey, { key }) =>
          presentedKey === key ? 200 : 401,
    ],
    [
      "refuses what is within the limit",
      () =>
        (presentedKey, { key }) =>
          presentedKey === key ? 429 : 401,
    ],
  ];
  test.each(dishonest)("fails the run when it %s", async (_, newJudge) => {
    await expect(startPeer(newJudge)).rejects.toThrow("does not check");
    expect(running).toBe(0);
  });
});
