import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readCredential } from "../../src/gateway/credential.ts";
import type { CredentialRules } from "../../src/gateway/credential.ts";
import { MAX_TOKEN_CHARACTERS } from "../../src/constants.ts";
import { looksMinted } from "../../src/tokens/own-form.ts";
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

/** A JWT of these parts, and a signature that nobody looks at here. */
function jwt(header: object, payload: object): string {
  return [header, payload, "signature"]
    .map((part) => Buffer.from(typeof part === "string" ? part : JSON.stringify(part)).toString("base64url"))
    .join(".");
}

const CLAIMS = { iss: "https://api.test", sub: "acme", aud: "api", jti: "tok_1", lk_lineage: "lin_1" };
const TOKEN = jwt({ alg: "ES256", kid: "k", typ: "at+jwt" }, CLAIMS);
/** Of another authorization server that follows RFC 9068 too. */
const FOREIGN_TOKEN = jwt({ alg: "ES256", kid: "k", typ: "at+jwt" }, { ...CLAIMS, lk_lineage: undefined });

describe("a token under the scheme DPoP", () => {
  const beside = (scheme: string, token: string, key = KEY) =>
    outcome([
      ["Authorization", `${scheme} ${token}`],
      ["X-API-Key", key],
    ]);

  test("alone is the credential, whoever made it", () => {
    for (const token of [TOKEN, FOREIGN_TOKEN, "opaque-token"]) {
      const credential = { presentedKey: token, via: "dpop" };
      expect(read([["Authorization", `DPoP ${token}`]])).toEqual({ ok: true, value: credential });
    }
  });

  test("that Latchkey minted is a second credential beside a key: it never goes to the origin", () => {
    expect(beside("DPoP", TOKEN)).toBe("credential_conflict");
    expect(beside("dpop", TOKEN)).toBe("credential_conflict");
    expect(outcome([["Authorization", `DPoP ${TOKEN}`]], `?api_key=${KEY}`, IN_API_KEY)).toBe("credential_conflict");
    for (const lines of [`DPoP ${TOKEN}, Bearer ${KEY}`, `Bearer ${KEY}, DPoP ${TOKEN}`, `DPoP ${TOKEN}, DPoP x.y.z`])
      expect(outcome([["Authorization", lines]])).toBe("credential_conflict");
    // In whatever dress.
    for (const dressed of [`"${TOKEN}"`, `${TOKEN},x`, `token=${TOKEN}`, `token="${TOKEN}"`, `x ${TOKEN}`])
      expect(beside("DPoP", dressed), dressed.slice(0, 8)).toBe("credential_conflict");
  });

  test("that Latchkey minted stays under that scheme when it is in X-API-Key too, and so is asked for its proof", () => {
    const twice = read([
      ["Authorization", `DPoP ${TOKEN}`],
      ["X-API-Key", TOKEN],
    ]);
    expect(twice).toEqual({ ok: true, value: { presentedKey: TOKEN, via: "dpop" } });
  });

  test("that somebody else made is the origin's beside a key", () => {
    for (const token of [
      FOREIGN_TOKEN,
      jwt({ alg: "ES256", typ: "JWT" }, CLAIMS),
      jwt({ alg: "ES256" }, CLAIMS),
      "opaque-token",
      "eyJ.eyJ.x",
    ]) {
      expect(beside("DPoP", token), token.slice(0, 40)).toBe(KEY);
    }
  });

  test("is ours by type and lineage, whatever else it says and however the type is written", () => {
    const type = fc.mixedCase(fc.constantFrom("at+jwt", "application/at+jwt"));
    const rest = fc.dictionary(
      fc.string().filter((name) => name !== "lk_lineage" && name !== "__proto__"),
      fc.jsonValue(),
      { maxKeys: 5 },
    );
    fc.assert(
      fc.property(type, rest, fc.jsonValue(), (typ, claims, lineage) => {
        const header = { alg: "ES256", kid: "k", typ };
        expect(beside("DPoP", jwt(header, { ...claims, lk_lineage: lineage }))).toBe("credential_conflict");
        expect(beside("DPoP", jwt(header, claims))).toBe(KEY);
      }),
    );
  });

  test("that cannot be read to its end is taken for ours", () => {
    const [header = "", payload = "", signature = ""] = TOKEN.split(".");
    for (const broken of [payload.slice(0, -3), `${payload.slice(0, 8)}!${payload.slice(9)}`, "bm8"])
      expect(beside("DPoP", `${header}.${broken}.${signature}`), broken.slice(0, 12)).toBe("credential_conflict");
  });

  test("is looked at up to the length of the longest that is minted", () => {
    const padded = (length: number) => `${TOKEN}${"A".repeat(length - TOKEN.length)}`;
    expect(looksMinted(padded(MAX_TOKEN_CHARACTERS))).toBe(true);
    expect(looksMinted(padded(MAX_TOKEN_CHARACTERS + 1))).toBe(false);
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
      `JWT ${FOREIGN_TOKEN}`,
      basic(`user:${FOREIGN_TOKEN}`),
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

  test("one of our keys or tokens where it would pass unseen to the origin is an invalid request", () => {
    for (const value of [
      KEY,
      `Token ${KEY}`,
      `ApiKey ${KEY}`,
      `Token token="${KEY}"`,
      `${KEY} x`,
      basic(`${KEY}:secret`),
      basic(`user:${KEY}`),
      TOKEN,
      `JWT ${TOKEN}`,
      `Token token="${TOKEN}"`,
      basic(`${TOKEN}:secret`),
      basic(`user:${TOKEN}`),
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
    read([
      ["Authorization", `DPoP ${TOKEN}`],
      ["X-API-Key", KEY],
    ]),
  ];
  for (const result of wrong) {
    expect(result.ok).toBe(false);
    expect(JSON.stringify(result)).not.toMatch(/_live_|_test_|eyJ/);
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
      for (const scheme of ["", "Bearer ", "Basic ", "DPoP ", "DPoP eyJ", `DPoP ${TOKEN.split(".")[0]}.`]) {
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
