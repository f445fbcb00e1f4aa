import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readCredential } from "../../src/gateway/credential.ts";
import type { CredentialRules } from "../../src/gateway/credential.ts";
import { makeKey } from "../support/key-makers.ts";

const KEY = makeKey(1);
const OTHER = makeKey(2);
const RULES: CredentialRules = { queryParameter: null, prefixes: new Set(["lk"]) };
const IN_API_KEY: CredentialRules = { ...RULES, queryParameter: "api_key" };

function basic(pair: string): string {
  return `Basic ${btoa(pair)}`;
}

function read(headers: readonly (readonly [string, string])[], query = "", rules = RULES) {
  const fields = new Headers();
  for (const [name, value] of headers) fields.append(name, value);
  return readCredential({ headers: fields, url: `https://api.test/x${query}` }, rules);
}

/** `null` for none, the code for an error. */
function outcome(...args: Parameters<typeof read>): string | null {
  const result = read(...args);
  return result.ok ? (result.value?.presentedKey ?? null) : result.error.code;
}

describe("one key", () => {
  test.each([
    ["bearer", "Authorization", `Bearer ${KEY}`],
    ["bearer", "authorization", `bEARER   ${KEY}  `],
    ["header", "X-API-Key", KEY],
    ["header", "x-api-key", ` ${KEY}`],
    ["basic", "Authorization", basic(`${KEY}:`)],
    ["basic", "Authorization", basic(`${KEY}:`).replace("Basic", "bAsIc")],
  ] as const)("is found as %s in %s", (via, name, value) => {
    expect(read([[name, value]])).toEqual({ ok: true, value: { presentedKey: KEY, via } });
  });

  test("is found in the query only in the parameter that the route names, decoded", () => {
    expect(read([], `?a=b&api_key=${KEY}`, IN_API_KEY)).toEqual({
      ok: true,
      value: { presentedKey: KEY, via: "query" },
    });
    expect(outcome([], `?api_key=${KEY.replace("_", "%5F")}#api_key=${OTHER}`, IN_API_KEY)).toBe(KEY);
    expect(outcome([], "?api_key=some-foreign-key", IN_API_KEY)).toBe("some-foreign-key");
    expect(outcome([], `?API_KEY=${KEY}`, IN_API_KEY)).toBe("credential_in_query");
  });

  test("of any form of visible ASCII is read whole", () => {
    const foreign = fc.string({
      unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
      minLength: 8,
      maxLength: 60,
    });
    fc.assert(
      fc.property(foreign, (key) => {
        expect(outcome([["X-API-Key", key]])).toBe(key);
        expect(outcome([["Authorization", `Bearer ${key}`]])).toBe(key);
        fc.pre(!key.includes(":"));
        expect(outcome([["Authorization", basic(`${key}:`)]])).toBe(key);
      }),
    );
  });

  test("sent several times is fine", () => {
    const ways: readonly (readonly [string, string])[] = [
      ["Authorization", `Bearer ${KEY}`],
      ["X-API-Key", KEY],
      ["Authorization", basic(`${KEY}:`)],
      ["X-API-Key", KEY],
      ["Authorization", `bearer ${KEY}`],
    ];
    for (const first of ways)
      for (const second of ways) expect(outcome([first, second], `?api_key=${KEY}`, IN_API_KEY)).toBe(KEY);
  });
});

describe("two different keys", () => {
  test("are a conflict wherever they stand, whichever comes first", () => {
    const ways = (key: string): readonly (readonly [string, string])[] => [
      ["Authorization", `Bearer ${key}`],
      ["X-API-Key", key],
      ["Authorization", basic(`${key}:`)],
    ];
    for (const first of ways(KEY)) {
      for (const second of ways(OTHER))
        expect(outcome([first, second]), `${first[0]} ${second[0]}`).toBe("credential_conflict");
      expect(outcome([first], `?api_key=${OTHER}`, IN_API_KEY)).toBe("credential_conflict");
    }
    expect(outcome([], `?api_key=${KEY}&api_key=${OTHER}`, IN_API_KEY)).toBe("credential_conflict");
    expect(
      outcome([
        ["Authorization", "Bearer some-foreign-token"],
        ["X-API-Key", KEY],
      ]),
    ).toBe("credential_conflict");
  });
});

