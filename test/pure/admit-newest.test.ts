import { expect, test } from "vitest";
import { admit, type AdmitInput } from "../../src/gateway/admit.ts";
import { LeaseBook } from "../../src/gateway/lease-book.ts";
import type { Meters } from "../../src/gateway/meters.ts";
import { RecordCache } from "../../src/gateway/record-cache.ts";
import type { EdgeRecord } from "../../src/keys/record.ts";
import type { AcquireAnswer } from "../../src/limits/acquire.ts";
import { proxyRecord } from "../support/proxy-record.ts";

/**
 * A key and its tokens may be served by two brokers of a location, each with a lease of another age: what one has said of a newer
 * record stands, whatever the other would still admit.
 */

const OLD = proxyRecord({ generation: 1 });
const REVOKED = proxyRecord({ generation: 2, state: "revoked" });

function asked(record: EdgeRecord): AdmitInput {
  const policy = { mustAsk: false, ttlMs: 4_500, onMeterUnavailable: "open", graceMs: 30_000 } as const;
  const base = { hash: `id:${record.id}`, limits: [], cost: 1, prepaid: null, waitUntil: () => undefined } as const;
  return { ...base, record, policy };
}

test("after a newer record was told of, an older one is admitted on by the home meter's word alone", async () => {
  const granted: AcquireAnswer = { outcome: "granted", validForMs: 4_000, grants: [] };
  const stale: AcquireAnswer = { outcome: "stale", record: REVOKED };
  let knows = false;
  const freshAsked: boolean[] = [];
  const meters: Meters = {
    // The broker of the key has heard; that of the token has not, unless it is made to ask.
    acquire: async (_account, _request, fresh) => {
      freshAsked.push(fresh);
      return knows || fresh ? stale : granted;
    },
    release: async () => undefined,
    introduce: async () => null,
  };
  const parts = { book: new LeaseBook(), cache: new RecordCache(), meters };
  expect(await admit(asked(OLD), parts)).toMatchObject({ outcome: "admitted" });
  knows = true;
  parts.book.of(OLD.id).validUntil = 0;
  expect(await admit(asked(OLD), parts)).toMatchObject({ outcome: "stale" });
  knows = false;
  expect(await admit(asked(OLD), parts)).toMatchObject({ outcome: "stale" });
  expect(freshAsked).toEqual([false, false, true]);
});
