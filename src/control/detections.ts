import { z } from "@hono/zod-openapi";
import { decodeCursor, encodeCursor } from "../../durable-objects/key-registry/cursor.ts";
import type { KeptFinding, WatchApi } from "../../durable-objects/watch/api.ts";
import { watchOf } from "../../durable-objects/watch/client.ts";
import { DEFAULT_LIST_LIMIT } from "../constants.ts";
import type { Finding } from "../detection/finding.ts";
import type { ThresholdChanges } from "../detection/policy.ts";
import { sentenceOf } from "../detection/sentence.ts";
import { faultsInThresholds } from "../detection/threshold-faults.ts";
import { within } from "../platform/clock.ts";
import { logError } from "../platform/log.ts";
import { err, ok } from "../result.ts";
import { present } from "./issuance-rules.ts";
import { type Call, defineOperation } from "./operation.ts";
import { fromRegistry, invalid, NOT_FOUND, type Outcome } from "./problem.ts";
import { severitySchema } from "./schemas/alert.ts";
import { ownerIdSchema, pageQuery, queryTimeSchema } from "./schemas/common.ts";
import {
  dryRunAnswerSchema,
  dryRunSchema,
  findingKindSchema,
  findingPageSchema,
  findingSchema,
} from "./schemas/detection.ts";

/** `/detections`: what the watch found, and what it would have found with other thresholds. */

const HOUR_MS = 3_600_000;
const WEEK_MS = 7 * 24 * HOUR_MS;
/** The watch keeps three weeks of hours, of which the first may be cut. */
const MAX_DRY_RUN_MS = 2 * WEEK_MS;
/** A dry run goes over weeks of hours of some dozen keys. */
const ASK_TIMEOUT_MS = 15_000;
const ID = /^det_[1-9]\d{0,14}$/;

export const listDetections = defineOperation({
  method: "get",
  path: "/detections",
  scope: "alerts:read",
  operationId: "listDetections",
  tag: "Alerts",
  summary: "List what the detectors found",
  description:
    "Newest first, for 90 days. One that goes on, or comes again within a day, is one entry. Each is reported to the alerts under its own kind.",
  query: z.strictObject({
    kind: findingKindSchema.optional(),
    severity: severitySchema.optional(),
    owner: ownerIdSchema.optional(),
    subject: z.string().min(1).max(128).optional().openapi({ description: "Id of a key, or a network." }),
    since: queryTimeSchema.optional().openapi({ description: "Found, or found again, since." }),
    ...pageQuery,
  }),
  write: false,
  success: { status: 200, description: "One page.", schema: findingPageSchema },
  problems: [],
  async handle(call) {
    const { limit = DEFAULT_LIST_LIMIT, cursor = null, since, ...names } = call.query;
    const asked = present<object>({ ...names, since });
    const place = decodeCursor(cursor, asked, ["number"]);
    if (!place.ok) return err(fromRegistry(place.error, false));
    const before = place.value === null ? null : Number(place.value[0]);
    const filter = present({ ...names, since: since === undefined ? undefined : Date.parse(since) });
    const page = await askWatch(call, (watch) => watch.list(filter, limit, before));
    if (!page.ok) return page;
    const { data, nextCursor } = page.value;
    const next = nextCursor === null ? null : encodeCursor(asked, [nextCursor]);
    return ok({ status: 200, body: { data: data.map(showKept), nextCursor: next } });
  },
});

export const readDetection = defineOperation({
  method: "get",
  path: "/detections/{id}",
  scope: "alerts:read",
  operationId: "readDetection",
  tag: "Alerts",
  summary: "Read what a detector found",
  description: "With the numbers that it stands on.",
  idPattern: ID,
  idExample: "det_42",
  write: false,
  success: { status: 200, description: "The finding.", schema: findingSchema },
  problems: ["not_found"],
  async handle(call) {
    const found = await askWatch(call, (watch) => watch.find(Number(call.id.slice("det_".length))));
    if (!found.ok) return found;
    return found.value === null ? err(NOT_FOUND) : ok({ status: 200, body: showKept(found.value) });
  },
});

