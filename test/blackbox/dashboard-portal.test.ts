import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Edges, startEdges } from "../../scripts/lab/edges.ts";
import type { GatewayConfig } from "../../src/config.ts";
import { accessibilityFaults, startBrowser, watchedPage } from "../support/browser.ts";
import type { Watched } from "../support/browser.ts";
import { control } from "../support/control.ts";
import type { IssuedKey } from "../support/control.ts";
import { isTooWide } from "../support/dashboard-lab.ts";

/** An owner's own page, as the owner and as who wants to be one; and signing in through Cloudflare Access. */

const AUDIENCE = "tag-of-the-application";
const KEY_ID = "of-the-team";

let lab: Edges;
let browser: Browser;
let team: Server;
let teamDomain: string;
let signer: CryptoKey;

beforeAll(async () => {
  const pair = await generateKeyPair("RS256");
  signer = pair.privateKey;
  const certificates = { keys: [{ ...(await exportJWK(pair.publicKey)), kid: KEY_ID, alg: "RS256", use: "sig" }] };
  team = createServer((request, response) => {
    response.writeHead(request.url === "/cdn-cgi/access/certs" ? 200 : 404, { "content-type": "application/json" });
    response.end(JSON.stringify(certificates));
  });
  await new Promise<void>((resolve) => void team.listen(0, "127.0.0.1", resolve));
  const { port } = team.address() as AddressInfo; // it listens on a port
  teamDomain = `127.0.0.1:${port}`;
  const pages: Pick<GatewayConfig, "dashboard" | "selfService"> = {
    dashboard: {
      access: {
        teamDomain,
        audience: AUDIENCE,
        roles: [
          { emails: ["ops@example.com"], scopes: ["admin:*"] },
          { emailDomain: "example.com", scopes: ["keys:read"] },
          { groups: ["others"], workspace: "elsewhere", scopes: ["keys:read", "keys:write"] },
        ],
      },
    },
    selfService: {
      issue: { scopes: ["reports:read"], environments: ["test"], plan: "free", maxKeys: 3, maxTtlDays: 30 },
    },
  };
  lab = await startEdges({
    count: 0,
    entry: path.join(import.meta.dirname, "../support/pages-worker.ts"),
    variables: { LATCHKEY_LAB_PAGES: JSON.stringify(pages) },
  });
  browser = await startBrowser();
});
afterAll(async () => {
  await browser.close();
  await lab.stop();
  team.close();
});

const api = () => control(lab.home);

async function linkFor(
  owner: string,
  options: { body?: object; token?: string; headers?: Record<string, string> } = {},
) {
  return await api().call<{ url: string; expiresAt: string; code: string }>(
    "POST",
    `/owners/${owner}/portal-sessions`,
    options,
  );
}

async function openLink(
  url: string,
  options: { readonly width?: number; readonly theme?: "light" | "dark" } = {},
): Promise<Watched & Awaited<ReturnType<typeof watchedPage>>> {
  const watched = await watchedPage(browser, { origin: lab.home.url, ...options });
  await watched.page.goto(url);
  await watched.page.click("text=Continue");
  return watched;
}

async function ownerPage(owner: string, options: Parameters<typeof openLink>[1] = {}): ReturnType<typeof openLink> {
  const { body } = await linkFor(owner);
  return await openLink(body.url, options);
}

async function call(key: string): Promise<number> {
  const answer = await lab.home.fetch("/orders/1", { headers: { authorization: `Bearer ${key}` } });
  await answer.arrayBuffer();
  return answer.status;
}

/** As a script on the page's own site would, with its cookies. */
async function post({ context }: Awaited<ReturnType<typeof openLink>>, target: string, form: Record<string, string>) {
  const headers = { "sec-fetch-site": "same-origin", origin: "null" };
  const answer = await context.request.post(`${lab.home.url}/_latchkey/${target}`, { form, headers, maxRedirects: 0 });
  return { status: answer.status(), text: await answer.text() };
}

