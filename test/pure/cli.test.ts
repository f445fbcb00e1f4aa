import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import { ID, KEY, RECORD, run, type Stage, TOKEN } from "../support/cli-lab.ts";

/** The command line: what it sends, what it prints, how it ends. */

const issued = () => Response.json({ ...RECORD, key: KEY }, { status: 201 });
const problem = (status: number, body: object) =>
  Response.json(body, { status, headers: { "Content-Type": "application/problem+json" } });
const CREATE = [
  "keys",
  "create",
  "--name",
  "Billing worker",
  "--owner",
  "acme",
  "-e",
  "live",
  "--scope",
  "charges:read",
];

describe("the new key", () => {
  test("into a pipe goes the key alone", async () => {
    const { code, out, err } = await run(CREATE, { answer: issued });
    expect([code, out]).toEqual([0, `${KEY}\n`]);
    expect(err).not.toContain(KEY);
    expect(err).toContain("Billing worker");
  });

  test("--quiet prints it alone on a terminal too", async () => {
    const { out, err } = await run([...CREATE, "--quiet"], { answer: issued, isTerminal: true });
    expect([out, err]).toEqual([`${KEY}\n`, ""]);
  });

  test("on a terminal it stands under its record", async () => {
    const { out } = await run(CREATE, { answer: issued, isTerminal: true });
    expect(out).toMatch(/Billing worker[^]*shown this once[^]*the-key-that-was-made/);
  });

  test("a repeat without the key says so, and prints nothing that a script could take for one", async () => {
    const { out, err } = await run([...CREATE, "--idempotency-key", "once"], {
      answer: () => Response.json(RECORD, { status: 201 }),
    });
    expect(out).toBe("");
    expect(err).toContain("not shown again");
  });
});

