/** A small client of the control API for black-box tests: the contract's calls, nothing else. */

export interface ControlTarget {
  /** `http://localhost:PORT`, without a path. */
  readonly url: string;
  readonly rootToken: string;
}

export interface ControlAnswer<T = Record<string, unknown>> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: T;
}

/** A key as `POST /keys` answers with; the raw key is there once. */
export interface IssuedKey {
  readonly id: string;
  readonly lineageId: string;
  readonly key: string;
  readonly status: string;
  readonly generation: number;
  readonly [field: string]: unknown;
}

/** What a test leaves out of a new key. */
const KEY_DEFAULTS = {
  name: "Test key",
  owner: "acme",
  environment: "live",
  scopes: ["reports:read", "charges:write"],
};

export interface Control {
  /** Any call below `/_latchkey/v1`. Never throws for a status. */
  readonly call: <T = Record<string, unknown>>(
    method: string,
    path: string,
    options?: { readonly body?: unknown; readonly headers?: Record<string, string>; readonly token?: string },
  ) => Promise<ControlAnswer<T>>;
  /** Issues a key. Throws unless the answer is 201. */
  readonly issue: (input?: Record<string, unknown>) => Promise<IssuedKey>;
  /** Throws unless the answer is 201. */
  readonly rotate: (id: string, input?: Record<string, unknown>) => Promise<IssuedKey>;
  /** Revokes, and says when the answer was there, epoch ms. Throws unless the answer is 200. */
  readonly revoke: (
    id: string,
    reason?: string,
  ) => Promise<{ readonly answeredAt: number; readonly body: Record<string, unknown> }>;
}

/** `workspace` acts in another workspace than `default`. */
export function control(target: ControlTarget, workspace?: string): Control {
  const call: Control["call"] = async (method, path, options = {}) => {
    const response = await fetch(`${target.url}/_latchkey/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${options.token ?? target.rootToken}`,
        ...(options.body === undefined ? {} : { "content-type": "application/json" }),
        ...(workspace === undefined ? {} : { "x-latchkey-workspace": workspace }),
        ...options.headers,
      },
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
    });
    const text = await response.text();
    const json = response.headers.get("content-type")?.includes("json") === true;
    // The caller says which shape it expects; a wrong one shows in its assertions.
    return { status: response.status, headers: response.headers, body: (json ? JSON.parse(text) : { text }) as never };
  };
  const expectStatus = async <T>(status: number, pending: Promise<ControlAnswer<T>>): Promise<T> => {
    const answer = await pending;
    if (answer.status === status) return answer.body;
    const { code, detail } = answer.body as { code?: unknown; detail?: unknown }; // a problem document, or nothing of it
    throw new Error(`The control API answered ${answer.status} (${String(code)}: ${String(detail)}), not ${status}`);
  };
  return {
    call,
    issue: (input = {}) => expectStatus(201, call<IssuedKey>("POST", "/keys", { body: { ...KEY_DEFAULTS, ...input } })),
    rotate: (id, input = {}) => expectStatus(201, call<IssuedKey>("POST", `/keys/${id}/rotate`, { body: input })),
    revoke: async (id, reason = "retired") => {
      const body = await expectStatus(200, call("POST", `/keys/${id}/revoke`, { body: { reason } }));
      return { answeredAt: Date.now(), body };
    },
  };
}

/** The header that presents a key. */
export function bearer(key: string): { readonly authorization: string } {
  return { authorization: `Bearer ${key}` };
}