describe("an owner's link", () => {
  test("opens once, and not by being looked at", async () => {
    await api().issue({ name: "Own", owner: "acme" });
    const { status, body } = await linkFor("acme");
    expect(status).toBe(201);
    expect(Date.parse(body.expiresAt) - Date.now()).toBeGreaterThan(200_000);
    // As a program that reads mail does.
    for (let round = 0; round < 3; round++) expect((await fetch(body.url)).status).toBe(200);
    const first = await openLink(body.url);
    await first.page.waitForSelector("h1:has-text('API keys')");
    expect(await first.page.textContent("main")).toContain("Own");
    const second = await openLink(body.url);
    expect(await second.page.textContent("[role=alert]")).toContain("used already");
    expect((await second.page.goto(`${lab.home.url}/_latchkey/portal`))?.status()).toBe(401);
    await Promise.all([first.context.close(), second.context.close()]);
  });

  test("is over after its time, and cannot be made up or changed", async () => {
    const { body } = await linkFor("acme", { body: { ttlSeconds: 10 } });
    const link = new URL(body.url).searchParams.get("link") ?? "";
    const visitor = await watchedPage(browser, { origin: lab.home.url });
    for (const forged of [`${link.slice(0, -3)}AAA`, "e30.e30.e30.e30.e30", ""]) {
      expect((await post(visitor, "portal/open", { link: forged })).status, forged).toBe(401);
    }
    await lab.home.setClock(11_000);
    const late = await post(visitor, "portal/open", { link });
    await lab.home.setClock(0);
    expect([late.status, late.text.includes("is over")]).toEqual([401, true]);
    await visitor.context.close();
  });

  test("lends what its maker holds and no more, and stands in the audit trail", async () => {
    const told = { "keys:read": "keys:read", "usage:read": "usage:read" };
    for (const missing of ["keys:read", "keys:write", "usage:read"] as const) {
      const scopes = ["keys:read", "keys:write", "usage:read"].filter((scope) => scope !== missing);
      const admin = await api().issue({ name: `Without ${missing}`, owner: "ops", kind: "admin", scopes });
      const { status, body } = await linkFor("acme", { token: admin.key });
      expect(status, missing).toBe(missing === "keys:write" ? 403 : 201);
      if (missing === "keys:write") continue;
      // Nobody lends more than they have.
      const visitor = await openLink(body.url);
      await visitor.page.waitForSelector("h1:has-text('API keys')");
      expect(await visitor.page.textContent("main")).toContain(told[missing]);
      await visitor.context.close();
    }
    expect((await linkFor("nobody-yet")).status).toBe(404);
    const repeated = { "idempotency-key": "one-link" };
    const [one, two] = [await linkFor("acme", { headers: repeated }), await linkFor("acme", { headers: repeated })];
    expect(two.headers.get("idempotent-replayed")).toBe("true");
    const first = await openLink(one.body.url);
    await first.page.waitForSelector("h1:has-text('API keys')");
    const second = await openLink(two.body.url);
    expect(await second.page.textContent("[role=alert]")).toContain("used already");
    const trail = await api().call<{ data: object[] }>("GET", "/audit?subject=acme&action=owner.portal");
    expect(trail.body.data[0]).toMatchObject({ actor: { kind: "root" } });
    expect(JSON.stringify(trail.body)).not.toContain(new URL(one.body.url).searchParams.get("link"));
    await Promise.all([first.context.close(), second.context.close()]);
  });

  test("ends with the admin key that made it, and after half an hour", async () => {
    const scopes = ["keys:read", "keys:write", "usage:read"];
    const admin = await api().issue({ name: "Support", owner: "ops", kind: "admin", scopes });
    const { body } = await linkFor("acme", { token: admin.key });
    const visitor = await openLink(body.url);
    await visitor.page.waitForSelector("h1:has-text('API keys')");
    const again = async () => (await visitor.page.goto(`${lab.home.url}/_latchkey/portal`))?.status();
    expect(await again()).toBe(200);
    await lab.home.setClock(1_801_000);
    expect(await again()).toBe(401);
    await lab.home.setClock(0);
    expect(await again()).toBe(200);
    await api().revoke(admin.id);
    expect(await again()).toBe(401);
    await visitor.context.close();
  });
});

