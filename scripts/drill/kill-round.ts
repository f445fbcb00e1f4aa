import { setTimeout as sleep } from "node:timers/promises";
import type { Client, Seen } from "./client.ts";
import { controlApi } from "./control-api.ts";
import type { ControlApi, IssuedKey } from "./control-api.ts";
import { startLoad } from "./load.ts";
import type { Load } from "./load.ts";
import type { Server } from "./server.ts";

/** One round of the kill drill: what was answered until the process died. Only that is noted: the rest may stand or not. */

const REQUESTS_PER_SECOND = 40;
const LIMITED_PER_SECOND = 10;
const REVOKE_EVERY_MS = 40;

/** A key whose requests are counted against its usage. */
interface Counted {
  readonly key: IssuedKey;
  answered: number;
}

export class KillRound {
  /**
   * Events that are not on disk yet: up to 1 s in the isolate's buffer, up to 1 s in the queue of local running (which is in
   * memory; Cloudflare's is not), and the way. An event that is older must not be lost.
   */
  static readonly bufferMs = 2_500;

  readonly issued: IssuedKey[] = [];
  readonly revoked = new Set<string>();
  /** Revokes that were sent and not answered. */
  readonly cutOff = new Set<string>();
  limitedAdmitted = 0;
  /** Requests of the limited key without an answer: admitted or not, nobody knows. */
  limitedUnanswered = 0;
  /** Requests that were answered in the last `bufferMs` before the kill. */
  atRisk = 0;
  readonly early: Counted;
  readonly late: Counted;
  readonly #loads: Load<Seen>[] = [];
  #seen: readonly Seen[] = [];
  #over = false;
  #killedAt = 0;
  #work: readonly Promise<void>[] = [];

  private constructor(early: IssuedKey, late: IssuedKey) {
    this.early = { key: early, answered: 0 };
    this.late = { key: late, answered: 0 };
  }

  static async begin(server: Server, client: Client, limitedKey: string): Promise<KillRound> {
    const api = controlApi(server, server.rootToken);
    const round = new KillRound(await api.issue({ owner: "kill" }), await api.issue({ owner: "kill" }));
    round.#start(server, client, { api, limitedKey });
    return round;
  }

  /** All answers and failures of this round. */
  get seen(): readonly Seen[] {
    return this.#seen;
  }

  /** The process is gone. */
  end(killedAt: number): void {
    this.#over = true;
    this.#killedAt = killedAt;
  }

  /** Waits for what was under way. */
  async settled(): Promise<void> {
    await Promise.all(this.#work);
    const [early = [], late = [], limited = []] = await Promise.all(this.#loads.map((load) => load.stop()));
    this.late.answered = late.filter(isBefore(this.#killedAt)).length;
    this.limitedAdmitted = limited.filter(({ status }) => status === 200).length;
    this.limitedUnanswered = limited.filter(({ status }) => status === 0).length;
    const young = this.#killedAt - KillRound.bufferMs;
    this.early.answered = early.filter(isBefore(young)).length;
    this.atRisk = this.late.answered - late.filter(isBefore(young)).length;
    this.#seen = [...early, ...late, ...limited];
  }

  #start(
    server: Server,
    client: Client,
    { api, limitedKey }: { readonly api: ControlApi; readonly limitedKey: string },
  ): void {
    const use = (key: string, perSecond: number): Load<Seen> =>
      startLoad(perSecond, () => client.send({ url: server.url, key }));
    const early = use(this.early.key.key, REQUESTS_PER_SECOND);
    // It ends before the events at risk begin; when the kill comes is not known here, so it has a short life.
    setTimeout(() => void early.stop(), 700);
    this.#loads.push(early, use(this.late.key.key, REQUESTS_PER_SECOND), use(limitedKey, LIMITED_PER_SECOND));
    this.#work = [this.#repeat(() => this.#issue(api)), this.#repeat(() => this.#revoke(api))];
  }

  async #repeat(work: () => Promise<void>): Promise<void> {
    while (!this.#over) {
      try {
        await work();
      } catch {
        // No answer, or a refusal of a process that is coming up: nothing was promised.
        await sleep(20);
      }
    }
  }

  async #issue(api: ControlApi): Promise<void> {
    this.issued.push(await api.issue({ owner: "killed" }));
    await sleep(10);
  }

  async #revoke(api: ControlApi): Promise<void> {
    await sleep(REVOKE_EVERY_MS);
    const next = this.issued.find(({ id }) => !this.revoked.has(id) && !this.cutOff.has(id));
    if (next === undefined) return;
    this.cutOff.add(next.id);
    await api.revoke(next.id);
    this.cutOff.delete(next.id);
    this.revoked.add(next.id);
  }
}

function isBefore(killedAt: number) {
  return ({ status, answeredAt }: Seen): boolean => status === 200 && answeredAt <= killedAt;
}
