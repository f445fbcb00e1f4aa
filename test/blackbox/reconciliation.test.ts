import { afterAll, beforeAll, expect, test } from "vitest";
import { untilRoom } from "../support/contract.ts";
import { control } from "../support/control.ts";
import { type Ask, type Library, startLibrary } from "../support/library-lab.ts";

/** Three accounts of the same units: what clients were charged, what the meter spent, what the ledger counted. */

let library: Library;
beforeAll(async () => {
  library = await startLibrary();
});
afterAll(() => library.stop());

const LIMIT = 1_000;

interface Report {
  readonly compared: readonly { lineageId: string; meter: number; ledger: number }[];
  readonly unchecked: number;
}

test("meter, ledger and the client's own view agree to the unit over every way in, with refusals and refunds among them", async () => {
  // One hour is compared.
  await untilRoom(3_600, 30);
  const api = control({ url: library.url(), rootToken: library.rootToken });
  const limits = [{ name: "daily", limit: LIMIT, window: "day", kind: "quota" }];
  await api.call("PUT", "/owners/reconciled", { body: { limits: [{ ...limits[0], name: "owner-daily" }] } });
  const { id, lineageId, key } = await api.issue({ owner: "reconciled", scopes: ["invoices:read"], limits });
  const strict = await api.issue({ owner: "reconciled", policy: { strict: true }, limits });
  const admin = await api.issue({ kind: "admin", scopes: ["keys:verify"] });

  const authorize = { "x-original-method": "GET", "x-original-uri": "/x", "x-forwarded-host": "api.lab.test" };
  // Met anew in each round: charged with its introduction, and given back when its scopes say no.
  const strangers = await Promise.all(
    Array.from({ length: 12 }, () => api.issue({ owner: "reconciled", scopes: ["other:read"], limits })),
  );
  let charged = 0;
  /** Adds what a call costs when it was let in. */
  const ask = async (cost: number, path: string, options: Ask): Promise<void> => {
    const told = await library.ask(path, { key, ...options });
    if (told.status === 200 || told.status === 502) charged += cost;
  };
  const verify = async (cost: number, answer: Promise<Record<string, unknown>>): Promise<void> => {
    if ((await answer)["valid"] === true) charged += cost;
  };
  const post = async (input: object) => (await api.call("POST", "/verify", { body: input, token: admin.key })).body;
  const batch = async (keys: readonly { key: string; cost?: number; scopes?: string[] }[]): Promise<void> => {
    const answer = await api.call<{ results: { valid: boolean }[] }>("POST", "/verify/batch", { body: { keys } });
    answer.body.results.forEach(({ valid }, index) => (charged += valid ? (keys[index]?.cost ?? 1) : 0));
  };
  for (let round = 0; round < 6; round++) {
    await Promise.all([
      ask(1, "/x", {}),
      // Three of these use up the route's own limit.
      ask(2, "/billing/invoices/1", { method: round % 2 === 0 ? "GET" : "HEAD" }),
      ask(0, "/billing/charges", { method: "POST" }),
      ask(0, "/nowhere", { host: "any.lab.test" }),
      ask(0, "/x", { host: "dead.lab.test" }),
      ask(3, "/paid/x", { host: "dead.lab.test" }),
      ask(1, "/_latchkey/v1/authorize", { headers: authorize }),
      verify(4, post({ key, cost: 4 })),
      verify(0, post({ key, cost: 0 })),
      verify(0, post({ key, cost: LIMIT + 1 })),
      verify(5, library.verify({ key, cost: 5 })),
      batch([{ key }, { key, cost: 2 }, { key, scopes: ["no:no"] }]),
      ...strangers
        .slice(2 * round, 2 * round + 2)
        .map(({ key: stranger }) => library.ask("/billing/invoices/1", { key: stranger })),
      library.ask("/x", { key: strict.key }),
      library.ask("/x", { key: strict.key, host: "dead.lab.test" }),
    ]);
  }
  // A key of the same lineage goes on with the same balance.
  const fresh = await api.rotate(id, { overlapSeconds: 60 });
  await ask(1, "/x", { key: fresh.key });
  expect(charged).toBeGreaterThan(80);

  const look = async (of: string): Promise<Record<string, number>> => {
    const { limits: views } = (await library.ask("/_latchkey/v1/whoami", { key: of })).json() as {
      limits: { name: string; remaining: number }[];
    };
    return Object.fromEntries(views.map((view) => [view.name, LIMIT - view.remaining]));
  };
  // What isolates and brokers still hold comes back when the keys have been quiet for a while.
  const soon = { timeout: 40_000, interval: 500 };
  await expect.poll(() => look(fresh.key), soon).toEqual({ daily: charged, "owner-daily": charged + 6 });
  for (const stranger of strangers) expect((await look(stranger.key))["daily"]).toBe(0);
  await expect.poll(() => look(strict.key), soon).toEqual({ daily: 6, "owner-daily": charged + 6 });

  const costOf = async (lineage: unknown) =>
    (await api.call<{ totals: { cost: number } }>("GET", `/usage?lineage=${String(lineage)}`)).body.totals.cost;
  await expect.poll(() => costOf(lineageId), soon).toBe(charged);
  await expect.poll(() => costOf(strict["lineageId"]), soon).toBe(6);

  // The meter hears of the last units with their lease's end.
  const spentOf = async () => {
    const { compared, unchecked } = (await library.ask("/__lab/reconcile")).json() as unknown as Report; // HourReport
    const of = (lineage: unknown) => compared.find((one) => one.lineageId === lineage);
    const differing = compared.filter(({ meter, ledger }) => meter !== ledger);
    return { unchecked, differing, first: of(lineageId)?.meter, second: of(strict["lineageId"])?.meter };
  };
  await expect
    .poll(spentOf, { timeout: 12_000, interval: 250 })
    .toEqual({ unchecked: 0, differing: [], first: charged, second: 6 });
});
