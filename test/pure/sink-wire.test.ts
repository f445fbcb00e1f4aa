import { describe, expect, test } from "vitest";
import { type HttpForm, readBulkAnswer, writeBody, writeLines } from "../../src/sinks/wire.ts";
import { usageEvent } from "../support/usage-makers.ts";

const NOW = Date.parse("2026-11-23T12:00:00.000Z");
const OPTIONS = { source: "https://api.example.com/_latchkey", index: "latchkey-events" };
const FORMS: readonly HttpForm[] = ["elasticsearch", "splunk-hec", "ndjson", "cloudevents-batch"];
const EVENTS = Array.from({ length: 5 }, (_, n) =>
  usageEvent({ time: NOW + n, id: `evt_${n}`, route: 'a "quoted"\nroute' }),
);

function lines(text: string): unknown[] {
  expect(text.endsWith("\n")).toBe(true);
  return text
    .slice(0, -1)
    .split("\n")
    .map((line): unknown => JSON.parse(line));
}

function itemsOf(...statuses: readonly number[]): unknown {
  return {
    errors: true,
    items: statuses.map((status, n) => ({
      create: {
        _id: `evt_${n}`,
        status,
        ...(status < 300 ? {} : { error: { type: "some_exception", reason: "secret text" } }),
      },
    })),
  };
}

describe("what a sink is sent", () => {
  test("is the same for the same events, in every form", () => {
    for (const form of FORMS) expect(writeBody(form, EVENTS, OPTIONS)).toEqual(writeBody(form, EVENTS, OPTIONS));
  });

  test("as Elasticsearch bulk creates each event under its own id, one action and one document a line", () => {
    const written = lines(writeBody("elasticsearch", EVENTS, OPTIONS).body);
    expect(written).toHaveLength(10);
    expect(written.filter((_, n) => n % 2 === 0)).toEqual(
      EVENTS.map(({ id }) => ({ create: { _index: "latchkey-events", _id: id } })),
    );
    expect(written[1]).toMatchObject({ id: "evt_0", "@timestamp": new Date(EVENTS[0]?.time ?? 0).toISOString() });
  });

  test("as Splunk HEC has the time in epoch seconds", () => {
    const written = lines(`${writeBody("splunk-hec", EVENTS, OPTIONS).body}\n`);
    expect(written).toHaveLength(5);
    expect(written[2]).toMatchObject({ time: (EVENTS[2]?.time ?? 0) / 1_000, event: { id: "evt_2" } });
  });

  test("as lines or as a CloudEvents batch has every event once", () => {
    expect(lines(writeLines(EVENTS))).toMatchObject(EVENTS.map(({ id }) => ({ id })));
    const { body, contentType } = writeBody("cloudevents-batch", EVENTS, OPTIONS);
    expect(contentType).toBe("application/cloudevents-batch+json");
    expect(JSON.parse(body)).toMatchObject(
      EVENTS.map(({ id }) => ({ specversion: "1.0", id, source: OPTIONS.source })),
    );
  });
});

describe("an Elasticsearch answer", () => {
  test("tells what is there, what is tried again and what is refused, of each event", () => {
    const read = readBulkAnswer(itemsOf(201, 409, 429, 503, 400), EVENTS);
    expect(read).toEqual({
      ok: true,
      value: {
        delivered: EVENTS.slice(0, 2),
        retry: EVENTS.slice(2, 4),
        refused: [{ event: EVENTS[4], status: 400, reason: "some_exception" }],
      },
    });
  });

  test("that blocks, or knows no index, asks for the events again", () => {
    const read = readBulkAnswer(itemsOf(401, 403, 404, 408, 502), EVENTS);
    expect(read.ok && read.value.retry).toEqual(EVENTS);
  });

  test("never has its error text repeated", () => {
    expect(JSON.stringify(readBulkAnswer(itemsOf(400, 400, 400, 400, 400), EVENTS))).not.toContain("secret text");
  });

  test("that does not speak of exactly these events is not believed", () => {
    const swapped = EVENTS.toReversed();
    for (const answer of [
      null,
      "",
      {},
      { items: {} },
      itemsOf(201),
      itemsOf(201, 201, 201, 201, 201, 201),
      { items: [1, 2, 3, 4, 5] },
    ]) {
      expect(readBulkAnswer(answer, EVENTS).ok).toBe(false);
    }
    expect(readBulkAnswer(itemsOf(201, 201, 201, 201, 201), swapped).ok).toBe(false);
  });
});
