import { DurableObject } from "cloudflare:workers";
import { detectCredentialStuffing } from "../../src/detection/credential-stuffing.ts";
import { isLastHourOfDay } from "../../src/detection/day-ends.ts";
import type { Finding } from "../../src/detection/finding.ts";
import { ruleFor, type WatchPolicy } from "../../src/detection/policy.ts";
import { DAY_HOURS, HOUR_SECONDS, type KeyHour, type KeyMinute } from "../../src/detection/rows.ts";
import { fnv1a } from "../../src/platform/fnv.ts";
import { logError } from "../../src/platform/log.ts";
import type { Sightings } from "../../src/usage/sightings.ts";
import { reportConditions } from "../alert-center/client.ts";
import { migrate } from "../migrate.ts";
import type { DryRunPage, DryRunQuery, FindingFilter, FindingPage, KeptFinding, WatchApi, WatchStatus } from "./api.ts";
import { findFinding, keepFinding, listFindings, markReported, sweepFindings, unreported } from "./findings.ts";
import { hourOf, type Judging, judgeMinutes, judgePresentHour, judgeWholeHour, lastMinuteOf } from "./judge.ts";
import { isCanary, KeyFactsBook, NOTHING, ruled } from "./key-facts.ts";
import { MIGRATIONS } from "./migrations.ts";
import { MinuteBook } from "./minute-book.ts";
import { NetworkBook } from "./network-book.ts";
import { dryRunOver, keepHours, keepSnapshot, sweepPast } from "./past-hours.ts";
import { conditionOf } from "./report.ts";
import { beginState, readPolicy, readText, writeText } from "./state.ts";
import { WatchedKeys } from "./watched-keys.ts";

const MINUTE_SECONDS = 60;
const MINUTE_MS = 60_000;
const HOUR_MS = HOUR_SECONDS * 1_000;
const DAY_SECONDS = DAY_HOURS * HOUR_SECONDS;
/** An hour is judged this long after its end, when most late events have come. */
export const SETTLED_AFTER_MS = 150_000;
/** Keys judged in one transaction: some 100 ms. */
const KEYS_PER_TURN = 200;
/** Between two turns of an hour with more keys than that: others have theirs. */
const NEXT_TURN_MS = 50;
/** The hour that goes on is judged for a fifth of the keys each minute; what cannot wait, for all. */
const PRESENT_EVERY_MINUTES = 5;
/** Findings told of in one call. */
const REPORTED_AT_ONCE = 200;

/**
 * Watches the keys of a workspace: is told what they do, minute by minute, and says what is not like them. One object per
 * workspace, named by it. It counts nothing that anybody is billed for: the ledger does.
 */
export class Watch extends DurableObject<Env> implements WatchApi {
  readonly #sql: SqlStorage;
  readonly #workspace: string;
  readonly #book: MinuteBook;
  readonly #networks = new NetworkBook();
  readonly #keys: WatchedKeys;
  readonly #facts: KeyFactsBook;
  #policy: WatchPolicy;
  #late = 0;
  /** When the alarm rings; `null`: to be looked up. */
  #alarmAt: number | null = null;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    if (ctx.id.name === undefined) throw new Error("a watch is reached by its workspace's name");
    this.#workspace = ctx.id.name;
    this.#sql = ctx.storage.sql;
    migrate(ctx.storage, MIGRATIONS);
    beginState(this.#sql, hourOf(Date.now()));
    this.#book = new MinuteBook(this.#sql);
    this.#keys = new WatchedKeys(this.#sql);
    this.#facts = new KeyFactsBook(this.#sql);
    this.#policy = readPolicy(this.#sql);
  }

  async observe({ keys, networks }: Sightings, policy: WatchPolicy): Promise<void> {
    const now = Date.now();
    this.#setPolicy(policy);
    const mark = this.#hourMark();
    for (const sighting of keys) {
      if (sighting.minute >= mark) this.#book.add(sighting);
      else this.#late += sighting.requests;
    }
    for (const sighting of networks) this.#networks.add(sighting);
    await this.#ensureAlarm(now + MINUTE_MS - (now % MINUTE_MS));
  }

