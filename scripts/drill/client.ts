import http from "node:http";

/** Clients of the drills: keep-alive connections, and what came of each request. */

/** `status` 0: no answer. */
export interface Seen {
  readonly status: number;
  /** Of a problem document. */
  readonly code: string | null;
  /** Admitted in grace, as `X-Latchkey-Degraded` says. */
  readonly degraded: boolean;
  readonly retryAfter: string | null;
  /** Epoch ms. */
  readonly sentAt: number;
  readonly answeredAt: number;
}

export interface Shot {
  /** `http://host:port`, without a path. */
  readonly url: string;
  readonly path?: string;
  readonly method?: string;
  readonly key: string;
  /** The client's address, where the receiver believes it. */
  readonly ip?: string;
  /** ISO 3166-1 alpha-2, as above. */
  readonly country?: string;
}

const REQUEST_TIMEOUT_MS = 30_000;
/** workerd drops an idle connection after 5 s; ours goes first. */
const IDLE_CONNECTION_MS = 3_000;

export class Client {
  readonly #agent = new http.Agent({ keepAlive: true, timeout: IDLE_CONNECTION_MS, maxSockets: 512 });

  /** Never rejects. */
  async send(shot: Shot): Promise<Seen> {
    const sentAt = Date.now();
    const first = await this.#try(shot, sentAt);
    // A connection that was closed in the same moment never carried the request.
    return first.status === 0 && first.code === "stale connection" ? await this.#try(shot, sentAt) : first;
  }

  close(): void {
    this.#agent.destroy();
  }

  #try(shot: Shot, sentAt: number): Promise<Seen> {
    const { hostname, port } = new URL(shot.url);
    return new Promise((resolve) => {
      const request = http.request({
        agent: this.#agent,
        host: hostname,
        port,
        path: shot.path ?? "/used",
        method: shot.method ?? "GET",
        headers: headersOf(shot),
      });
      const end = (seen: Omit<Seen, "sentAt" | "answeredAt">): void => {
        clearTimeout(timer);
        resolve({ ...seen, sentAt, answeredAt: Date.now() });
      };
      const timer = setTimeout(() => request.destroy(new Error("no answer in time")), REQUEST_TIMEOUT_MS);
      request.on("error", () => {
        const code = request.reusedSocket ? "stale connection" : "no connection";
        end({ status: 0, code, degraded: false, retryAfter: null });
      });
      request.on("response", (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", () => end({ status: 0, code: "cut off", degraded: false, retryAfter: null }));
        response.on("end", () => {
          const status = response.statusCode ?? 0;
          end({
            status,
            code: status < 400 ? null : codeOf(Buffer.concat(chunks).toString()),
            degraded: response.headers["x-latchkey-degraded"] !== undefined,
            retryAfter: response.headers["retry-after"] ?? null,
          });
        });
      });
      request.end();
    });
  }
}

function headersOf({ key, ip, country }: Shot): Record<string, string> {
  return {
    authorization: `Bearer ${key}`,
    ...(ip === undefined ? {} : { "cf-connecting-ip": ip }),
    ...(country === undefined ? {} : { "mf-cf-blob": JSON.stringify({ country, colo: "LAB" }) }),
  };
}

function codeOf(text: string): string | null {
  try {
    const { code } = JSON.parse(text) as { code?: unknown }; // a problem document, or nothing of it
    return typeof code === "string" ? code : null;
  } catch {
    return null;
  }
}

/** Whether Latchkey let it through; what the origin made of it is another matter. */
export function isAdmitted({ status, code }: Seen): boolean {
  return status === 200 || code?.startsWith("upstream_") === true;
}

/** `200`, `200 in grace`, `401 key_revoked`, `no answer`. */
export function kindOf({ status, code, degraded }: Seen): string {
  if (status === 0) return "no answer";
  return `${status}${code === null ? "" : ` ${code}`}${degraded ? " in grace" : ""}`;
}

/** How many of each kind, most first. */
export function tally(seen: readonly Seen[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const one of seen) counts[kindOf(one)] = (counts[kindOf(one)] ?? 0) + 1;
  return Object.fromEntries(Object.entries(counts).sort(([, a], [, b]) => b - a));
}
