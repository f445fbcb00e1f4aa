import { randomUUID } from "node:crypto";
import { RefusedError, UnreachableError } from "./errors.mjs";

const TIMEOUT_MS = 30_000;
/** An answer of 200 records is about 200 KB, one of 1,000 imported keys about 1 MB. */
const MAX_ANSWER_BYTES = 32 * 1_048_576;

/**
 * @typedef {Record<string, any>} Json answers are shown, not computed with: members are looked at where they are printed
 *
 * @typedef {object} CallOptions
 * @property {Readonly<Record<string, string | undefined>>} [query]
 * @property {unknown} [body]
 * @property {string | undefined} [idempotencyKey]
 * @property {string | undefined} [ifMatch]
 */

/** Calls of the control API. Never repeats one by itself: whoever calls knows whether that is right. */
export class Client {
  /** @type {import("./settings.mjs").Settings} */
  #settings;
  /** @type {typeof fetch} */
  #fetch;

  /**
   * @param {import("./settings.mjs").Settings} settings
   * @param {typeof fetch} fetcher
   */
  constructor(settings, fetcher) {
    this.#settings = settings;
    this.#fetch = fetcher;
  }

  /**
   * @param {string} path below `/_latchkey/v1`
   * @param {Readonly<Record<string, string | undefined>>} [query]
   * @returns {Promise<Json>}
   */
  async get(path, query = {}) {
    return await this.#call("GET", path, { query });
  }

  /**
   * A write carries an `Idempotency-Key`, so that whoever hears no answer can ask again.
   *
   * @param {"POST" | "PATCH" | "PUT"} method
   * @param {string} path
   * @param {CallOptions} options
   * @returns {Promise<Json>}
   */
  async write(method, path, options) {
    const idempotencyKey = options.idempotencyKey ?? randomUUID();
    try {
      return await this.#call(method, path, { ...options, idempotencyKey });
    } catch (error) {
      if (error instanceof UnreachableError || (error instanceof RefusedError && error.status === 503)) {
        error.message += ` It may have been done all the same: repeat with --idempotency-key ${idempotencyKey} to find out.`;
      }
      throw error;
    }
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {CallOptions} options
   * @returns {Promise<Json>}
   */
  async #call(method, path, options) {
    const url = new URL(`/_latchkey/v1${path}`, this.#settings.base);
    for (const [name, value] of Object.entries(options.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, value);
    }
    const { status, text } = await this.#exchange(url, {
      method,
      headers: this.#headers(options),
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
      // A redirect would carry the token to a place that nobody named.
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const answer = parse(text);
    if (status >= 200 && status < 300 && answer !== null) return answer;
    throw new RefusedError(
      status,
      answer ?? { detail: `The server answered ${status}, and not as Latchkey does. Is the URL right?` },
    );
  }

  /**
   * @param {URL} url
   * @param {RequestInit} init
   */
  async #exchange(url, init) {
    try {
      const response = await this.#fetch(url, init);
      const length = Number(response.headers.get("Content-Length") ?? 0);
      if (length > MAX_ANSWER_BYTES) throw new Error("the answer is too large");
      return { status: response.status, text: await response.text() };
    } catch (error) {
      throw new UnreachableError(`${this.#settings.base.origin} cannot be reached: ${reasonOf(error)}.`);
    }
  }

  /**
   * @param {CallOptions} options
   * @returns {Record<string, string>}
   */
  #headers(options) {
    const { token, workspace } = this.#settings;
    return {
      Authorization: `Bearer ${token}`,
      Accept: "application/json",
      ...(workspace === null ? {} : { "X-Latchkey-Workspace": workspace }),
      ...(options.body === undefined ? {} : { "Content-Type": "application/json" }),
      ...(options.idempotencyKey === undefined ? {} : { "Idempotency-Key": options.idempotencyKey }),
      ...(options.ifMatch === undefined ? {} : { "If-Match": options.ifMatch }),
    };
  }
}

/**
 * @param {string} text
 * @returns {Json | null}
 */
function parse(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : null;
  } catch {
    return null;
  }
}

/**
 * What a person can act on: `fetch failed` says nothing, its cause does.
 *
 * @param {unknown} error
 * @returns {string}
 */
function reasonOf(error) {
  if (!(error instanceof Error)) return "unknown failure";
  if (error.name === "TimeoutError") return `no answer within ${TIMEOUT_MS / 1_000} s`;
  const cause = error.cause;
  if (cause instanceof Error && "code" in cause) return String(cause.code);
  return cause instanceof Error ? cause.message : error.message;
}
