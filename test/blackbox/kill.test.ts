import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bearer, control, type IssuedKey } from "../support/control.ts";
import { type Server, startServer } from "../support/server.ts";

/** SIGKILL in the middle of a stream of creates, revokes and requests; then the same state again. What was answered stands. */

const ROOT_TOKEN = `lkroot_${"k".repeat(43)}`;
const LIMIT = 40;
const ROUNDS = 3;

interface Answered {
  readonly created: Map<string, string>;
  readonly revoked: Set<string>;
  /** Units that clients saw admitted of the limited key. */
  admitted: number;
}

let state: string;
let server: Server;
const answered: Answered = { created: new Map(), revoked: new Set(), admitted: 0 };
let limited: IssuedKey;

beforeAll(async () => {
  state = await mkdtemp(path.join(tmpdir(), "latchkey-kill-"));
  server = await start();
  limited = await control(server).issue({ limits: [{ name: "daily", limit: LIMIT, window: "day", kind: "quota" }] });
});
afterAll(async () => {
  await server.stop();
  await rm(state, { recursive: true, force: true });
});

function start(): Promise<Server> {
  return startServer({ state, env: { LATCHKEY_ROOT_TOKEN: ROOT_TOKEN } });
}

/** Three writers at once until the server is gone. Only what was answered is noted. */
async function stream(of: Server): Promise<void> {
  const api = control(of);
  const untilGone = async (work: () => Promise<void>): Promise<void> => {
    for (;;) {
      try {
        await work();
      } catch {
        return;
      }
    }
  };
  const create = untilGone(async () => {
    const made = await api.issue({ owner: "streamed" });
    answered.created.set(made.id, made.key);
  });
  const revoke = untilGone(async () => {
    await sleep(15);
    const victim = [...answered.created.keys()].find((id) => !answered.revoked.has(id));
    if (victim === undefined) return;
    await api.revoke(victim);
    answered.revoked.add(victim);
  });
  const request = untilGone(async () => {
    const response = await fetch(`${of.url}/used`, { headers: bearer(limited.key) });
    await response.arrayBuffer();
    if (response.status === 200) answered.admitted++;
    await sleep(60);
  });
  await Promise.all([create, revoke, request]);
}

async function statusOf(key: string): Promise<number> {
  const response = await fetch(`${server.url}/used`, { headers: bearer(key) });
  await response.arrayBuffer();
  return response.status;
}

describe("the Worker's process killed in the middle of its work, and started again on the same state", () => {
  it(
    "keeps every change that was answered, refuses every revoked key, and exceeds no limit",
    { timeout: 180_000 },
    async () => {
      for (let round = 0; round < ROUNDS; round++) {
        const streaming = stream(server);
        await sleep(700 + 400 * round);
        await server.kill();
        await streaming;
        server = await start();
      }
      expect(answered.created.size).toBeGreaterThan(10);
      expect(answered.revoked.size).toBeGreaterThan(5);

      const api = control(server);
      const wrong: string[] = [];
      const cutOff: string[] = [];
      for (const [id, key] of answered.created) {
        const { status, body } = await api.call("GET", `/keys/${id}`);
        if (status !== 200) wrong.push(`${id} is not listed`);
        // A revocation that was cut off before its answer may stand, or not; if it does, the outbox brings it to the meter.
        const isCutOff = !answered.revoked.has(id) && (body as { status?: string }).status === "revoked";
        if (isCutOff) {
          cutOff.push(key);
          continue;
        }
        const expected = answered.revoked.has(id) ? 401 : 200;
        const got = await statusOf(key);
        if (got !== expected) wrong.push(`${id} answers ${got}, not ${expected}`);
      }
      expect(wrong).toEqual([]);
      for (const key of cutOff) await expect.poll(() => statusOf(key), { timeout: 30_000, interval: 250 }).toBe(401);

      for (let call = 0; call < LIMIT; call++) if ((await statusOf(limited.key)) === 200) answered.admitted++;
      expect(answered.admitted).toBeLessThanOrEqual(LIMIT);
      expect(await statusOf(limited.key)).toBe(429);
    },
  );

  it("drains the outbox and keeps the audit chain whole", async () => {
    const api = control(server);
    await expect
      .poll(
        async () => {
          const response = await fetch(`${server.url}/_latchkey/metrics`, {
            headers: { authorization: `Bearer ${ROOT_TOKEN}` },
          });
          return /^latchkey_outbox_pending\{workspace="default"\} (\d+)$/m.exec(await response.text())?.[1];
        },
        { timeout: 30_000, interval: 500 },
      )
      .toBe("0");
    const { body } = await api.call<{ valid: boolean; entries: number }>("GET", "/audit/verify");
    expect(body.valid).toBe(true);
    expect(body.entries).toBeGreaterThanOrEqual(answered.created.size + answered.revoked.size);
  });
});
