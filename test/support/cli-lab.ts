import type { Io } from "../../scripts/latchkey/io.mjs";
import { main } from "../../scripts/latchkey/main.mjs";

/** The command line on a stage of its own: no network, no files, no terminal but what a test brings. */

export const ID = `key_${"0".repeat(26)}`;
export const TOKEN = ["lkroot", "t".repeat(43)].join("_");
/** Not in Latchkey's form: a test must not hold a whole key. */
export const KEY = "the-key-that-was-made";

export const RECORD = {
  id: ID,
  lineageId: "lin_1",
  name: "Billing worker",
  owner: "acme",
  environment: "live",
  kind: "secret",
  status: "active",
  hint: "lk_live_AbCd…wxyz",
  scopes: ["charges:read", "charges:write"],
  plan: null,
  limits: [{ name: "burst", limit: 100, window: "minute", kind: "rate" }],
  bindings: {},
  policy: {},
  metadata: {},
  tags: [],
  purpose: null,
  createdAt: "2026-11-23T12:00:00.000Z",
  createdBy: "root",
  expiresAt: null,
  lastUsedAt: null,
  generation: 1,
};

/** What JSON.parse gives. */
export type Parsed = ReturnType<typeof JSON.parse>;

export interface Sent {
  readonly method: string;
  readonly url: URL;
  readonly headers: Headers;
  readonly body: Parsed;
}

export interface Stage extends Partial<Io> {
  readonly files?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  readonly answer?: (sent: Sent) => Response | Promise<Response>;
}

export async function run(line: readonly string[], stage: Stage = {}) {
  const sent: Sent[] = [];
  const said = { out: "", err: "" };
  const io: Io = {
    env: { LATCHKEY_TOKEN: TOKEN },
    cwd: "/work",
    out: (text) => void (said.out += text),
    err: (text) => void (said.err += text),
    isTerminal: false,
    canAsk: false,
    columns: 80,
    fetch: async (input, init) => {
      const request = new Request(input, init);
      const text = await request.text();
      const one: Sent = {
        method: request.method,
        url: new URL(request.url),
        headers: request.headers,
        body: text === "" ? undefined : JSON.parse(text),
      };
      sent.push(one);
      return (await stage.answer?.(one)) ?? Response.json(RECORD);
    },
    readFile: async (file) => {
      const text = stage.files?.[file];
      if (text === undefined) throw new Error("no such file");
      return text;
    },
    readStdin: async () => stage.stdin ?? "",
    ask: async () => "",
    now: () => Date.parse("2026-11-23T12:00:00Z"),
    ...stage,
  };
  const code = await main(line, io);
  return { code, ...said, sent, first: sent[0] };
}