describe("an owner's own page", () => {
  let mine: IssuedKey;
  let foreign: IssuedKey;
  let admin: IssuedKey;
  beforeAll(async () => {
    mine = await api().issue({
      name: "Mine",
      owner: "globex",
      limits: [{ name: "burst", limit: 100, window: "minute", kind: "rate" }],
    });
    foreign = await api().issue({ name: "Theirs", owner: "initech" });
    admin = await api().issue({ name: "Rules", owner: "globex", kind: "admin", scopes: ["keys:read"] });
    for (let round = 0; round < 4; round++) expect(await call(mine.key)).toBe(200);
    await expectUse();
  });

  async function expectUse(): Promise<void> {
    for (let tries = 0; tries < 100; tries++) {
      const { body } = await api().call<{ totals: { requests: number } }>("GET", "/usage?owner=globex");
      if (body.totals.requests >= 4) return;
      await new Promise((resolve) => void setTimeout(resolve, 200));
    }
    throw new Error("the use was not counted in 20 s");
  }

  test("shows own keys, what they used and what is left; nobody else's, and no admin key", async () => {
    const visitor = await ownerPage("globex");
    await visitor.page.waitForSelector("h1:has-text('API keys')");
    const text = (await visitor.page.textContent("main")) ?? "";
    expect(text).toContain("Mine");
    expect(text).not.toContain("Theirs");
    expect(text).not.toContain("Rules");
    await visitor.page.click("tbody a.key-link");
    await visitor.page.waitForSelector("h1:has-text('Mine')");
    expect(await visitor.page.textContent("section[aria-label=Limits]")).toContain("96 of 100 left");
    expect(await accessibilityFaults(visitor.page)).toEqual([]);
    expect(visitor.complaints).toEqual([]);
    await visitor.context.close();
  });

  test.each([
    ["light", 1_280],
    ["dark", 1_280],
    ["light", 360],
    ["dark", 360],
  ] as const)(
    "every page of it has no fault that axe finds and fits its window: %s, %i pixels",
    async (theme, width) => {
      const visitor = await ownerPage("globex", { theme, width });
      await visitor.page.waitForSelector("h1:has-text('API keys')");
      for (const target of ["portal", `portal/keys/${mine.id}`, "portal/keys/new", `portal/keys/${mine.id}/rotate`]) {
        expect((await visitor.page.goto(`${lab.home.url}/_latchkey/${target}`))?.status(), target).toBe(200);
        expect(await accessibilityFaults(visitor.page), target).toEqual([]);
        expect(await isTooWide(visitor), target).toBe(false);
      }
      expect(visitor.complaints).toEqual([]);
      await visitor.context.close();
    },
  );

  test("another owner's keys, and pages of operators, are as if they were not there", async () => {
    const visitor = await ownerPage("globex");
    await visitor.page.waitForSelector("h1:has-text('API keys')");
    const csrf = await visitor.page.locator("input[name=csrf]").first().inputValue();
    const status = async (target: string) => (await visitor.page.goto(`${lab.home.url}/_latchkey/${target}`))?.status();
    for (const { id } of [foreign, admin]) {
      expect(await status(`portal/keys/${id}`)).toBe(404);
      expect(await status(`portal/keys/${id}/rotate`)).toBe(404);
      expect((await post(visitor, `portal/keys/${id}/rotate`, { csrf, overlapSeconds: "0" })).status).toBe(404);
    }
    expect(await call(foreign.key)).toBe(200);
    // Filters that name somebody else are not looked at.
    await status(`portal?owner=initech&key=${foreign.id}&workspace=elsewhere`);
    expect(await visitor.page.textContent("main")).not.toContain("Theirs");
    for (const operators of ["", "keys", `keys/${mine.id}`, "owners/globex", "audit", "usage"])
      expect(await status(operators), operators).toBe(401);
    for (const [target, form] of [
      [`keys/${mine.id}/revoke`, { csrf, typed: "Mine" }],
      ["owners/globex/portal", { csrf }],
      ["keys/new", { csrf, name: "x", owner: "globex", scopes: "charges:write" }],
    ] as const) {
      expect((await post(visitor, target, form)).status, target).toBe(401);
    }
    const cookies = (await visitor.context.cookies()).map(({ name, value }) => `${name}=${value}`).join("; ");
    const asOperator = await fetch(`${lab.home.url}/_latchkey/keys`, {
      headers: { cookie: cookies.replace("latchkey-portal", "latchkey-session") },
    });
    expect(asOperator.status).toBe(401);
    await visitor.context.close();
  });

  test("issues within the policy and no further", async () => {
    const visitor = await ownerPage("globex");
    await visitor.page.click("text=New key");
    expect(await accessibilityFaults(visitor.page)).toEqual([]);
    await visitor.page.fill("input[name=name]", "By myself");
    await visitor.page.check("input[value='reports:read']");
    await visitor.page.fill("input[name=days]", "7");
    const csrf = await visitor.page.locator("input[name=csrf]").first().inputValue();
    await visitor.page.click("text=Issue the key");
    const key = (await visitor.page.textContent("#issued-key")) ?? "";
    expect(await call(key)).toBe(200);
    const { body } = await api().call<{ data: Record<string, unknown>[] }>("GET", "/keys?owner=globex&q=myself");
    expect(body.data[0]).toMatchObject({
      owner: "globex",
      environment: "test",
      plan: "free",
      scopes: ["reports:read"],
      kind: "secret",
      createdBy: "globex",
    });
    const trail = await api().call<{ data: object[] }>("GET", `/audit?subject=${String(body.data[0]?.["id"])}`);
    expect(trail.body.data[0]).toMatchObject({ actor: { kind: "owner", id: "globex" } });

    const good = { csrf, name: "More", environment: "test", scopes: "reports:read", days: "7" };
    for (const change of [
      { scopes: "charges:write" },
      { scopes: "admin:*" },
      { scopes: "" },
      { environment: "live" },
      { days: "31" },
      { days: "0" },
      { days: "1e9" },
      { csrf: "made-up" },
    ]) {
      expect((await post(visitor, "portal/keys/new", { ...good, ...change })).status, JSON.stringify(change)).toBe(403);
    }
    // What is not in the form is not looked at.
    const sneaky = await post(visitor, "portal/keys/new", {
      ...good,
      owner: "initech",
      kind: "admin",
      plan: "pro",
      opened: String(Date.now() + 1e12),
    });
    expect(sneaky.status).toBe(200);
    const more = await api().call<{ data: Record<string, unknown>[] }>("GET", "/keys?q=More");
    expect(more.body.data).toHaveLength(1);
    expect(more.body.data[0]).toMatchObject({ owner: "globex", kind: "secret", plan: "free" });
    expect(Date.parse(String(more.body.data[0]?.["expiresAt"])) - Date.now()).toBeLessThan(7 * 86_400_000 + 60_000);
    // Mine, By myself, More: three of three.
    const tooMany = await post(visitor, "portal/keys/new", { ...good, name: "Too many" });
    expect([tooMany.status, tooMany.text.includes("3 keys at once")]).toEqual([403, true]);
    await visitor.context.close();
  });

  test("replaces a key, one replacement at a time; the form sent again shows nothing", async () => {
    const visitor = await ownerPage("globex");
    await visitor.page.waitForSelector("h1:has-text('API keys')");
    await visitor.page.goto(`${lab.home.url}/_latchkey/portal/keys/${mine.id}`);
    await visitor.page.click("text=Replace >> nth=0");
    const form = await visitor.page.evaluate<Record<string, string>>(
      "Object.fromEntries(new FormData(document.querySelector('form.fields')))",
    );
    await visitor.page.click("button:has-text('Replace the key')");
    const fresh = (await visitor.page.textContent("#issued-key")) ?? "";
    expect([await call(fresh), await call(mine.key)]).toEqual([200, 200]);
    const again = await post(visitor, `portal/keys/${mine.id}/rotate`, form);
    expect(again.text).not.toMatch(/lk_live_[0-9A-Za-z]{38}/);
    const { body } = await api().call<{ data: { id: string; rotatedFrom: string | null }[] }>(
      "GET",
      "/keys?owner=globex",
    );
    const next = body.data.find(({ rotatedFrom }) => rotatedFrom === mine.id)?.id ?? "";
    const csrf = await visitor.page.locator("input[name=csrf]").first().inputValue();
    expect((await post(visitor, `portal/keys/${next}/rotate`, { csrf })).status).toBe(409);
    await visitor.context.close();
  });
});

