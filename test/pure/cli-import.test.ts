import { execFile } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { ID, type Parsed, RECORD, run, type Sent, TOKEN } from "../support/cli-lab.ts";

/** The command line: files of hashes, and the program as it is run. */

describe("import", () => {
  const hex = "ab".repeat(32);
  const base64url = Buffer.from(hex, "hex").toString("base64url");
  const taken = (sent: Sent) =>
    Response.json({ results: sent.body.keys.map((_: unknown, index: number) => ({ index, ok: true })) });
  const send = (text: string, ...flags: string[]) =>
    run(["keys", "import", "-", ...flags], { stdin: text, answer: taken });

  test.each([
    ["JSON", JSON.stringify([{ hash: hex, name: "A" }])],
    [
      "JSON with keys",
      JSON.stringify({ keys: [{ hash: { algorithm: "sha256", encoding: "hex", value: hex }, name: "A" }] }, null, 2),
    ],
    ["one line of NDJSON", JSON.stringify({ hash: hex, name: "A" })],
    ["CSV", `hash,name\n${hex},A\n`],
    ["CSV of a spreadsheet", `\uFEFFhash,name\r\n"${hex}","A"\r\n`],
  ])("%s", async (_name, text) => {
    const { first, code } = await send(text, "--owner", "acme", "-e", "live", "--scope", "a:b");
    expect(code).toBe(0);
    expect(first?.body).toEqual({
      keys: [
        {
          hash: { algorithm: "sha256", encoding: "hex", value: hex },
          name: "A",
          owner: "acme",
          environment: "live",
          scopes: ["a:b"],
        },
      ],
      dryRun: false,
    });
  });

  test("NDJSON, and fields of CSV with commas, quotes and lists", async () => {
    const lines = await send(
      `${JSON.stringify({ hash: base64url, name: "A" })}\n\n${JSON.stringify({ hash: hex, name: "B" })}\n`,
    );
    expect(lines.first?.body.keys.map((item: Parsed) => [item.name, item.hash.encoding])).toEqual([
      ["A", "base64url"],
      ["B", "hex"],
    ]);
    const csv = await send(
      `name,hash,scopes,tags,expiresAt\n"Acme, ""Inc""",${base64url},a:b  c:d,,2027-01-01T00:00:00Z\n`,
      "--dry-run",
    );
    expect(csv.first?.body).toEqual({
      keys: [
        {
          name: 'Acme, "Inc"',
          hash: { algorithm: "sha256", encoding: "base64url", value: base64url },
          scopes: ["a:b", "c:d"],
          expiresAt: "2027-01-01T00:00:00Z",
        },
      ],
      dryRun: true,
    });
  });

  test("more than a thousand go in batches, each under a key of its own", async () => {
    const many = JSON.stringify(Array.from({ length: 1_001 }, () => ({ hash: hex })));
    const { sent, out } = await send(many, "--idempotency-key", "once", "--json");
    expect(sent.map((one) => [one.body.keys.length, one.headers.get("Idempotency-Key")])).toEqual([
      [1_000, "once-0"],
      [1, "once-1"],
    ]);
    expect(JSON.parse(out)).toMatchObject({ imported: 1_001, refused: 0 });
    expect(JSON.parse(out).results.at(-1).index).toBe(1_000);
  });

  test("items that were refused are listed with the reason, and the exit code says so", async () => {
    const results = [
      { index: 0, ok: true },
      { index: 1, ok: false, code: "request_invalid", errors: [{ pointer: "/keys/1/scopes", detail: "Is required." }] },
    ];
    const { code, out, err } = await run(["keys", "import", "-"], {
      stdin: JSON.stringify([{ hash: hex }, { hash: hex }]),
      answer: () => Response.json({ results }),
    });
    expect(code).toBe(1);
    expect(out).toContain("/scopes Is required.");
    expect(err).toContain("1 imported, 1 refused.");
  });

  test.each([
    ["nothing", ""],
    ["a CSV without hashes", "name,owner\na,b\n"],
    ["an unknown column", `hash,key\n${hex},x\n`],
    ["a row that is short", `hash,name\n${hex}\n`],
    ["a stray quote", `hash,name\n${hex},"a"b\n`],
    ["half JSON", '[{"hash":'],
    ["a list of texts", '["a"]'],
  ])("%s is refused before anything is sent, and not repeated", async (_name, text) => {
    const { code, sent, err } = await send(text);
    expect([code, sent.length]).toEqual([2, 0]);
    expect(err).not.toContain(hex);
  });
});

describe("the program itself", () => {
  const program = path.resolve("scripts/latchkey.mjs");
  const execute = promisify(execFile);

  test("runs as it is, talks HTTP, and ends with the code of what happened", async () => {
    const server = createServer((request, response) => {
      response.writeHead(request.headers.authorization === `Bearer ${TOKEN}` ? 200 : 401, {
        "Content-Type": "application/json",
      });
      response.end(JSON.stringify({ data: [RECORD], nextCursor: null }));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}`;
    const env = { ...process.env, LATCHKEY_TOKEN: TOKEN, LATCHKEY_URL: url };
    const { stdout } = await execute(process.execPath, [program, "keys", "list"], { env });
    expect(stdout).toContain(ID);
    await expect(
      execute(process.execPath, [program, "keys", "list"], { env: { ...env, LATCHKEY_TOKEN: "other" } }),
    ).rejects.toMatchObject({ code: 1 });
    server.close();
    await new Promise((resolve) => server.once("close", resolve));
    await expect(execute(process.execPath, [program, "keys", "list"], { env })).rejects.toMatchObject({ code: 3 });
    await expect(execute(process.execPath, [program, "keys", "lost"], { env })).rejects.toMatchObject({ code: 2 });
  });
});
