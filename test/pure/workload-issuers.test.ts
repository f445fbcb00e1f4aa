import { afterEach, describe, expect, test } from "vitest";
import {
  ISSUER_COOL_DOWN_MS,
  ISSUER_KEYS_KEPT_MS,
  ISSUER_KEYS_LATE_MS,
  ISSUER_QUESTIONS_MAX,
  MAX_ISSUER_ANSWER_BYTES,
  MAX_ISSUER_KEYS,
  MIN_ISSUER_KEYS_TTL_SECONDS,
} from "../../src/constants.ts";
import { parseKeySet } from "../../src/tokens/remote-jwks.ts";
import { discoveryOf, githubClaims, startHostileIssuer, startIssuer } from "../support/issuer-lab.ts";
import type { HostileIssuer, Issuer } from "../support/issuer-lab.ts";
import { githubRule, WorkloadLab } from "../support/workload-lab.ts";

/** What an issuer does, or somebody in its place, and what an isolate makes of it. The clock is the test's; the network is real. */

const FRESH_MS = MIN_ISSUER_KEYS_TTL_SECONDS * 1_000;
const DOWN = "unavailable: The keys of the token's issuer cannot be read right now.";
const UNKNOWN_KEY = "invalid: The token's signing key is not one of its issuer's.";

const running: (Issuer | HostileIssuer)[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((each) => each.stop()));
});

async function issuerOf(algorithm = "RS256", port = 0): Promise<Issuer> {
  const issuer = await startIssuer(algorithm, port);
  running.push(issuer);
  return issuer;
}

async function hostile(...answer: Parameters<typeof startHostileIssuer>): Promise<HostileIssuer> {
  const issuer = await startHostileIssuer(...answer);
  running.push(issuer);
  return issuer;
}

/** A long-lived token, so that only keys grow old. */
function tokenOf(issuer: Issuer, change: Readonly<Record<string, unknown>> = {}): Promise<string> {
  return issuer.token(githubClaims({ exp: Math.floor(Date.now() / 1_000) + 86_000, ...change }));
}

