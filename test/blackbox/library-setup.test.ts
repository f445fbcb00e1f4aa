import { createHash, randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isSampled } from "../../src/platform/log.ts";
import { control } from "../support/control.ts";
import { CONTROL_HOST, type Library, startLibrary } from "../support/library-lab.ts";

/** Deployments that are set up wrongly say what is wrong, by name; the settings of the others do what they say. */

let library: Library;
beforeAll(async () => {
  library = await startLibrary();
});
afterAll(() => library.stop());

const api = () => control({ url: library.url(), rootToken: library.rootToken });

function linesOf(requestId: string | undefined): Record<string, unknown>[] {
  return library
    .logs()
    .filter((line) => requestId !== undefined && line.includes(`"requestId":"${requestId}"`))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter((line) => line["message"] === "request");
}

describe("a deployment that is not set up", () => {
  test("serves nothing, and names each fault of its configuration in every answer, in the log once", async () => {
    const places = ["upstreams.api.url: ", "plans.free[0].limit: ", "routes[0].upstream: "];
    for (const path of ["/x", "/_latchkey/healthz", "/_latchkey/v1/keys", "/x"]) {
      const told = await library.ask(path, {}, "broken");
      expect(told.status).toBe(500);
      expect(told.headers["content-type"]).toBe("application/problem+json");
      for (const place of places) expect(told.json()["detail"]).toContain(place);
    }
    const logged = library.logs().filter((line) => line.includes("gateway.config.ts: upstreams.api.url"));
    expect(logged).toHaveLength(1);
    for (const place of places) expect(logged[0]).toContain(place);
  });

  test("fails the RPC call of another Worker with the same words, and admits nobody", async () => {
    const { key } = await api().issue();
    const answer = await library.verify({ key }, "LATCHKEY_BROKEN");
    expect(answer["thrown"]).toContain("routes[0].upstream: ");
    expect(answer).not.toHaveProperty("valid");
  });

  test("names each binding that is missing, and what it should be, in the answer and once in the log", async () => {
    for (let turn = 0; turn < 3; turn++) {
      const told = await library.ask("/x", {}, "unbound");
      expect(told.status).toBe(500);
      expect(told.json()["detail"]).toBe("wrangler.toml lacks the bindings KEYS (a KV namespace), USAGE (a queue)");
    }
    expect(library.logs().filter((line) => line.includes("lacks the bindings"))).toHaveLength(1);
  });
});

test("importedKeys: false refuses what has not Latchkey's own form; elsewhere the same key works", async () => {
  const foreign = `legacy-${randomBytes(16).toString("hex")}`;
  const value = createHash("sha256").update(foreign).digest("hex");
  const item = { hash: { algorithm: "sha256", encoding: "hex", value }, name: "Legacy", owner: "acme" };
  const keys = [{ ...item, environment: "live", scopes: ["a:b"] }];
  const imported = await api().call<{ results: object[] }>("POST", "/keys/import", { body: { keys } });
  expect(imported.status).toBe(200);
  expect((await library.ask("/x", { key: foreign }, "sampled")).status).toBe(200);
  const refused = await library.ask("/x", { key: foreign });
  expect([refused.status, refused.json()["code"]]).toEqual([401, "key_invalid"]);
});

test("LATCHKEY_CONTROL_HOST is the only host that serves the control API and the pages; checks and health are served on every host", async () => {
  const headers = { authorization: `Bearer ${library.rootToken}` };
  const statusAt = async (path: string, host: string) => (await library.ask(path, { host, headers }, "sampled")).status;
  for (const path of ["/_latchkey/v1/keys", "/_latchkey/v1/audit", "/_latchkey/v1/usage"]) {
    expect(await statusAt(path, CONTROL_HOST), path).toBe(200);
    expect(await statusAt(path, "api.lab.test"), path).toBe(404);
    expect(await statusAt(path, `${CONTROL_HOST}.evil.test`), path).toBe(404);
  }
  for (const path of ["/_latchkey/openapi.json", "/_latchkey/docs"]) {
    expect(await statusAt(path, "api.lab.test"), path).toBe(404);
  }
  for (const path of ["/_latchkey/", "/_latchkey/sign-in", "/_latchkey/keys", "/_latchkey/portal"]) {
    expect(await statusAt(path, "api.lab.test"), path).toBe(404);
  }
  expect(await statusAt("/_latchkey/sign-in", CONTROL_HOST)).toBe(200);
  expect(await statusAt("/_latchkey/healthz", "api.lab.test")).toBe(200);
  const { key } = await api().issue();
  expect((await library.ask("/_latchkey/v1/whoami", { key }, "sampled")).status).toBe(200);
});

describe("log lines", () => {
  test("at a rate of 1 every request has one, refused ones too, with who, what and how long", async () => {
    const { id, lineageId, key } = await api().issue({ scopes: ["invoices:read"] });
    const good = await library.ask("/billing/invoices/31337?secret=1", { key, cf: { country: "NO", colo: "OSL" } });
    const bad = await library.ask("/billing/charges", { key, method: "POST" });
    await expect.poll(() => linesOf(bad.headers["x-request-id"]).length, { timeout: 2_000 }).toBe(1);
    expect(linesOf(good.headers["x-request-id"])).toMatchObject([
      {
        level: "info",
        workspace: "default",
        keyId: id,
        lineageId,
        owner: "acme",
        hint: expect.stringMatching(/^lk_live_.{4}….{4}$/),
        method: "GET",
        route: "/billing/invoices/:id",
        upstream: "billing",
        status: 200,
        code: "allowed",
        cost: 2,
        country: "NO",
        colo: "OSL",
        latencyMs: expect.any(Number),
        authMs: expect.any(Number),
        upstreamMs: expect.any(Number),
        degraded: false,
      },
    ]);
    expect(linesOf(bad.headers["x-request-id"])).toMatchObject([{ status: 403, code: "scope_insufficient", cost: 0 }]);
    for (const word of ["31337", "secret", key]) expect(library.logs().join("\n")).not.toContain(word);
  });

  test("at a rate of 0.25 exactly the requests of the sample have one", async () => {
    const { key } = await api().issue();
    const ids: string[] = [];
    for (let round = 0; round < 10; round++) {
      const told = await Promise.all(Array.from({ length: 20 }, () => library.ask("/x", { key }, "sampled")));
      ids.push(...told.map(({ headers }) => headers["x-request-id"] ?? ""));
    }
    const sample = ids.filter((requestId) => isSampled(requestId, 0.25));
    expect(sample.length).toBeGreaterThan(20);
    expect(sample.length).toBeLessThan(90);
    await expect.poll(() => sample.every((id) => linesOf(id).length === 1), { timeout: 2_000 }).toBe(true);
    expect(ids.filter((id) => linesOf(id).length > 0)).toEqual(sample);
  });
});