describe("what is sent", () => {
  test("create sends what was named, with an Idempotency-Key of its own", async () => {
    const line = [
      ...CREATE,
      "--scope",
      "reports:*",
      "--plan",
      "pro",
      "--limit",
      "burst=100/minute",
      "--limit",
      "monthly=10000/month",
      "--limit",
      "spike=5/10s:quota",
    ];
    const more = [
      "--ip",
      "10.0.0.0/8",
      "--origin",
      "*.example.com",
      "--strict",
      "--expires",
      "90d",
      "--tag",
      "a",
      "--purpose",
      "Test",
      "--metadata",
      '{"a":1}',
      "--kind",
      "secret",
    ];
    const { first } = await run([...line, ...more], { answer: issued });
    expect([first?.method, first?.url.href]).toEqual(["POST", "http://localhost:8787/_latchkey/v1/keys"]);
    expect(first?.headers.get("Authorization")).toBe(`Bearer ${TOKEN}`);
    expect(first?.headers.get("Idempotency-Key")).toMatch(/^[0-9a-f-]{36}$/);
    expect(first?.body).toEqual({
      name: "Billing worker",
      owner: "acme",
      environment: "live",
      kind: "secret",
      scopes: ["charges:read", "reports:*"],
      plan: "pro",
      limits: [
        { name: "burst", limit: 100, window: "minute", kind: "rate" },
        { name: "monthly", limit: 10_000, window: "month", kind: "quota" },
        { name: "spike", limit: 5, window: { seconds: 10 }, kind: "quota" },
      ],
      bindings: { ips: ["10.0.0.0/8"], origins: ["*.example.com"] },
      policy: { strict: true },
      expiresAt: "2027-02-21T12:00:00.000Z",
      tags: ["a"],
      purpose: "Test",
      metadata: { a: 1 },
    });
  });

  test("update sends only what was named, bound to a generation where one is given", async () => {
    const { first } = await run([
      "keys",
      "update",
      ID,
      "--plan",
      "none",
      "--expires",
      "never",
      "--patch",
      '{"metadata":{"a":null}}',
      "--if-generation",
      "3",
    ]);
    expect([first?.method, first?.url.pathname, first?.headers.get("If-Match")]).toEqual([
      "PATCH",
      `/_latchkey/v1/keys/${ID}`,
      '"g3"',
    ]);
    expect(first?.body).toEqual({ plan: null, expiresAt: null, metadata: { a: null } });
  });

  test.each([
    [["keys", "rotate", ID, "--overlap", "2h"], `/keys/${ID}/rotate`, { overlapSeconds: 7_200 }],
    [["keys", "rotate", ID], `/keys/${ID}/rotate`, {}],
    [["keys", "disable", ID], `/keys/${ID}/disable`, {}],
    [["keys", "enable", ID], `/keys/${ID}/enable`, {}],
    [
      ["keys", "revoke", ID, "--reason", "leaked", "--note", "Seen"],
      `/keys/${ID}/revoke`,
      { reason: "leaked", note: "Seen" },
    ],
  ])("%j", async (line, where, body) => {
    const { first, code } = await run(line, { answer: issued });
    expect([code, first?.method, first?.url.pathname, first?.body]).toEqual([0, "POST", `/_latchkey/v1${where}`, body]);
  });

  test("list and audit send their filters; --all follows the cursor to the end", async () => {
    const pages = [
      { data: [RECORD], nextCursor: "two" },
      { data: [RECORD], nextCursor: null },
    ];
    const { sent, out } = await run(
      ["keys", "list", "--owner", "acme", "--last-used-before", "90d", "--all", "--json"],
      { answer: () => Response.json(pages.shift()) },
    );
    expect(sent.map((one) => one.url.searchParams.get("cursor"))).toEqual([null, "two"]);
    expect(Object.fromEntries(sent[0]?.url.searchParams ?? [])).toEqual({
      owner: "acme",
      lastUsedBefore: "2026-08-25T12:00:00.000Z",
      limit: "200",
    });
    expect(JSON.parse(out)).toMatchObject({ data: [{ id: ID }, { id: ID }], nextCursor: null });
  });

  test("setting an owner's name keeps its limits, and loses no race", async () => {
    const owner = {
      id: "acme",
      name: "Old",
      limits: RECORD.limits,
      metadata: { a: 1 },
      generation: 4,
      keys: { active: 1, total: 2 },
    };
    const { sent } = await run(["owners", "set", "acme", "--name", "New"], { answer: () => Response.json(owner) });
    expect(sent.map((one) => one.method)).toEqual(["GET", "PUT"]);
    expect(sent[1]?.body).toEqual({ name: "New", limits: RECORD.limits, metadata: { a: 1 } });
    expect(sent[1]?.headers.get("If-Match")).toBe('"g4"');
  });

  test("setting an owner's team keeps its address, and an empty one takes it away", async () => {
    const contacts = { email: "team@acme.example", team: "payments" };
    const owner = {
      id: "acme",
      name: null,
      limits: [],
      metadata: {},
      generation: 4,
      contacts,
      keys: { active: 1, total: 2 },
    };
    const answer = () => Response.json(owner);
    const kept = await run(["owners", "set", "acme", "--team", "core"], { answer });
    expect(kept.sent[1]?.body).toMatchObject({ contacts: { email: "team@acme.example", team: "core" } });
    expect(kept.out).toContain("team@acme.example");
    const named = await run(["owners", "set", "acme", "--name", "New"], { answer });
    expect(named.sent[1]?.body).toMatchObject({ contacts });
    const emptied = await run(["owners", "set", "acme", "--email", "", "--team", ""], { answer });
    expect(emptied.sent[1]?.body).not.toHaveProperty("contacts");
  });

  test("an owner is disabled and enabled, and what has not reached all keys yet is said", async () => {
    const owner = { id: "acme", name: null, limits: [], metadata: {}, generation: 2, keys: { active: 0, total: 2 } };
    const stopped = { ...owner, disabledAt: "2026-11-23T12:00:00.000Z", delivery: "pending" };
    const off = await run(["owners", "disable", "acme", "--if-generation", "1"], {
      answer: () => Response.json(stopped),
    });
    expect([off.code, off.first?.method, off.first?.url.pathname, off.first?.body]).toEqual([
      0,
      "POST",
      "/_latchkey/v1/owners/acme/disable",
      {},
    ]);
    expect(off.first?.headers.get("If-Match")).toBe('"g1"');
    expect(off.out).toContain("2026-11-23T12:00:00.000Z");
    expect(off.err).toContain("on its way");
    const started = { ...owner, delivery: "delivered" };
    const on = await run(["owners", "enable", "acme"], { answer: () => Response.json(started) });
    expect([on.code, on.first?.url.pathname, on.err]).toEqual([0, "/_latchkey/v1/owners/acme/enable", ""]);
    expect(on.out).not.toContain("disabledAt");
  });

  test("usage and audit verify read what they print", async () => {
    const figures = { requests: 3, allowed: 2, refused: 1, cost: 2, bytesIn: 10, bytesOut: 20 };
    const report = { series: [{ start: "2026-11-23T11:00:00.000Z", key: ID, ...figures }], totals: figures };
    const usage = await run(["usage", "--group-by", "key", "--from", "7d"], { answer: () => Response.json(report) });
    expect(usage.first?.url.searchParams.get("from")).toBe("2026-11-16T12:00:00.000Z");
    expect(usage.out).toContain("2026-11-23 11:00");
    const broken = await run(["audit", "verify"], {
      answer: () => Response.json({ valid: false, entries: 9, head: "h", firstBadSequence: 4 }),
    });
    expect([broken.code, broken.first?.url.pathname]).toEqual([1, "/_latchkey/v1/audit/verify"]);
    expect(broken.err).toContain("entry 4");
  });
});