describe("an issuer that works", () => {
  test("is asked once, and again in the background when its keys grow old", async () => {
    const issuer = await issuerOf();
    const lab = new WorkloadLab(githubRule(issuer.url));
    const jwt = await tokenOf(issuer);
    for (const step of [0, 1_000, FRESH_MS - 2_000]) {
      lab.now += step;
      expect(await lab.outcome(jwt)).toBe("github");
    }
    expect(lab.fetched).toHaveLength(2);
    lab.now += 2_000;
    const late = lab.resolve(jwt);
    expect(await late).toMatchObject({ ok: true });
    // The request went on; the question was still under way.
    expect(lab.background).toHaveLength(1);
    await Promise.all(lab.background.splice(0));
    expect(lab.fetched).toHaveLength(4);
    expect(await lab.outcome(jwt)).toBe("github");
    expect(lab.fetched).toHaveLength(4);
  });

  test("answers everyone who comes at once to an isolate without keys, though only a few ask", async () => {
    const issuer = await issuerOf();
    const lab = new WorkloadLab(githubRule(issuer.url));
    const jwt = await tokenOf(issuer);
    const outcomes = await Promise.all(Array.from({ length: 40 }, () => lab.outcome(jwt)));
    expect(new Set(outcomes)).toEqual(new Set(["github"]));
    expect(lab.fetched.length).toBeLessThanOrEqual(2 * ISSUER_QUESTIONS_MAX);
  });

  test("that has a new key: its first token has the keys read again at once, and then nobody asks for a while", async () => {
    const issuer = await issuerOf();
    const lab = new WorkloadLab(githubRule(issuer.url));
    expect(await lab.outcome(await tokenOf(issuer))).toBe("github");
    const kid = await issuer.addKey("RS256");
    lab.now += ISSUER_COOL_DOWN_MS;
    let jwt = await tokenOf(issuer);
    // The library takes its keys in turn.
    while (
      !Buffer.from(jwt.split(".")[0] ?? "", "base64url")
        .toString()
        .includes(kid)
    )
      jwt = await tokenOf(issuer);
    expect(await lab.outcome(jwt)).toBe("github");
    expect(lab.fetched).toHaveLength(4);
  });

  test("that has a new key: all who come with it at once are let in by one question", async () => {
    const before = await issuerOf();
    const lab = new WorkloadLab(githubRule(before.url));
    expect(await lab.outcome(await tokenOf(before))).toBe("github");
    await before.stop();
    const after = await issuerOf("RS256", before.port);
    lab.now += ISSUER_COOL_DOWN_MS;
    const jwt = await tokenOf(after);
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => lab.outcome(jwt)));
    expect(new Set(outcomes)).toEqual(new Set(["github"]));
    expect(lab.fetched).toHaveLength(4);
  });

  test("is not asked more than once in a cool-down for keys that it does not have, whoever invents them", async () => {
    const issuer = await issuerOf();
    const lab = new WorkloadLab(githubRule(issuer.url));
    expect(await lab.outcome(await tokenOf(issuer))).toBe("github");
    lab.now += ISSUER_COOL_DOWN_MS;
    for (let count = 0; count < 20; count++) {
      lab.now += 1_000;
      expect(await lab.outcome(await issuer.token(githubClaims(), { kid: `invented-${count}` }))).toBe(UNKNOWN_KEY);
    }
    expect(lab.fetched).toHaveLength(4);
  });

  test("that has taken a key back: what it signed is refused once the keys were read again", async () => {
    const before = await issuerOf();
    const lab = new WorkloadLab(githubRule(before.url));
    const old = await tokenOf(before);
    expect(await lab.outcome(old)).toBe("github");
    await before.stop();
    const after = await issuerOf("RS256", before.port);
    const young = await tokenOf(after);
    // Too soon to ask again: the new key is not known, the old one is.
    expect(await lab.outcome(young)).toBe(UNKNOWN_KEY);
    expect(await lab.outcome(old)).toBe("github");
    lab.now += ISSUER_COOL_DOWN_MS;
    expect(await lab.outcome(young)).toBe("github");
    expect(await lab.outcome(old)).toBe(UNKNOWN_KEY);
  });

  test("that has taken a key back is believed by an isolate that slept for hours before it uses its old keys", async () => {
    const before = await issuerOf();
    const lab = new WorkloadLab(githubRule(before.url));
    const old = await tokenOf(before);
    expect(await lab.outcome(old)).toBe("github");
    await before.stop();
    await issuerOf("RS256", before.port);
    lab.now += FRESH_MS + ISSUER_KEYS_LATE_MS;
    expect(await lab.outcome(old)).toBe(UNKNOWN_KEY);
  });

  test("says how long its keys are good for, within 5 minutes and a day", async () => {
    const real = await issuerOf();
    const cases = [
      ["max-age=7200", 7_200_000],
      ["public, max-age=600, must-revalidate", 600_000],
      ["max-age=0", FRESH_MS],
      ["no-store", FRESH_MS],
      ["max-age=99999999", 86_400_000],
      ["max-age=x", FRESH_MS],
    ] as const;
    for (const [header, freshMs] of cases) {
      const keys = JSON.stringify({ keys: real.keys() });
      const front = await hostile((request, response, url) => {
        response.setHeader("cache-control", header).end(request.url === "/jwks" ? keys : discoveryOf(url));
      });
      const lab = new WorkloadLab(githubRule(front.url));
      const jwt = await tokenOf(real, { iss: front.url, exp: Math.floor(Date.now() / 1_000) + 86_400 });
      expect(await lab.outcome(jwt)).toBe("github");
      // The token's own time is up at the last moments of a day; the keys' is what is looked at.
      lab.now += freshMs - 1;
      await lab.outcome(jwt);
      expect(front.asked, header).toHaveLength(2);
      lab.now += 1;
      await lab.outcome(jwt);
      expect(front.asked.length, header).toBe(4);
    }
  });
});

