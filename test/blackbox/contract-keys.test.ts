import { createHash } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BASE62, checksumOf, expectProblem, inParallel, openTarget, strangerKey } from "../support/contract.ts";
import type { Target } from "../support/contract.ts";
import type { IssuedKey } from "../support/control.ts";

/** The contract, "Keys". The checksum is computed here, from the contract's words. */

let target: Target;
beforeAll(async () => {
  target = await openTarget();
});
afterAll(() => target.stop());

const FORM = /^lk_(live|test)_([0-9A-Za-z]{32})([0-9A-Za-z]{6})$/;

/** Whether each key is valid, asked a hundred at a time and without charge. */
async function codesOf(keys: readonly string[]): Promise<string[]> {
  const codes: string[] = [];
  for (let start = 0; start < keys.length; start += 100) {
    const batch = keys.slice(start, start + 100).map((key) => ({ key, cost: 0 }));
    const answer = await target.api.call<{ results: { valid: boolean; code: string }[] }>("POST", "/verify/batch", {
      body: { keys: batch },
    });
    expect(answer.status).toBe(200);
    for (const { valid, code } of answer.body.results) {
      expect(valid).toBe(code === "valid");
      codes.push(code);
    }
  }
  return codes;
}

test("an issued key has the contract's form, and its checksum is the CRC-32 of what precedes it", async () => {
  const seen = new Set<string>();
  for (const environment of ["live", "test"]) {
    const issued = await inParallel(12, 4, () => target.api.issue({ environment }));
    for (const { key } of issued) {
      const [, env, random = "", checksum = ""] = FORM.exec(key) ?? [];
      expect(env, key.slice(0, 8)).toBe(environment);
      expect(checksum).toBe(checksumOf(`lk_${environment}_${random}`));
      seen.add(random);
    }
  }
  expect(seen.size).toBe(24);
});

test("the hint shows the first and last four characters and nothing else", async () => {
  for (const environment of ["live", "test"]) {
    const { key, ["hint"]: hint } = await target.api.issue({ environment });
    expect(hint).toBe(`lk_${environment}_${key.slice(8, 12)}…${key.slice(-4)}`);
  }
});

test("a key is shown once, in an answer that no cache keeps", async () => {
  const holders: { call: () => Promise<{ headers: Headers; body: unknown }>; created: boolean }[] = [];
  const idempotent = {
    body: { name: "Once", owner: "once", environment: "live", scopes: ["a:b"] },
    headers: { "idempotency-key": "shown-once" },
  };
  const create = await target.api.call<IssuedKey>("POST", "/keys", idempotent);
  expect(create.status).toBe(201);
  expect(create.headers.get("cache-control")).toBe("no-store");
  const rotated = await target.api.call<IssuedKey>("POST", `/keys/${create.body.id}/rotate`, {
    body: { overlapSeconds: 600 },
  });
  expect(rotated.status).toBe(201);
  expect(rotated.headers.get("cache-control")).toBe("no-store");
  expect(rotated.body.key).toMatch(FORM);
  expect(rotated.body.key).not.toBe(create.body.key);

  const elsewhere = [
    "/keys",
    `/keys/${create.body.id}`,
    `/keys/${rotated.body.id}`,
    "/audit",
    "/owners/once",
    "/usage?groupBy=key",
  ];
  for (const path of elsewhere) holders.push({ call: () => target.api.call("GET", path), created: false });
  holders.push({ call: () => target.api.call("POST", "/keys", idempotent), created: false });
  holders.push({
    call: () => target.api.call("PATCH", `/keys/${create.body.id}`, { body: { name: "Twice" } }),
    created: false,
  });
  holders.push({
    call: () => target.api.call("POST", `/keys/${create.body.id}/revoke`, { body: { reason: "retired" } }),
    created: false,
  });
  for (const { call } of holders) {
    const text = JSON.stringify((await call()).body);
    for (const key of [create.body.key, rotated.body.key]) expect(text.includes(key.slice(8, 40))).toBe(false);
  }
});

