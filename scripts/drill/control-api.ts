/** The control API, as far as drills use it. */

export interface IssuedKey {
  readonly id: string;
  readonly lineageId: string;
  /** Shown once. */
  readonly key: string;
}

export interface ControlAnswer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

export interface ControlApi {
  /** Below `/_latchkey/v1`. Never throws for a status. */
  readonly call: (method: string, path: string, body?: unknown) => Promise<ControlAnswer>;
  /** Throws unless the answer is 201. */
  readonly issue: (input?: Record<string, unknown>) => Promise<IssuedKey>;
  readonly rotate: (id: string, input: Record<string, unknown>) => Promise<IssuedKey>;
  /** Throws unless the answer is 200. */
  readonly revoke: (
    id: string,
    reason?: string,
  ) => Promise<{ readonly answeredAt: number; readonly delivery: unknown }>;
  /** Requests and cost in the ledger, of one key. */
  readonly usage: (keyId: string) => Promise<Counted>;
  /** A sample of `/_latchkey/metrics` by its name, over all labels; `null` when there is none. */
  readonly metric: (name: string) => Promise<number | null>;
  /** `/_latchkey/readyz`: 0 when there was no answer. */
  readonly ready: () => Promise<Readiness>;
}

export interface Counted {
  readonly requests: number;
  readonly cost: number;
}

export interface Readiness {
  readonly status: number;
  /** Names of the parts that are down. */
  readonly down: readonly string[];
}

const NEW_KEY = { name: "Drill", owner: "drill", environment: "live", scopes: ["reports:read", "charges:write"] };

/** `target` is read at each call: a restart may change it. `token`: the root token, or an admin key. */
export function controlApi(target: { readonly url: string }, token: string): ControlApi {
  const call: ControlApi["call"] = async (method, path, body) => {
    const response = await fetch(`${target.url}/_latchkey/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> }; // the API speaks JSON objects
  };
  const expectStatus = async (status: number, pending: Promise<ControlAnswer>): Promise<Record<string, unknown>> => {
    const answer = await pending;
    if (answer.status === status) return answer.body;
    throw new Error(`The control API answered ${answer.status} ${JSON.stringify(answer.body)}, not ${status}`);
  };
  const made = async (path: string, body: unknown): Promise<IssuedKey> =>
    (await expectStatus(201, call("POST", path, body))) as unknown as IssuedKey; // the contract's record
  return {
    call,
    issue: (input = {}) => made("/keys", { ...NEW_KEY, ...input }),
    rotate: (id, input) => made(`/keys/${id}/rotate`, input),
    revoke: async (id, reason = "leaked") => {
      const body = await expectStatus(200, call("POST", `/keys/${id}/revoke`, { reason }));
      return { answeredAt: Date.now(), delivery: body["delivery"] };
    },
    usage: async (keyId) => {
      const body = await expectStatus(200, call("GET", `/usage?key=${keyId}`));
      return body["totals"] as Counted; // the contract's totals
    },
    metric: async (name) => {
      const response = await fetch(`${target.url}/_latchkey/metrics`, {
        headers: { authorization: `Bearer ${token}` },
      });
      const samples = [...(await response.text()).matchAll(/^([a-z_]+)(?:\{[^}]*\})? (\S+)$/gm)];
      const values = samples.filter(([, found]) => found === name).map(([, , value]) => Number(value));
      return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0);
    },
    ready: async () => {
      try {
        const response = await fetch(`${target.url}/_latchkey/readyz`);
        const { checks } = (await response.json()) as { checks?: Record<string, { state: string }> }; // the contract's readyz
        const down = Object.entries(checks ?? {}).filter(([, { state }]) => state !== "up");
        return { status: response.status, down: down.map(([name]) => name) };
      } catch {
        return { status: 0, down: [] };
      }
    },
  };
}
