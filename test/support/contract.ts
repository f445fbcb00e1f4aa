import http from "node:http";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import zlib from "node:zlib";
import { expect } from "vitest";
import { control } from "./control.ts";
import type { Control } from "./control.ts";
import { startServer } from "./server.ts";
import type { Server, ServerOptions } from "./server.ts";

/** What the acceptance tests share: exact requests over a real socket, and readers of answers written from the RFCs alone. */

export type Json = null | boolean | number | string | Json[] | { readonly [name: string]: Json };
export type JsonObject = Record<string, unknown>;

export interface SendOptions {
  readonly method?: string;
  /** A value per name; a list sends the field several times. `Authorization` for `key` unless it is here. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly key?: string;
  /** An object is sent as JSON. */
  readonly body?: string | Buffer | object;
}

export interface Answer {
  readonly status: number;
  /** Lower-case names; of a repeated field the first. */
  readonly headers: Readonly<Record<string, string>>;
  readonly rawHeaders: readonly string[];
  readonly text: string;
  /** The body as JSON; throws when it is not. */
  readonly json: () => JsonObject;
  /** Epoch ms, before the first byte was sent. */
  readonly sentAt: number;
}

export interface Target {
  readonly server: Server;
  readonly api: Control;
  readonly send: (path: string, options?: SendOptions) => Promise<Answer>;
  readonly stop: () => Promise<void>;
}

const REQUEST_TIMEOUT_MS = 30_000;

/** Starts the product as a user does. */
export async function openTarget(options?: ServerOptions): Promise<Target> {
  const server = await startServer(options);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
  return {
    server,
    api: control(server),
    send: (path, request = {}) => sendTo(server.port, agent, path, request),
    stop: async () => {
      agent.destroy();
      await server.stop();
    },
  };
}

function sendTo(port: number, agent: http.Agent, path: string, options: SendOptions): Promise<Answer> {
  const sentAt = Date.now();
  const body =
    typeof options.body === "object" && !Buffer.isBuffer(options.body) ? JSON.stringify(options.body) : options.body;
  const headers: Record<string, string | readonly string[]> = { ...options.headers };
  if (options.key !== undefined && headers["authorization"] === undefined)
    headers["authorization"] = `Bearer ${options.key}`;
  if (body !== options.body && headers["content-type"] === undefined) headers["content-type"] = "application/json";
  if (body !== undefined) headers["content-length"] = String(Buffer.byteLength(body));
  return new Promise((resolve, reject) => {
    const request = http.request({
      agent,
      host: "127.0.0.1",
      port,
      path,
      method: options.method ?? "GET",
      headers: headers as http.OutgoingHttpHeaders, // only its mutability differs
      timeout: REQUEST_TIMEOUT_MS,
    });
    request.on("timeout", () => request.destroy(new Error(`${path}: no answer in time`)));
    request.on("error", reject);
    request.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => resolve(answerOf(response, Buffer.concat(chunks).toString("utf8"), sentAt)));
    });
    request.end(body);
  });
}

function answerOf(response: http.IncomingMessage, text: string, sentAt: number): Answer {
  const headers: Record<string, string> = {};
  for (let index = 0; index + 1 < response.rawHeaders.length; index += 2) {
    const name = (response.rawHeaders[index] ?? "").toLowerCase();
    headers[name] ??= response.rawHeaders[index + 1] ?? "";
  }
  return {
    status: response.statusCode ?? 0,
    headers,
    rawHeaders: response.rawHeaders,
    text,
    json: () => JSON.parse(text) as JsonObject, // what it holds is for assertions to say
    sentAt,
  };
}

/** Sends these octets and gives back all that came until the other side closed or `waitMs` passed without an octet. */
export function exchangeOctets(port: number, octets: string | Buffer, waitMs = 2_000): Promise<string> {
  return new Promise((resolve) => {
    let received = "";
    const socket = net.connect(port, "127.0.0.1", () => socket.write(octets));
    socket.setTimeout(waitMs, () => socket.destroy());
    socket.on("data", (chunk: Buffer) => (received += chunk.toString("latin1")));
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(received));
  });
}

/** What the demo origin says that it received. */
export interface Echo {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly rawHeaders: readonly string[];
  readonly bodyBytes: number;
}

export function echoOf(answer: Answer): Echo {
  expect(answer.status, answer.text).toBe(200);
  return answer.json() as unknown as Echo; // the demo origin's own shape
}

/** Asserts a whole problem document, RFC 9457 as the contract narrows it, and gives it back. */
export function expectProblem(answer: Answer, status: number, code: string): JsonObject {
  expect([answer.status, answer.text.slice(0, 500)].join(" ")).toMatch(
    new RegExp(`^${status} .*"code":\\s?"${code}"`, "s"),
  );
  expect(answer.headers["content-type"]).toMatch(/^application\/problem\+json\b/);
  const problem = answer.json();
  expect(problem).toMatchObject({
    type: expect.stringMatching(/^\/_latchkey\/problems\/./),
    title: expect.stringMatching(/./),
    status,
    detail: expect.stringMatching(/./),
    code,
    requestId: expect.stringMatching(/^req_./),
  });
  expect(answer.headers["x-request-id"]).toBe(problem["requestId"]);
  if (status === 401 || status === 403) {
    expect(answer.headers).not.toHaveProperty("ratelimit");
    expect(answer.headers).not.toHaveProperty("ratelimit-policy");
  }
  return problem;
}

