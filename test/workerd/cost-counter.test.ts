import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import {
  countMethods,
  countTimers,
  readObjectUnits,
  resetObjectUnits,
  watchState,
} from "../../scripts/cost/object-counter.ts";

/** An object as the product has them: SQL, alarms, and calls to itself. */
class Probe {
  readonly ctx: DurableObjectState;

  constructor(ctx: DurableObjectState) {
    this.ctx = ctx;
  }

  write(rows: number): void {
    for (let row = 0; row < rows; row++) {
      this.ctx.storage.sql.exec("INSERT INTO plain (name) VALUES (?)", `name ${row}`);
    }
  }

  writeIndexed(): void {
    this.ctx.storage.sql.exec("INSERT INTO indexed (name) VALUES ('a name')");
  }

  async read(): Promise<number> {
    await scheduler.wait(1);
    return this.ctx.storage.sql.exec("SELECT name FROM plain").toArray().length;
  }

  async setAlarm(): Promise<void> {
    await this.ctx.storage.setAlarm(Date.now() + 3_600_000);
  }

  both(): void {
    this.write(1);
    this.writeIndexed();
  }

  async stayAwake(): Promise<void> {
    await new Promise((resolve) => {
      setTimeout(resolve, 30);
    });
  }
}

class CountedProbe extends Probe {
  constructor(ctx: DurableObjectState) {
    super(watchState(ctx, "Probe"));
  }
}
countMethods(CountedProbe, "Probe", Object);
countTimers();

/** What one use of the object counts. */
async function count(name: string, use: (probe: Probe) => unknown) {
  return await runInDurableObject(env.KEY_METER.getByName(`cost-counter/${name}`), async (_instance, state) => {
    state.storage.sql.exec("CREATE TABLE plain (name TEXT PRIMARY KEY) WITHOUT ROWID");
    state.storage.sql.exec("CREATE TABLE indexed (name TEXT); CREATE INDEX by_name ON indexed (name)");
    const probe = new CountedProbe(state);
    resetObjectUnits();
    await use(probe);
    return readObjectUnits().objects["Probe"];
  });
}

test("a row is counted for each row written, and one more for its index", async () => {
  expect(await count("rows", (probe) => probe.write(3))).toMatchObject({ requests: 1, rowsWritten: 3, rowsRead: 0 });
  expect(await count("index", (probe) => probe.writeIndexed())).toMatchObject({ requests: 1, rowsWritten: 2 });
});

test("rows read are counted once the call that reads them is over", async () => {
  const units = await count("read", async (probe) => {
    probe.write(4);
    expect(await probe.read()).toBe(4);
  });
  expect(units).toMatchObject({ requests: 2, rowsWritten: 4, rowsRead: 4 });
});

test("setting an alarm is a row written", async () => {
  expect(await count("alarm", (probe) => probe.setAlarm())).toMatchObject({ requests: 1, rowsWritten: 1 });
});

test("a call that an object makes to itself is no request, and its rows count", async () => {
  expect(await count("own", (probe) => probe.both())).toMatchObject({ requests: 1, rowsWritten: 3 });
});

test("a pending timer counts as time awake, and a call to an idle object as one that wakes it", async () => {
  const units = await count("timer", (probe) => probe.stayAwake());
  expect(units?.timerMs).toBeGreaterThan(0);
  expect(units?.idleCalls).toBe(1);
});