describe("an issuer that is down", () => {
  test("is not missed while its keys are known, for a day; each cool-down costs one request the wait", async () => {
    const issuer = await issuerOf();
    const lab = new WorkloadLab(githubRule(issuer.url));
    const start = lab.now;
    const jwt = await tokenOf(issuer);
    expect(await lab.outcome(jwt)).toBe("github");
    await issuer.stop();
    for (const at of [FRESH_MS, FRESH_MS + 1_000, FRESH_MS + ISSUER_KEYS_LATE_MS, 3_600_000, 20 * 3_600_000]) {
      lab.now = start + at;
      expect(await lab.outcome(jwt), String(at)).toBe("github");
    }
    // Discovery alone fails: one question each but for the second, which came within the cool-down.
    expect(lab.fetched).toHaveLength(2 + 4);
    // A key that it may have by now cannot be told from one that it has not.
    const unknown = `${Buffer.from('{"alg":"RS256","kid":"new"}').toString("base64url")}.${jwt.split(".").slice(1).join(".")}`;
    expect(await lab.outcome(unknown)).toBe(DOWN);
    lab.now = start + ISSUER_KEYS_KEPT_MS;
    expect(await lab.outcome(jwt)).toBe(DOWN);
  });

  test("and could never be asked lets nobody in: to be tried again, and asked again after a cool-down", async () => {
    const issuer = await issuerOf();
    const lab = new WorkloadLab(githubRule(issuer.url));
    const jwt = await tokenOf(issuer);
    await issuer.stop();
    expect(await lab.resolve(jwt)).toEqual({
      ok: false,
      error: { kind: "unavailable", detail: DOWN.slice("unavailable: ".length), retryAfterSeconds: 30 },
    });
    lab.now += ISSUER_COOL_DOWN_MS - 1;
    expect(await lab.outcome(jwt)).toBe(DOWN);
    expect(lab.fetched).toHaveLength(1);
    lab.now += 1;
    expect(await lab.outcome(jwt)).toBe(DOWN);
    expect(lab.fetched).toHaveLength(2);
  });

  test("does not stand in the way of another that works", async () => {
    const [down, up] = [await issuerOf(), await issuerOf()];
    const lab = new WorkloadLab(githubRule(down.url), githubRule(up.url, { name: "other" }));
    await down.stop();
    expect(await lab.outcome(await tokenOf(up))).toBe("other");
  });

  test("or hangs costs each request one time-out at most, and only a few ask at once", async () => {
    const real = await issuerOf();
    const silent = await hostile(() => undefined);
    const lab = new WorkloadLab(githubRule(silent.url));
    const jwt = await tokenOf(real, { iss: silent.url });
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => lab.outcome(jwt)));
    expect(new Set(outcomes)).toEqual(new Set([DOWN]));
    expect(silent.asked).toHaveLength(ISSUER_QUESTIONS_MAX);
    expect(await lab.outcome(jwt)).toBe(DOWN);
    expect(silent.asked).toHaveLength(ISSUER_QUESTIONS_MAX);
  });

  test("sends headers and then nothing, or a drop at a time: given up in time", async () => {
    const real = await issuerOf();
    const timers: NodeJS.Timeout[] = [];
    const slow = await hostile((_request, response) => {
      response.write("{");
      timers.push(setInterval(() => response.write(" "), 200));
    });
    try {
      const lab = new WorkloadLab(githubRule(slow.url));
      expect(await lab.outcome(await tokenOf(real, { iss: slow.url }))).toBe(DOWN);
    } finally {
      for (const timer of timers) clearInterval(timer);
    }
  });
});