/** `WWW-Authenticate: Bearer a="b", c="d"` as an object; throws on anything else. */
export function challengeOf(answer: Answer): Record<string, string> {
  const header = answer.headers["www-authenticate"] ?? "";
  expect(header).toMatch(/^Bearer [a-z_]+="[^"]*"(?:, ?[a-z_]+="[^"]*")*$/);
  return Object.fromEntries(
    [...header.matchAll(/([a-z_]+)="([^"]*)"/g)].map((match) => [match[1] ?? "", match[2] ?? ""]),
  );
}

// Structured fields (RFC 9651), as far as RateLimit fields may use them.

export type BareItem = string | number | boolean | { readonly token: string };
export interface FieldItem {
  readonly value: BareItem;
  readonly parameters: Readonly<Record<string, BareItem>>;
}

/** Parses a List of Items. Throws where RFC 9651, section 4.2, says that parsing fails. */
export function parseFieldList(text: string): FieldItem[] {
  let rest = text.trim();
  const take = (pattern: RegExp): RegExpExecArray | null => {
    const match = pattern.exec(rest);
    if (match !== null) rest = rest.slice(match[0].length);
    return match;
  };
  const bareItem = (): BareItem => {
    const number = take(/^-?\d{1,15}(?:\.\d{1,3})?(?![\d.])/);
    if (number !== null) return Number(number[0]);
    const quoted = take(/^"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"/);
    if (quoted !== null) return (quoted[1] ?? "").replaceAll(/\\(["\\])/g, "$1");
    const flag = take(/^\?([01])/);
    if (flag !== null) return flag[1] === "1";
    const token = take(/^[A-Za-z*][A-Za-z0-9:/!#$%&'*+\-.^_`|~]*/);
    if (token !== null) return { token: token[0] };
    throw new Error(`not a bare item: ${rest} (of ${text})`);
  };
  const items: FieldItem[] = [];
  const atEnd = (): boolean => rest === "";
  while (!atEnd()) {
    const value = bareItem();
    const parameters: Record<string, BareItem> = {};
    while (take(/^; */) !== null) {
      const name = take(/^[a-z*][a-z0-9_\-.*]*/);
      if (name === null) throw new Error(`not a parameter: ${rest} (of ${text})`);
      parameters[name[0]] = take(/^=/) === null ? true : bareItem();
    }
    items.push({ value, parameters });
    if (atEnd()) break;
    if (take(/^[ \t]*,[ \t]*(?=[^ \t])/) === null) throw new Error(`not a list: ${rest} (of ${text})`);
  }
  return items;
}

export interface QuotaView {
  /** From `RateLimit-Policy`: quota, and window in seconds. */
  readonly q: number;
  readonly w: number;
  /** From `RateLimit`: what is left, and seconds until the window's end. */
  readonly r: number;
  readonly t: number;
}

/** Both RateLimit fields of an answer, by the limit's name; `{}` without them. Asserts their syntax and that they match. */
export function quotasOf(answer: Answer): Record<string, QuotaView> {
  const policies = parseFieldList(answer.headers["ratelimit-policy"] ?? "");
  const states = parseFieldList(answer.headers["ratelimit"] ?? "");
  const views: Record<string, QuotaView> = {};
  expect(states.map((item) => item.value)).toEqual(policies.map((item) => item.value));
  policies.forEach((policy, index) => {
    if (typeof policy.value !== "string")
      throw new Error(`a policy's name must be a String: ${JSON.stringify(policy)}`);
    const view = { ...policy.parameters, ...states[index]?.parameters };
    for (const name of ["q", "w", "r", "t"]) {
      expect(Number.isInteger(view[name]), `${name} in ${answer.headers["ratelimit"]}`).toBe(true);
      expect(view[name]).toBeGreaterThanOrEqual(0);
    }
    views[policy.value] = view as unknown as QuotaView; // checked above
  });
  return views;
}

// Keys, made here independently of the product.

export const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** The six characters after everything before them. */
export function checksumOf(text: string): string {
  let value = zlib.crc32(text);
  let digits = "";
  for (let index = 0; index < 6; index++) {
    digits = `${BASE62[value % 62] ?? ""}${digits}`;
    value = Math.floor(value / 62);
  }
  return digits;
}

/** A key of the right form that nobody issued. */
export function strangerKey(environment: "live" | "test" = "live", prefix = "lk"): string {
  let random = "";
  for (let index = 0; index < 32; index++) random += BASE62[Math.floor(Math.random() * 62)] ?? "";
  const text = `${prefix}_${environment}_${random}`;
  return `${text}${checksumOf(text)}`;
}

// Time.

/** Resolves when the present window of this length has at least `needed` seconds left. */
export async function untilRoom(windowSeconds: number, needed: number): Promise<void> {
  const leftMs = windowSeconds * 1_000 - (Date.now() % (windowSeconds * 1_000));
  if (leftMs < needed * 1_000) await sleep(leftMs + 20);
}

/** Which window of this length it is now. */
export function windowNow(windowSeconds: number): number {
  return Math.floor(Date.now() / 1_000 / windowSeconds);
}

/** Calls `task` that many times, so many at once; results in order. */
export async function inParallel<T>(
  count: number,
  concurrency: number,
  task: (index: number) => Promise<T>,
): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const index = next++;
      results[index] = await task(index);
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, count) }, worker));
  return results;
}

/** How many answers had each status: `{ 200: 7, 429: 3 }`. */
export function tally(answers: readonly Answer[]): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}