describe("alerts", () => {
  const time = "2026-11-23T12:00:00.000Z";
  const alertId = `alt_${"0".repeat(26)}`;
  const alert = {
    id: alertId,
    kind: "spike",
    title: "A key is used far more",
    severity: "page",
    state: "firing",
    owner: "acme",
    startedAt: time,
    acknowledged: null,
    resolved: null,
    subjects: [{ subject: ID, since: time, summary: "900 requests in an hour." }],
    moreSubjects: 7,
    told: [{ destination: "chat" }],
    runbook: "docs/operations.md#alert-spike",
  };

  test("are listed, shown and acknowledged", async () => {
    const listed = await run(["alerts", "--state", "firing", "--owner", "acme"], {
      answer: () => Response.json({ data: [alert], nextCursor: null }),
    });
    expect(listed.first?.url.search).toBe("?state=firing&owner=acme");
    expect(listed.out).toMatch(/page +firing +spike +acme/);
    const shown = await run(["alerts", "show", alertId], { answer: () => Response.json(alert) });
    expect(shown.out).toContain("docs/operations.md#alert-spike");
    expect(shown.out).toContain("and about 7 more");
    const done = await run(["alerts", "acknowledge", alertId], {
      answer: () => Response.json({ ...alert, state: "acknowledged", acknowledged: { at: time, by: "root" } }),
    });
    expect([done.code, done.first?.method, done.first?.url.pathname]).toEqual([
      0,
      "POST",
      `/_latchkey/v1/alerts/${alertId}/acknowledge`,
    ]);
    expect(done.out).toContain(`${time} by root`);
    expect((await run(["alerts", "show", "../keys"])).code).toBe(2);
  });

  test("are silenced by what is named, and all of them only when that is said", async () => {
    const answer = () => Response.json({ id: "sil_1", endsAt: time });
    const about = ["--until", "2h", "--reason", "Load test"];
    const some = await run(["alerts", "silence", "--owner", "acme", "--kind", "spike", ...about], { answer });
    expect(some.first?.body).toEqual({
      match: { owners: ["acme"], kinds: ["spike"] },
      until: "2026-11-23T14:00:00.000Z",
      reason: "Load test",
    });
    expect((await run(["alerts", "silence", ...about], { answer })).code).toBe(2);
    expect((await run(["alerts", "silence", "--everything", "--owner", "a", ...about], { answer })).code).toBe(2);
    const all = await run(["alerts", "silence", "--everything", ...about], { answer });
    expect(all.first?.body).toMatchObject({ match: {} });
  });

  test("channels are tried, and deliveries read", async () => {
    const tried = await run(["alerts", "test", "chat"], { answer: () => Response.json({ id: "dlv_1" }) });
    expect([tried.code, tried.first?.url.pathname]).toEqual([0, "/_latchkey/v1/alert-channels/chat/test"]);
    const one = {
      id: "dlv_1",
      createdAt: time,
      channel: "chat",
      state: "pending",
      attempts: 3,
      lastError: "answered 503",
    };
    const read = await run(["alerts", "deliveries", "--channel", "chat"], {
      answer: () => Response.json({ data: [{ ...one, nextAt: time }], nextCursor: null }),
    });
    expect(read.out).toMatch(/chat +pending +3 +answered 503/);
  });
});

describe("signing keys", () => {
  const time = "2026-11-23T12:00:00.000Z";
  const one = { kid: "thumb", alg: "ES256", state: "current", publishedAt: time, startedAt: time };
  const keys = {
    signing: "on",
    algorithm: "ES256",
    rotatesAt: time,
    keys: [{ ...one, retiredAt: null, removedAt: null }],
  };

  test("are shown, and the next one is started", async () => {
    const shown = await run(["signing-keys"], { answer: () => Response.json(keys) });
    expect([shown.code, shown.first?.url.pathname]).toEqual([0, "/_latchkey/v1/signing-keys"]);
    expect(shown.out).toMatch(/thumb +ES256 +current/);
    const rotated = await run(["signing-keys", "rotate", "--reason", "Exercise"], {
      answer: () => Response.json({ ...keys, effectiveBy: null }),
    });
    expect([rotated.code, rotated.first?.method, rotated.first?.url.pathname]).toEqual([
      0,
      "POST",
      "/_latchkey/v1/signing-keys/rotate",
    ]);
    expect(rotated.first?.body).toEqual({ emergency: false, reason: "Exercise" });
  });

  test("an emergency is asked about on a terminal, and says from when on old tokens are refused", async () => {
    const answer = () => Response.json({ ...keys, effectiveBy: time });
    const line = ["signing-keys", "rotate", "--emergency"];
    const doubtful = await run(line, { answer, canAsk: true, ask: async () => "n" });
    expect([doubtful.code, doubtful.first]).toEqual([2, undefined]);
    const sure = await run([...line, "--yes"], { answer, canAsk: true });
    expect(sure.code).toBe(0);
    expect(sure.err).toContain(time);
  });
});