  async list(filter: FindingFilter, limit: number, cursor: number | null): Promise<FindingPage> {
    return listFindings(this.#sql, filter, limit, cursor);
  }

  async find(id: number): Promise<KeptFinding | null> {
    return findFinding(this.#sql, id);
  }

  async dryRun(query: DryRunQuery): Promise<DryRunPage> {
    return dryRunOver({ sql: this.#sql, keys: this.#keys, facts: this.#facts, policy: this.#policy }, query);
  }

  async status(): Promise<WatchStatus> {
    return {
      keys: this.#keys.count(),
      judgedUntil: this.#hourMark() * 1_000,
      unwatched: this.#book.unwatched,
      late: this.#late,
    };
  }

  /** Each minute while there is traffic, each hour for a day after it. Run twice, the second finds the same. */
  override async alarm(): Promise<void> {
    this.#alarmAt = null;
    const now = Date.now();
    this.#inTransaction(() => this.#book.write(this.#sql));
    const isDone = await this.#judgeHoursThatAreOver(now);
    if (isDone) await this.#judgePresent(now);
    const isTold = await this.#report();
    const next = isDone ? this.#nextAlarm(now, isTold) : now + NEXT_TURN_MS;
    if (next !== null) await this.#ensureAlarm(next);
  }

  /** One turn. Gives whether all of them are judged. */
  async #judgeHoursThatAreOver(now: number): Promise<boolean> {
    const until = hourOf(now - SETTLED_AFTER_MS);
    const hour = this.#hourMark();
    if (hour >= until) return true;
    const cursor = readText(this.#sql, "hour_cursor");
    const due = this.#keysToJudge(hour).filter((keyId) => keyId > cursor);
    const slice = due.slice(0, KEYS_PER_TURN);
    await this.#refreshFacts(slice, now);
    this.#inTransaction(() => {
      const rows: (readonly [string, KeyHour])[] = [];
      for (const keyId of slice) {
        const judging = this.#judging(keyId);
        const { row, findings } = judgeWholeHour(judging, hour);
        rows.push([keyId, row]);
        this.#keep(keyId, findings, now);
        this.#keys.save(judging.key, row.requests > 0 ? row.hour : 0);
      }
      keepHours(this.#sql, hour, rows);
      const last = slice.at(-1);
      if (due.length > slice.length && last !== undefined) writeText(this.#sql, "hour_cursor", last);
      else this.#finishHour(hour, until, now);
    });
    return this.#hourMark() >= until;
  }

  #finishHour(hour: number, until: number, now: number): void {
    // Hours in which nobody asked anything are not gone through one by one.
    const isIdle = !this.#keys.hasUsedSince(hour - DAY_SECONDS) && !this.#book.hasSince(hour);
    const next = isIdle ? until : hour + HOUR_SECONDS;
    writeText(this.#sql, "hour_cursor", "");
    writeText(this.#sql, "hour_mark", String(next));
    keepSnapshot(this.#sql, next);
    if (!isLastHourOfDay(hour)) return;
    sweepPast(this.#sql, next);
    sweepFindings(this.#sql, now);
  }

  /** In order. A day is judged with its last hour, also of keys that were not used in that. */
  #keysToJudge(hour: number): readonly string[] {
    const keys = new Set(this.#book.keysInHour(hour));
    if (isLastHourOfDay(hour)) {
      for (const keyId of this.#keys.usedSince(hour + HOUR_SECONDS - DAY_SECONDS, "", Number.MAX_SAFE_INTEGER)) {
        keys.add(keyId);
      }
    }
    return [...keys].toSorted();
  }

  async #judgePresent(now: number): Promise<void> {
    const hour = this.#hourMark();
    const minute = lastMinuteOf(now);
    this.#book.forgetBefore(this.#sql, Math.min(hour, minute - HOUR_SECONDS));
    const used = [...this.#book.keysInMinute(minute)];
    const ids = used.map(([keyId]) => keyId);
    await this.#refreshFacts(ids, now);
    for (let from = 0; from < used.length; from += KEYS_PER_TURN) {
      this.#inTransaction(() => {
        for (const [keyId, last] of used.slice(from, from + KEYS_PER_TURN)) {
          this.#keep(keyId, this.#judgeNow(keyId, last, hour), now);
        }
      });
    }
    const { stuffing } = ruleFor(this.#policy.rules, null).thresholds;
    this.#inTransaction(() => {
      for (const window of this.#networks.windowsAt(minute)) {
        const finding = detectCredentialStuffing(window, stuffing);
        if (finding !== null) keepFinding(this.#sql, finding, NOTHING, now);
      }
    });
  }

  #judgeNow(keyId: string, last: KeyMinute, hour: number): readonly Finding[] {
    const { minute, failures, errors } = last;
    // Not in the first minutes of an hour: the one before it is not part of the past yet.
    const mayJudge = hour + HOUR_SECONDS > minute;
    const isInTest = (this.#book.inHour(keyId, hour)?.testContext ?? 0) > 0;
    const isTurn = (fnv1a(keyId) + minute / MINUTE_SECONDS) % PRESENT_EVERY_MINUTES === 0;
    const isDue = mayJudge && (isTurn || isInTest || isCanary(this.#facts.of(keyId) ?? NOTHING));
    const isTroubled = failures > 0 || errors > 0;
    if (!isDue && !isTroubled) return [];
    const judging = this.#judging(keyId);
    return [...(isDue ? judgePresentHour(judging, hour) : []), ...(isTroubled ? judgeMinutes(judging, minute) : [])];
  }

  #judging(keyId: string): Judging {
    const facts = this.#facts.of(keyId) ?? NOTHING;
    return { key: this.#keys.open(keyId), ruled: ruled(keyId, facts, this.#policy), book: this.#book };
  }

  /** Where the registry cannot be asked, what is known of them holds; it is asked again with their next turn. */
  async #refreshFacts(keyIds: readonly string[], now: number): Promise<void> {
    try {
      await this.#facts.refresh(this.env.KEY_REGISTRY.getByName(this.#workspace), keyIds, now);
    } catch (error) {
      logError(error, {
        message: "the watch could not ask the registry; it goes by what it knew",
        workspace: this.#workspace,
      });
    }
  }

  #keep(keyId: string, findings: readonly Finding[], now: number): void {
    const holder = this.#facts.of(keyId) ?? NOTHING;
    for (const finding of findings) keepFinding(this.#sql, finding, holder, now);
  }

  /** Gives whether all were told. The alert center knows what it was told before. */
  async #report(): Promise<boolean> {
    const findings = unreported(this.#sql, REPORTED_AT_ONCE);
    if (findings.length === 0) return true;
    try {
      await reportConditions(this.env, this.#workspace, findings.map(conditionOf));
    } catch (error) {
      logError(error, { message: "findings were not reported; they are told again", workspace: this.#workspace });
      return false;
    }
    markReported(this.#sql, findings);
    return findings.length < REPORTED_AT_ONCE;
  }

  #hourMark(): number {
    return Number(readText(this.#sql, "hour_mark"));
  }

  #setPolicy(policy: WatchPolicy): void {
    const text = JSON.stringify(policy);
    if (text === readText(this.#sql, "policy")) return;
    writeText(this.#sql, "policy", text);
    this.#policy = policy;
  }

  /** Each minute as long as there was a request in the last two; then for each hour that is to be judged; then never. */
  #nextAlarm(now: number, isTold: boolean): number | null {
    if (!isTold || this.#book.hasSince(lastMinuteOf(now) - MINUTE_SECONDS)) return now + MINUTE_MS - (now % MINUTE_MS);
    if (!this.#book.hasSince(this.#hourMark()) && !this.#keys.hasUsedSince(hourOf(now) - DAY_SECONDS)) return null;
    return hourOf(now - SETTLED_AFTER_MS) * 1_000 + HOUR_MS + SETTLED_AFTER_MS;
  }

  /** At `at` or before. */
  async #ensureAlarm(at: number): Promise<void> {
    this.#alarmAt ??= await this.ctx.storage.getAlarm();
    if (this.#alarmAt !== null && this.#alarmAt <= at) return;
    this.#alarmAt = at;
    await this.ctx.storage.setAlarm(at);
  }

  #inTransaction(work: () => void): void {
    try {
      this.ctx.storage.transactionSync(work);
    } catch (error) {
      // What is in memory may say what was rolled back.
      this.ctx.abort("a transaction of the watch failed");
      throw error;
    }
  }
}