export const dryRunDetections = defineOperation({
  method: "post",
  path: "/detections/dry-run",
  scope: "alerts:read",
  operationId: "dryRunDetections",
  tag: "Alerts",
  summary: "Try thresholds on what was",
  description:
    "What the detectors by hour and day would have found in the last week, or up to two, with other thresholds. Changes nothing and tells nobody. Bursts of failures, errors and keys tried from one network are judged by the minute, and are not gone over again. One answer is of so many keys as fit; `nextCursor` leads on.",
  body: dryRunSchema,
  bodyRequired: false,
  // It writes nothing; a client that sends an Idempotency-Key with every POST may.
  write: true,
  success: { status: 200, description: "What would have been found.", schema: dryRunAnswerSchema },
  problems: [],
  async handle(call) {
    const { from, to, thresholds = {}, cursor = null } = call.body;
    const faults = faultsInThresholds(thresholds);
    if (faults.length > 0) {
      return invalid(
        faults.map(({ path, detail }) => ({ pointer: ["/thresholds", ...path].join("/"), detail: capital(detail) })),
      );
    }
    const until = wholeHour(to === undefined ? call.now : Date.parse(to));
    const since = from === undefined ? until - WEEK_MS : wholeHour(Date.parse(from));
    if (since >= until) return invalid([{ pointer: "/from", detail: "Must be an hour before `to` at least." }]);
    if (until - since > MAX_DRY_RUN_MS)
      return invalid([{ pointer: "/from", detail: "At most two weeks before `to`." }]);
    const asked = present<object>({ from, to, thresholds });
    const place = decodeCursor(cursor, asked, ["string", "number"]);
    if (!place.ok) return err(fromRegistry(place.error, false));
    const [after = "", first = until] = place.value ?? [];
    // The pages that follow are of the same hours, whatever the clock says meanwhile.
    const range = { from: since - until + Number(first), to: Number(first) };
    // Held against the thresholds that there are, above.
    const changes = thresholds as ThresholdChanges;
    const ran = await askWatch(call, (watch) => watch.dryRun({ ...range, changes, cursor: String(after) }));
    if (!ran.ok) return ran;
    const { findings, keys, knownSince, nextCursor } = ran.value;
    return ok({
      status: 200,
      body: {
        data: findings.map((finding) => show(finding, finding.owner)),
        from: timeOf(range.from),
        to: timeOf(range.to),
        keys,
        knownSince: knownSince === null ? null : timeOf(knownSince),
        nextCursor: nextCursor === null ? null : encodeCursor(asked, [nextCursor, range.to]),
      },
    });
  },
});

async function askWatch<T>(
  { caller, deps }: Pick<Call<unknown, unknown>, "caller" | "deps">,
  ask: (watch: WatchApi) => Promise<T>,
): Promise<Outcome<T>> {
  try {
    return ok(await within(ask(watchOf(deps.env.WATCH, caller.workspace)), ASK_TIMEOUT_MS, "the watch"));
  } catch (error) {
    logError(error, { part: "control", workspace: caller.workspace, requestId: caller.actor.requestId });
    return err({ code: "storage_unavailable", detail: "The detectors cannot be asked right now. Try again shortly." });
  }
}

export type ShownFinding = ReturnType<typeof showKept>;

function showKept(finding: KeptFinding) {
  const { id, firstSeenAt, lastSeenAt, owner } = finding;
  return {
    id: `det_${id}`,
    ...show(finding, owner),
    firstSeenAt: timeOf(firstSeenAt),
    lastSeenAt: timeOf(lastSeenAt),
  };
}

function show(finding: Finding, owner: string | null) {
  const { kind, severity, subject, evidence, place, since, until } = finding;
  return {
    kind,
    severity,
    subject,
    owner,
    summary: sentenceOf(finding),
    evidence,
    place: place === null ? null : { country: place.country, asn: place.asn, network: place.network },
    since: timeOf(since * 1_000),
    until: timeOf(until * 1_000),
  };
}

function wholeHour(ms: number): number {
  return Math.floor(ms / HOUR_MS) * HOUR_MS;
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}

function capital(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