test("no key that is cut, lengthened, swapped or in another case is valid", async () => {
  const { key } = await target.api.issue();
  const wrong = [
    key.slice(0, -1),
    key.slice(1),
    `${key}0`,
    `0${key}`,
    `${key}_`,
    `x${key}`,
    `${key}${key}`,
    `${key}A`,
    key.toUpperCase(),
    key.toLowerCase(),
    key.replace("lk_", "LK_"),
    key.replace("_live_", "_test_"),
    key.replace("_live_", "_LIVE_"),
    key.replace("_live_", "_"),
    key.replace("lk_", "lk__"),
    key.slice(0, 39),
    key.split("").toReversed().join(""),
    `${key.slice(0, 20)}${key[21]}${key[20]}${key.slice(22)}`,
    // A right checksum on a changed body: nobody issued it.
    `${key.slice(0, 8)}${"A".repeat(32)}${checksumOf(`${key.slice(0, 8)}${"A".repeat(32)}`)}`,
  ].filter((text) => text !== key);
  expect(await codesOf(wrong)).toEqual(wrong.map(() => "key_invalid"));
  expect(await codesOf([key])).toEqual(["valid"]);
});

test("whoever calls cannot tell a malformed key from an unknown one", async () => {
  const { key } = await target.api.issue();
  const wrong = [
    strangerKey(),
    strangerKey("test"),
    `${key.slice(0, -1)}${key.endsWith("0") ? "1" : "0"}`,
    "garbage-of-no-form",
    "short",
    "lk_live_",
  ];
  const bodies = await inParallel(wrong.length, 1, async (index) => {
    const answer = await target.send("/anything", { key: wrong[index] ?? "" });
    const { requestId, ...problem } = expectProblem(answer, 401, "key_invalid");
    expect(requestId).toMatch(/^req_/);
    return JSON.stringify([problem, answer.headers["www-authenticate"], Object.keys(answer.headers).toSorted()]);
  });
  expect(new Set(bodies).size).toBe(1);
});

test("an imported key may have any form and is known by its hash alone", async () => {
  const random = strangerKey().slice(8);
  const forms = [
    `sk_test_${random}`,
    `old-style.key/${random}+==`,
    `lk_prod_${random}`,
    `lk-live-${random}`,
    `lk2_live_extra_live_${random}`,
    `_live_${random}`,
    random,
    "0f8fad5b-d9cb-469f-a165-70867728950e",
    `key~${random.repeat(8)}`,
    `12345678${random.slice(0, 6)}`,
  ];
  const answer = await target.api.call<{ results: unknown[] }>("POST", "/keys/import", {
    body: {
      keys: forms.map((form, index) => ({
        hash: {
          algorithm: "sha256",
          encoding: "base64url",
          value: createHash("sha256").update(form).digest("base64url"),
        },
        name: `Imported ${index}`,
        owner: "importer",
        environment: "live",
        scopes: ["reports:read"],
      })),
    },
  });
  expect(answer.status, JSON.stringify(answer.body)).toBe(200);
  expect(await codesOf(forms)).toEqual(forms.map(() => "valid"));
  for (const form of forms)
    expect((await target.send("/reports/1", { headers: { "x-api-key": form } })).status, form).toBe(200);
  expect(await codesOf(forms.map((form) => `${form}x`))).toEqual(forms.map(() => "key_invalid"));
});

// Last: so many failures from one address raise the shield, which may say 429 in place of 401.
test("no key with one changed character is valid, wherever the change", async () => {
  const { key } = await target.api.issue();
  expect(await codesOf([key])).toEqual(["valid"]);
  const changed: string[] = [];
  for (let index = 0; index < key.length; index++) {
    for (const character of `${BASE62}_-`) {
      if (character !== key[index]) changed.push(`${key.slice(0, index)}${character}${key.slice(index + 1)}`);
    }
  }
  const codes = await codesOf(changed);
  expect(codes).toHaveLength(key.length * 63);
  expect([...new Set(codes)].filter((code) => code !== "key_invalid" && code !== "too_many_failures")).toEqual([]);
  // The same through the proxy, where each form of credential has a parser of its own.
  const sample = changed.filter((_, index) => index % 61 === 0);
  const answers = await inParallel(sample.length, 8, (index) => target.send("/anything", { key: sample[index] ?? "" }));
  expect(answers.filter(({ status }) => status !== 401 && status !== 429)).toEqual([]);
  expect(await codesOf([key])).toEqual(["valid"]);
});
