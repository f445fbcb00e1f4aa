import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";

const ROOT = path.resolve(import.meta.dirname, "../..");
const START_TIMEOUT_MS = 90_000;

/** `npm start`, on a free port, over a state of its own. */
export interface LocalGateway {
  readonly url: string;
  readonly rootToken: string;
  readonly stop: () => Promise<void>;
}

export async function startLocalGateway(upstream?: string): Promise<LocalGateway> {
  const state = await mkdtemp(path.join(os.tmpdir(), "latchkey-start-"));
  const rootToken = `lkroot_${randomBytes(32).toString("base64url")}`;
  const args = [path.join(ROOT, "scripts/start.ts"), "--port", "0", "--state", state];
  if (upstream !== undefined) args.push("--upstream", upstream);
  const child = spawn(process.execPath, args, { cwd: ROOT, env: { ...process.env, LATCHKEY_ROOT_TOKEN: rootToken } });
  let output = "";
  const url = await new Promise<string>((resolve, reject) => {
    const fail = (why: string): void => reject(new Error(`npm start ${why}:\n${output}`));
    const timer = setTimeout(() => fail("took too long"), START_TIMEOUT_MS);
    const onOutput = (chunk: Buffer): void => {
      output += chunk.toString();
      const ready = /^Latchkey ready on (\S+)$/m.exec(output)?.[1];
      if (ready === undefined) return;
      clearTimeout(timer);
      resolve(ready);
    };
    child.stdout.on("data", onOutput);
    child.stderr.on("data", onOutput);
    child.on("exit", () => fail("ended"));
  });
  const stop = async (): Promise<void> => {
    const ended = new Promise((resolve) => child.once("close", resolve));
    child.kill("SIGINT");
    await ended;
    await rm(state, { recursive: true, force: true });
  };
  return { url, rootToken, stop };
}

/** Issues a key through the control API. */
export async function issueKey(gateway: LocalGateway, fields: Readonly<Record<string, unknown>>): Promise<{ id: string; key: string }> {
  const answer = await fetch(`${gateway.url}/_latchkey/v1/keys`, {
    method: "POST",
    headers: { authorization: `Bearer ${gateway.rootToken}`, "content-type": "application/json" },
    body: JSON.stringify({ name: "test", owner: "acme", environment: "test", scopes: ["reports:read"], ...fields }),
  });
  if (answer.status !== 201) throw new Error(`no key was issued: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as { id: string; key: string }; // the contract's answer to POST /keys
}