describe("signing in through Cloudflare Access", () => {
  interface Change {
    readonly issuer?: string;
    readonly audience?: string;
    readonly expires?: string;
    readonly key?: CryptoKey;
    readonly claims?: Record<string, unknown>;
  }

  async function assertion(
    email: string | null,
    { issuer = `http://${teamDomain}`, audience = AUDIENCE, expires = "5 min", key = signer, claims = {} }: Change = {},
  ) {
    const named = email === null ? {} : { email };
    return await new SignJWT({ ...named, ...claims })
      .setProtectedHeader({ alg: "RS256", kid: KEY_ID })
      .setIssuer(issuer)
      .setAudience([audience])
      .setSubject("of-the-provider")
      .setIssuedAt()
      .setExpirationTime(expires)
      .sign(key);
  }

  async function visit(
    token: string,
    target = "keys",
    init: RequestInit = {},
  ): Promise<{ status: number; text: string }> {
    const headers = { ...(init.headers as Record<string, string> | undefined), "cf-access-jwt-assertion": token }; // what is given here are plain objects
    const answer = await fetch(`${lab.home.url}/_latchkey/${target}`, { ...init, headers, redirect: "manual" });
    return { status: answer.status, text: await answer.text() };
  }

  test("gives the first role that fits, and its workspace, and stands in the audit trail by the address", async () => {
    const key = await api().issue({ name: "Disabled by a person", owner: "acme" });
    const token = await assertion("Ops@example.com");
    const page = await visit(token, `keys/${key.id}/disable`);
    expect(page.text).toContain("Ops@example.com");
    const csrf = /name="csrf" value="([^"]+)"/.exec(page.text)?.[1] ?? "";
    const headers = { "sec-fetch-site": "same-origin", "content-type": "application/x-www-form-urlencoded" };
    const send = (value: string) =>
      visit(token, `keys/${key.id}/disable`, { method: "POST", headers, body: new URLSearchParams({ csrf: value }) });
    expect((await send("made-up")).status).toBe(403);
    expect((await send(csrf)).status).toBe(303);
    const trail = await api().call<{ data: object[] }>("GET", `/audit?subject=${key.id}&action=key.disable`);
    expect(trail.body.data[0]).toMatchObject({ actor: { kind: "person", id: "Ops@example.com" } });
    expect((await visit(await assertion("dev@example.com"), "audit")).text).toContain("audit:read");
    const other = await visit(await assertion("x@partner.test", { claims: { custom: { groups: ["others"] } } }));
    expect([other.status, other.text.includes("elsewhere"), other.text.includes("Disabled by a person")]).toEqual([
      200,
      true,
      false,
    ]);
  });

  test.each([
    ["who has no role", () => assertion("x@elsewhere.test")],
    ["a service, which has no address", () => assertion(null)],
    ["another application's", () => assertion("ops@example.com", { audience: "other" })],
    ["another team's", () => assertion("ops@example.com", { issuer: "https://evil.cloudflareaccess.com" })],
    ["one that is over", () => assertion("ops@example.com", { expires: "-1 min" })],
    [
      "one signed by somebody else",
      async () => assertion("ops@example.com", { key: (await generateKeyPair("RS256")).privateKey }),
    ],
    [
      "one without a signature",
      async () => `${(await assertion("ops@example.com")).split(".").slice(0, 2).join(".")}.`,
    ],
    ["what is none", async () => "nonsense"],
  ])("refuses %s", async (_what, make) => {
    const { status, text } = await visit(await make());
    expect(status).toBe(403);
    expect(text).toContain("Sign in to Latchkey");
    expect(text).not.toContain("Inventory");
  });

  test("an admin key still signs in beside it", async () => {
    const visitor = await watchedPage(browser, { origin: lab.home.url });
    await visitor.page.goto(`${lab.home.url}/_latchkey/sign-in`);
    await visitor.page.fill("input[name=key]", lab.rootToken);
    await visitor.page.click("button.primary");
    await visitor.page.waitForSelector("h1:has-text('Overview')");
    // An hour later nobody has been here.
    await lab.home.setClock(1_801_000);
    expect((await visitor.page.goto(`${lab.home.url}/_latchkey/keys`))?.status()).toBe(401);
    await lab.home.setClock(0);
    await visitor.context.close();
  });
});
