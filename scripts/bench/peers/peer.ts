import { mkdir } from "node:fs/promises";
import path from "node:path";
import type { Candidate, Running, Surroundings } from "../candidate.ts";
import { keyedRequest, newKey } from "../keyed-request.ts";

/**
 * A peer and its floor: the same server with and without its own key check and rate limit. Before the peer is measured, the same
 * configuration with a limit of 3 must refuse what it should: a peer that does not check is a failure, not a fast one.
 */

export interface ServerOptions extends Surroundings {
  /** Of each key in a minute; `null`: check nothing, only forward. */
  readonly limitPerMinute: number | null;
  /** A key to accept, unless the peer makes its own. */
  readonly key: string;
}

export interface Server extends Pick<Running, "url" | "pids" | "stop"> {
  /** The key that it accepts. */
  readonly key: string;
}

export interface Peer {
  readonly name: string;
  readonly about: string;
  readonly floorName: string;
  readonly floorAbout: string;
  /** Installs what it needs, when that is not there yet. May reject with `Unavailable`. */
  readonly prepare: () => Promise<void>;
  readonly startServer: (options: ServerOptions) => Promise<Server>;
}

/** As for Latchkey's key in the same run: too large to refuse. */
const NEVER_REACHED = 100_000_000;
const SMALL_LIMIT = 3;

/** The floor first, then the peer. */
export function candidatesOf(peer: Peer): readonly Candidate[] {
  const start = async (surroundings: Surroundings, limitPerMinute: number | null): Promise<Server> => {
    const directory = path.join(surroundings.directory, `limit-${limitPerMinute ?? "none"}`);
    await mkdir(directory);
    return await peer.startServer({ ...surroundings, directory, limitPerMinute, key: newKey() });
  };
  return [
    {
      name: peer.floorName,
      about: peer.floorAbout,
      family: "floor",
      floor: null,
      start: async (surroundings) => {
        await peer.prepare();
        return toRunning(await start(surroundings, null));
      },
    },
    {
      name: peer.name,
      about: peer.about,
      family: "peer",
      floor: peer.floorName,
      start: async (surroundings) => {
        await peer.prepare();
        const strict = await start(surroundings, SMALL_LIMIT);
        await expectChecks(peer.name, strict, SMALL_LIMIT).finally(strict.stop);
        const server = await start(surroundings, NEVER_REACHED);
        try {
          await expectChecks(peer.name, server, null);
        } catch (error) {
          await server.stop();
          throw error;
        }
        return toRunning(server);
      },
    },
  ];
}

function toRunning({ url, pids, stop, key }: Server): Running {
  return { url, pids, stop, requests: [keyedRequest(key)], expectedStatus: 200 };
}

const ENOUGH_FOR_NO_LIMIT = 20;

/** No key and a wrong one are refused, the right one passes; `limit` times, where there is one. */
async function expectChecks(name: string, { url, key }: Server, limit: number | null): Promise<void> {
  const wrong = `${key.slice(0, -1)}${key.endsWith("0") ? "1" : "0"}`;
  const refused = [await statusWith(url, null), await statusWith(url, wrong)];
  const statuses: number[] = [];
  for (let sent = 0; sent < (limit === null ? ENOUGH_FOR_NO_LIMIT : limit * 2); sent++) {
    statuses.push(await statusWith(url, key));
  }
  const expected = statuses.map((_, index) => (limit === null || index < limit ? 200 : 429));
  if (refused.every((status) => status === 401 || status === 403) && String(statuses) === String(expected)) return;
  const answers = `no key and a wrong one: ${String(refused)}; the right one: ${String(statuses)}`;
  throw new Error(`${name} does not check as it should, with a limit of ${limit ?? NEVER_REACHED}: ${answers}`);
}

async function statusWith(url: string, key: string | null): Promise<number> {
  const { path: target, headers } = keyedRequest(key ?? "");
  const { authorization, ...others } = headers;
  const sent = key === null || authorization === undefined ? others : { ...others, authorization };
  const response = await fetch(url + target, { headers: sent });
  await response.arrayBuffer();
  return response.status;
}