describe("where the token comes from", () => {
  const withEnv = (env: Record<string, string>, stage: Stage = {}, ...flags: string[]) =>
    run(["keys", "show", ID, ...flags], { ...stage, env });

  test("the environment first, then .dev.vars of a local run", async () => {
    const files = { "/work/.dev.vars": 'OTHER=1\nLATCHKEY_ROOT_TOKEN="from-dev-vars"\n' };
    expect(
      (await withEnv({ LATCHKEY_TOKEN: "a-token", LATCHKEY_ROOT_TOKEN: "root" }, { files })).first?.headers.get(
        "Authorization",
      ),
    ).toBe("Bearer a-token");
    expect((await withEnv({ LATCHKEY_ROOT_TOKEN: "root" }, { files })).first?.headers.get("Authorization")).toBe(
      "Bearer root",
    );
    expect((await withEnv({}, { files })).first?.headers.get("Authorization")).toBe("Bearer from-dev-vars");
  });

  test("the local token is never sent to another server", async () => {
    const files = { "/work/.dev.vars": "LATCHKEY_ROOT_TOKEN=from-dev-vars\n" };
    const { code, sent } = await withEnv({ LATCHKEY_URL: "https://api.example.com" }, { files });
    expect([code, sent.length]).toEqual([2, 0]);
  });

  test("a file or standard input, never a flag", async () => {
    expect(
      (await withEnv({}, { files: { "/work/token": "from-file\n" } }, "--token-file", "token")).first?.headers.get(
        "Authorization",
      ),
    ).toBe("Bearer from-file");
    expect(
      (await withEnv({}, { stdin: "from-stdin\n" }, "--token-file", "-")).first?.headers.get("Authorization"),
    ).toBe("Bearer from-stdin");
    const flag = await withEnv({}, {}, "--token", "secret-value");
    expect([flag.code, flag.sent.length]).toEqual([2, 0]);
    expect(flag.err).not.toContain("secret-value");
  });

  test("a token in the clear is warned of, and a redirect is not followed", async () => {
    const { err } = await withEnv({ LATCHKEY_TOKEN: "a-token" }, {}, "--url", "http://api.example.com");
    expect(err).toContain("not https");
    const server = createServer((_request, response) =>
      response.writeHead(302, { Location: "http://127.0.0.1:9/" }).end(),
    );
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const { code } = await run(["keys", "show", ID, "--url", `http://127.0.0.1:${port}`], { fetch });
    server.close();
    expect(code).toBe(3);
  });
});