describe("a key in the query of a route that takes none there", () => {
  test("is refused under any name, decoded, beside another credential or without", () => {
    for (const name of ["api_key", "apikey", "key", "access_token", "token", "q", "x%5B%5D", ""]) {
      for (const key of [KEY, KEY.replace("_", "%5f"), `%6c${KEY.slice(1)}`, makeKey(3, "test")]) {
        expect(outcome([], `?a=1&${name}=${key}&b=2`), name).toBe("credential_in_query");
        expect(outcome([["X-API-Key", KEY]], `?${name}=${key}`), name).toBe("credential_in_query");
      }
    }
    expect(outcome([], `?${KEY}`)).toBe("credential_in_query");
    expect(outcome([], `?api_key=${KEY}&token=${KEY}`, IN_API_KEY)).toBe("credential_in_query");
    expect(outcome([], `?token=${KEY.slice(0, 20)}`)).toBe("credential_in_query");
  });

  test("is not seen in other data: foreign values, other prefixes, parts of words", () => {
    for (const query of [
      "?",
      "?api_key=abcdefgh",
      "?token=eyJhbGciOi.x.y",
      `?q=${makeKey(1, "live", "other")}`,
      `?q=see+${KEY}`,
      "?q=talk_live_now",
      "?q=%E4%BD%A0&x=%",
      "?a_live_=1",
      "#api_key",
    ]) {
      expect(outcome([], query), query).toBeNull();
      expect(outcome([["X-API-Key", KEY]], query), query).toBe(KEY);
    }
  });
});

describe("what is not ours", () => {
  test("no credential, an empty one and other schemes are none", () => {
    expect(outcome([])).toBeNull();
    for (const value of [
      "",
      "Bearer",
      "Bearer ",
      "Basic",
      basic(":"),
      basic(":secret"),
      basic("user:secret"),
      'Digest username="u", realm="r"',
      "Negotiate abc",
      "AWS4-HMAC-SHA256 Credential=AKIA/x, SignedHeaders=host",
    ]) {
      expect(outcome([["Authorization", value]]), value).toBeNull();
      expect(
        outcome([
          ["Authorization", value],
          ["X-API-Key", KEY],
        ]),
        value,
      ).toBe(KEY);
    }
    expect(
      outcome([
        ["X-API-Key", ""],
        ["Authorization", `Bearer ${KEY}`],
      ]),
    ).toBe(KEY);
  });

  test("one of our keys where it would pass unseen to the origin is an invalid request", () => {
    for (const value of [
      KEY,
      `Token ${KEY}`,
      `ApiKey ${KEY}`,
      `Token token="${KEY}"`,
      `${KEY} x`,
      basic(`${KEY}:secret`),
      basic(`user:${KEY}`),
    ]) {
      expect(outcome([["Authorization", value]]), value.slice(0, 8)).toBe("request_invalid");
      expect(
        outcome([
          ["Authorization", value],
          ["X-API-Key", OTHER],
        ]),
        value.slice(0, 8),
      ).toBe("request_invalid");
    }
  });

  test("Basic that is not base64 of a pair is an invalid request", () => {
    for (const value of ["Basic !!!!", `Basic ${btoa(KEY)}`, `Basic ${KEY}:`, "Basic a"])
      expect(outcome([["Authorization", value]]), value.slice(0, 12)).toBe("request_invalid");
  });
});

test("no error repeats a character of what was sent", () => {
  const wrong = [
    read([
      ["Authorization", `Bearer ${KEY}`],
      ["X-API-Key", OTHER],
    ]),
    read([], `?key=${KEY}`),
    read([["Authorization", KEY]]),
    read([["Authorization", basic(`x:${KEY}`)]]),
  ];
  for (const result of wrong) {
    expect(result.ok).toBe(false);
    expect(JSON.stringify(result)).not.toMatch(/_live_|_test_/);
  }
});

test("nothing that a client sends makes it throw", () => {
  const value = fc.string({
    unit: fc
      .integer({ min: 0x20, max: 0xff })
      .filter((code) => code !== 0x7f)
      .map((code) => String.fromCharCode(code)),
    maxLength: 40,
  });
  fc.assert(
    fc.property(value, value, fc.string({ unit: "binary" }), (authorization, apiKey, query) => {
      for (const scheme of ["", "Bearer ", "Basic "]) {
        expect(() =>
          read(
            [
              ["Authorization", scheme + authorization],
              ["X-API-Key", apiKey],
            ],
            `?${query}`,
            IN_API_KEY,
          ),
        ).not.toThrow();
      }
    }),
  );
});
