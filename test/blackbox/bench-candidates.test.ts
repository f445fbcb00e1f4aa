import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type DemoOrigin, startDemoOrigin } from "../../scripts/demo-origin.ts";
import { JOSE_SIGN, JOSE_VERIFY } from "../../scripts/bench/jose.ts";
import { LATCHKEY } from "../../scripts/bench/latchkey.ts";

/** What the benchmark measures must run: a whole run takes ten minutes, and is not part of the tests. */

let origin: DemoOrigin;
let directory = "";
beforeAll(async () => {
  origin = await startDemoOrigin();
  directory = await mkdtemp(path.join(tmpdir(), "latchkey-bench-"));
});
afterAll(async () => {
  await origin.close();
  await rm(directory, { recursive: true, force: true });
});

test.each([...LATCHKEY, JOSE_SIGN, JOSE_VERIFY])(
  "$name starts, and is answered as the benchmark wants",
  async (candidate) => {
    const own = await mkdtemp(path.join(directory, `${candidate.name}-`));
    const running = await candidate.start({ originUrl: origin.url, directory: own });
    try {
      const [request] = running.requests;
      if (request === undefined) throw new Error("there is nothing to send");
      const { method, path: target, headers, body } = request;
      const response = await fetch(running.url + target, { method, headers, ...(body === undefined ? {} : { body }) });
      await response.arrayBuffer();
      expect(response.status).toBe(running.expectedStatus);
    } finally {
      await running.stop();
    }
  },
);