describe("how it ends", () => {
  test("0 when done, 1 when refused, with each fault and the request's id", async () => {
    const refused = {
      code: "request_invalid",
      detail: "The request has faults; see errors.",
      requestId: "req_1",
      errors: [{ pointer: "/limits/0/window", detail: "Has none of the allowed forms." }],
    };
    const { code, err, out } = await run(CREATE, { answer: () => problem(400, refused) });
    expect([code, out]).toEqual([1, ""]);
    expect(err).toContain("limits/0/window: Has none of the allowed forms.");
    expect(err).toContain("req_1");
    const json = await run([...CREATE, "--json"], { answer: () => problem(400, refused) });
    expect(JSON.parse(json.err)).toEqual(refused);
  });

  test.each([
    [[]],
    [["nonsense"]],
    [["keys"]],
    [["keys", "create"]],
    [["keys", "create", "--colour", "red"]],
    [["keys", "show"]],
    [["keys", "show", "a", "b"]],
    [["keys", "show", "not-an-id"]],
    [["keys", "update", ID]],
    [["keys", "revoke", ID]],
    [["keys", "rotate", ID, "--overlap", "soon"]],
    [["keys", "list", "surplus"]],
    [["owners", "show", "-bad-"]],
    [["owners", "disable", "a/b"]],
    [[...CREATE, "--limit", "100"]],
    [[...CREATE, "--expires", "2027-02-31T99:00:00Z"]],
    [[...CREATE, "--metadata", "[1]"]],
    [["keys", "show", ID, "--url", "ftp://example.com"]],
  ])("2 for wrong usage, without asking anyone: %j", async (line) => {
    const { code, sent, err } = await run(line);
    expect([code, sent.length]).toEqual([2, 0]);
    expect(err).not.toBe("");
  });

  test("3 when nobody answers, with how to repeat a write that may have been done", async () => {
    const down = () =>
      Promise.reject(
        Object.assign(new TypeError("fetch failed"), {
          cause: Object.assign(new Error("no"), { code: "ECONNREFUSED" }),
        }),
      );
    const { code, err } = await run([...CREATE, "--idempotency-key", "once"], { answer: down });
    expect(code).toBe(3);
    expect(err).toContain("ECONNREFUSED");
    expect(err).toContain("--idempotency-key once");
    expect((await run(["keys", "show", ID], { answer: down })).err).not.toContain("--idempotency-key");
  });

  test("a server that is no Latchkey is told apart", async () => {
    const { code, err } = await run(["keys", "show", ID], { answer: () => new Response("<html>", { status: 404 }) });
    expect(code).toBe(1);
    expect(err).toContain("Is the URL right?");
  });

  test("every command has help that names its flags", async () => {
    const { out, code } = await run(["--help"]);
    expect(code).toBe(0);
    const commands = [...out.matchAll(/^ {2}([a-z]+(?: [a-z]+)?)(?: [A-Z]+)? {2,}/gm)].map((match) => match[1] ?? "");
    expect(commands.length).toBeGreaterThan(14);
    for (const command of commands) {
      const help = await run([...command.split(" "), "--help"], { env: {} });
      expect([command, help.code, help.out.startsWith(`Usage: latchkey ${command}`)]).toEqual([command, 0, true]);
    }
  });
});

describe("a terminal", () => {
  const long = {
    ...RECORD,
    name: "A name that is long enough to need cutting somewhere in the middle",
    scopes: Array.from({ length: 20 }, (_, index) => `scope${index}:read`),
  };
  const page = () => Response.json({ data: [long, { ...RECORD, status: "revoked" }], nextCursor: "more" });
  const ESCAPE = String.fromCharCode(27);

  test.each([60, 80, 120])("a table fits in %i columns", async (columns) => {
    const { out, err } = await run(["keys", "list"], {
      answer: page,
      isTerminal: true,
      columns,
      env: { LATCHKEY_TOKEN: TOKEN, NO_COLOR: "1" },
    });
    for (const line of out.split("\n")) expect(line.length).toBeLessThanOrEqual(Math.max(columns, 9 * 6 + 16));
    expect(out).toContain("…");
    expect(err).toContain("--cursor more");
  });

  test("into a pipe nothing is cut and nothing is coloured", async () => {
    const { out } = await run(["keys", "list"], { answer: page });
    expect(out).toContain(long.name);
    expect(out).toContain("scope19:read");
    expect(out).not.toContain(ESCAPE);
  });

  test("colours only on a terminal, and not with NO_COLOR", async () => {
    const coloured = async (env: Record<string, string>) =>
      (
        await run(["keys", "list"], { answer: page, isTerminal: true, env: { LATCHKEY_TOKEN: TOKEN, ...env } })
      ).out.includes(ESCAPE);
    expect(await coloured({})).toBe(true);
    expect(await coloured({ NO_COLOR: "1" })).toBe(false);
    expect(await coloured({ TERM: "dumb" })).toBe(false);
  });

  test("what comes from the server cannot move the cursor", async () => {
    const { out } = await run(["keys", "show", ID], {
      answer: () => Response.json({ ...RECORD, name: `a${ESCAPE}[2Jb` }),
    });
    expect(out).toContain("a?[2Jb");
  });

  test("revoking asks first, unless told not to", async () => {
    const line = ["keys", "revoke", ID, "--reason", "leaked"];
    const asked: string[] = [];
    const ask = (answer: string) => async (question: string) => {
      asked.push(question);
      return answer;
    };
    const no = await run(line, { canAsk: true, ask: ask("n") });
    expect([no.code, no.sent.map((one) => one.method)]).toEqual([2, ["GET"]]);
    expect(asked[0]).toContain("lk_live_AbCd…wxyz");
    const yes = await run(line, { canAsk: true, ask: ask("y") });
    expect(yes.sent.map((one) => one.method)).toEqual(["GET", "POST"]);
    const told = await run([...line, "--yes"], { canAsk: true, ask: ask("n") });
    expect([told.code, asked.length]).toEqual([0, 2]);
  });
});