describe("an issuer that means harm", () => {
  test("with 50 MB of keys is cut off after 256 KB, whatever length it states", async () => {
    const real = await issuerOf();
    const chunk = Buffer.alloc(64 * 1_024, " ");
    let left = 800;
    const large = await hostile((request, response, url) => {
      if (request.url !== "/jwks") {
        response.end(discoveryOf(url));
        return;
      }
      const pump = (): void => {
        while (left > 0 && !response.destroyed) {
          left -= 1;
          if (!response.write(chunk)) {
            response.once("drain", pump);
            return;
          }
        }
        response.end();
      };
      pump();
    });
    const lab = new WorkloadLab(githubRule(large.url));
    expect(await lab.outcome(await tokenOf(real, { iss: large.url }))).toBe(DOWN);
    await large.stop();
    const sentBytes = (800 - left) * chunk.byteLength;
    // What was under way in sockets comes on top; nothing near the whole.
    expect(sentBytes).toBeGreaterThan(MAX_ISSUER_ANSWER_BYTES);
    expect(sentBytes).toBeLessThan(40 * MAX_ISSUER_ANSWER_BYTES);
  });

  test.each<
    readonly [string, (url: string) => readonly [status: number, headers: Record<string, string>, body: string]]
  >([
    ["sends somewhere else", (url) => [302, { location: `${url}/elsewhere` }, ""]],
    ["fails", () => [500, {}, "{}"]],
    ["answers with nothing", () => [204, {}, ""]],
    ["answers with a page", () => [200, { "content-type": "text/html" }, "<html>"]],
    ["answers with bytes that are no text", () => [200, {}, "\u0000\u0001"]],
    ["is another issuer", (url) => [200, {}, JSON.stringify({ issuer: `${url}/`, jwks_uri: `${url}/jwks` })]],
    ["names no issuer", (url) => [200, {}, JSON.stringify({ jwks_uri: `${url}/jwks` })]],
    ["names no keys", (url) => [200, {}, JSON.stringify({ issuer: url })]],
    [
      "names keys elsewhere in the clear",
      (url) => [200, {}, JSON.stringify({ issuer: url, jwks_uri: "http://example.test/jwks" })],
    ],
    ["names a file", (url) => [200, {}, JSON.stringify({ issuer: url, jwks_uri: "file:///etc/passwd" })]],
    ["answers with null", () => [200, {}, "null"]],
  ])("whose configuration %s is not believed, nor its keys asked for", async (_what, answer) => {
    const real = await issuerOf();
    const keys = JSON.stringify({ keys: real.keys() });
    const front = await hostile((request, response, url) => {
      if (request.url === "/jwks") response.end(keys);
      else {
        const [status, headers, body] = answer(url);
        response.writeHead(status, headers).end(body);
      }
    });
    const lab = new WorkloadLab(githubRule(front.url));
    expect(await lab.outcome(await tokenOf(real, { iss: front.url }))).toBe(DOWN);
    expect(front.asked).toEqual(["/.well-known/openid-configuration"]);
  });

  test.each<readonly [string, unknown, string]>([
    ["no key set", { keys: "x" }, DOWN],
    ["null", null, DOWN],
    ["too many keys", { keys: Array.from({ length: MAX_ISSUER_KEYS + 1 }, () => ({ kty: "RSA" })) }, DOWN],
    ["no key", { keys: [] }, UNKNOWN_KEY],
    ["only what is no key", { keys: [null, 1, "x", [], { kty: "RSA" }, { kty: 7 }] }, UNKNOWN_KEY],
    ["only secrets", { keys: [{ kty: "oct", k: "AAAA", alg: "RS256" }] }, UNKNOWN_KEY],
  ])("whose key set is %s is not believed", async (_what, body, expected) => {
    const real = await issuerOf();
    const front = await hostile((request, response, url) => {
      response.end(request.url === "/jwks" ? JSON.stringify(body) : discoveryOf(url));
    });
    const lab = new WorkloadLab(githubRule(front.url));
    expect(await lab.outcome(await tokenOf(real, { iss: front.url }))).toBe(expected);
  });
});

describe("a key set", () => {
  test("is reduced to public keys that verify: secrets, private keys, certificates and strange members are left out", async () => {
    const issuer = await issuerOf();
    const [jwk = {}] = issuer.keys();
    const [secret = {}] = issuer.privateKeys();
    const kept = parseKeySet({
      keys: [
        { ...jwk, use: "sig", x5u: "https://evil.test/", oth: [1] },
        secret,
        { ...jwk, use: "enc" },
        { ...jwk, use: "x509-svid" },
        { ...jwk, kid: 7 },
        { ...jwk, n: "A".repeat(2_000) },
        { kty: "oct", k: "AAAA" },
      ],
    });
    const { kty, kid, alg, n, e } = jwk;
    expect(kept).toEqual({
      ok: true,
      value: [
        { kty, kid, alg, n, e },
        { kty, alg, n, e },
        { kty, kid, alg, e },
      ],
    });
  });
});
