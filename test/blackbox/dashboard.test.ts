import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bearer } from "../support/control.ts";
import type { IssuedKey } from "../support/control.ts";
import { faultsOf, isTooWide, startDashboardLab } from "../support/dashboard-lab.ts";
import type { DashboardLab, Visitor } from "../support/dashboard-lab.ts";

/** The pages as a person meets them, in a real browser: signing in, finding, issuing, rotating and revoking keys. */

const SCRIPT_NAME = `<script>alert(1)</script>`;
const IMAGE_PURPOSE = `"><img src=x onerror=alert(2)>`;
/** Of Latchkey's own form, whole. */
const WHOLE_KEY = /lk_(?:live|test)_[0-9A-Za-z]{38}/;

let lab: DashboardLab;
let root: Visitor;
let hostile: IssuedKey;
beforeAll(async () => {
  lab = await startDashboardLab();
  hostile = await lab.api.issue({ name: SCRIPT_NAME, owner: "acme", purpose: IMAGE_PURPOSE });
  await fetch(`${lab.server.url}/reports/today`, { headers: bearer(hostile.key) });
  root = await lab.signedIn();
});
afterAll(() => lab.stop());

/** An admin key with these scopes. */
async function adminKey(...scopes: string[]): Promise<IssuedKey> {
  return await lab.api.issue({ name: `Admin ${scopes.join(" ")}`, owner: "ops", kind: "admin", scopes });
}

async function callWith(key: string): Promise<{ status: number; code: unknown }> {
  const answer = await fetch(`${lab.server.url}/reports/today`, { headers: bearer(key) });
  const body = (await answer.json()) as { code?: unknown }; // a problem, or the demo origin's echo
  return { status: answer.status, code: body.code };
}

describe("signing in", () => {
  test("takes the root token or an admin key, and no other key", async () => {
    const admin = await adminKey("keys:read");
    const visitor = await lab.signedIn(admin.key);
    expect(await visitor.page.textContent(".side-body .who-name")).toContain(admin.key.slice(0, 8));
    const other = await lab.visitor();
    for (const wrong of [hostile.key, "lk_live_nothing", `${admin.key.slice(0, -1)}x`]) {
      await other.open("sign-in");
      await other.page.fill("input[name=key]", wrong);
      await other.page.click("button.primary");
      expect(await other.page.textContent("[role=alert]")).toMatch(/not valid|no admin key/);
      expect(await other.page.content()).not.toContain(wrong);
    }
    expect(await other.open("keys")).toBe(401);
    await Promise.all([visitor.context.close(), other.context.close()]);
  });

  test("leads to the page that was asked for, and nowhere else", async () => {
    const visitor = await lab.visitor();
    expect(await visitor.open("keys?status=active")).toBe(401);
    await visitor.page.fill("input[name=key]", lab.server.rootToken);
    await visitor.page.click("button.primary");
    await visitor.page.waitForSelector("h1:has-text('Keys')");
    expect(visitor.page.url()).toBe(`${lab.server.url}/_latchkey/keys?status=active`);
    const { headers } = await visitor.post("sign-in", { key: lab.server.rootToken, back: "//evil.test/_latchkey/" });
    expect(headers["location"]).toBe("/_latchkey/");
    await visitor.context.close();
  });

  test("keeps a sealed cookie that scripts and other sites do not get, and never the key", async () => {
    const cookies = await root.context.cookies();
    const session = cookies.find(({ name }) => name === "latchkey-session");
    expect(session).toMatchObject({ httpOnly: true, sameSite: "Strict", path: "/" });
    const middle = Buffer.from(session?.value.split(".").join("") ?? "", "base64url").toString("latin1");
    expect(`${session?.value}${middle}`).not.toContain(lab.server.rootToken);
    expect(session?.value.split(".").length).toBe(5);
  });

  test("on a session of its own each time: a cookie that is cut, changed or made up opens nothing", async () => {
    const [session] = (await root.context.cookies()).filter(({ name }) => name === "latchkey-session");
    const value = session?.value ?? "";
    for (const forged of [value.slice(0, -4), `${value.slice(0, 60)}AAAA${value.slice(64)}`, "e30.e30.e30.e30.e30"]) {
      const answer = await fetch(`${lab.server.url}/_latchkey/keys`, {
        headers: { cookie: `latchkey-session=${forged}` },
      });
      expect(answer.status).toBe(401);
      expect(await answer.text()).toContain("Sign in");
    }
  });

  test("too many wrong keys from one address are refused as other failures are", async () => {
    const statuses = new Set<number>();
    // Twice the bound: a window may end meanwhile, and the next one counts from nothing.
    for (let round = 0; round < 25 && !statuses.has(429); round++) {
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => root.post("sign-in", { key: "lk_live_nothing" })),
      );
      for (const { status } of answers) statuses.add(status);
    }
    expect(statuses).toEqual(new Set([401, 429]));
  });

  test("a link from another site leads to its page, although the cookie stays at home at first", async () => {
    const visitor = await lab.signedIn();
    const target = `${lab.server.url}/_latchkey/keys?owner=acme`;
    await visitor.page.goto("about:blank");
    await visitor.page.setContent(`<a href="${target}">An alert</a>`);
    const asked = visitor.page.waitForRequest(target);
    await visitor.page.click("a");
    const headers = await (await asked).allHeaders();
    expect([headers["sec-fetch-site"], headers["cookie"]]).toEqual(["cross-site", undefined]);
    await visitor.page.waitForSelector("h1:has-text('Keys')");
    expect(await visitor.page.inputValue("input[name=owner]")).toBe("acme");
    // Who is not signed in is asked to, and does not go round in circles.
    const stranger = await lab.visitor();
    await stranger.page.setContent(`<a href="${target}">An alert</a>`);
    await stranger.page.click("a");
    await stranger.page.waitForSelector("h1:has-text('Sign in')");
    await Promise.all([visitor.context.close(), stranger.context.close()]);
  });

  test("signing out takes the session away", async () => {
    const visitor = await lab.signedIn();
    await visitor.page.click(".side-body >> text=Sign out");
    await visitor.page.waitForSelector("h1:has-text('Sign in')");
    expect(await visitor.open("keys")).toBe(401);
    await visitor.context.close();
  });

  test("a revoked admin key ends its sessions at once, and one that lost its scopes sees less", async () => {
    const admin = await adminKey("keys:read", "audit:read");
    const visitor = await lab.signedIn(admin.key);
    expect(await visitor.open("keys")).toBe(200);
    await lab.api.call("PATCH", `/keys/${admin.id}`, { body: { scopes: ["audit:read"] } });
    expect(await visitor.open("keys")).toBe(200);
    expect(await visitor.page.textContent("main")).toContain("keys:read");
    await lab.api.revoke(admin.id);
    expect(await visitor.open("keys")).toBe(401);
    expect(await visitor.page.textContent("[role=alert]")).toContain("revoked");
    await visitor.context.close();
  });

  test("an admin key is held to its bindings on each page", async () => {
    const admin = await adminKey("keys:read");
    const visitor = await lab.signedIn(admin.key);
    await lab.api.call("PATCH", `/keys/${admin.id}`, { body: { bindings: { ips: ["203.0.113.0/24"] } } });
    expect(await visitor.open("keys")).toBe(401);
    expect(await visitor.page.textContent("[role=alert]")).toContain("address");
    await visitor.context.close();
  });
});

describe("forms", () => {
  test("with another session's token, or from another site, change nothing", async () => {
    const key = await lab.api.issue({ name: "Stays", owner: "acme" });
    const stranger = await lab.signedIn();
    await root.open("keys");
    const [own, foreign] = [await root.csrf(), await stranger.csrf()];
    expect(own).not.toBe(foreign);
    const path = `keys/${key.id}/revoke`;
    const fields = { typed: "Stays", reason: "other" };
    expect((await root.post(path, { ...fields })).status).toBe(403);
    expect((await root.post(path, { ...fields, csrf: foreign })).status).toBe(403);
    for (const headers of [
      { "sec-fetch-site": "cross-site" },
      { "sec-fetch-site": "same-site" },
      { "sec-fetch-site": "same-origin", origin: "https://evil.test" },
    ]) {
      expect((await root.post(path, { ...fields, csrf: own }, headers)).status).toBe(403);
    }
    const said = { "content-type": "application/x-www-form-urlencoded" };
    const [session] = (await root.context.cookies()).filter(({ name }) => name === "latchkey-session");
    const mute = await fetch(`${lab.server.url}/_latchkey/${path}`, {
      method: "POST",
      headers: { ...said, cookie: `latchkey-session=${session?.value ?? ""}` },
      body: new URLSearchParams({ ...fields, csrf: own }),
    });
    expect(mute.status).toBe(403);
    expect((await callWith(key.key)).status).toBe(200);
    expect((await root.post(path, { ...fields, csrf: own })).status).toBe(200);
    await stranger.context.close();
  });

  test("revoking takes the key's name, typed, with or without scripts", async () => {
    const key = await lab.api.issue({ name: "Careful", owner: "acme" });
    await root.open(`keys/${key.id}/revoke`);
    expect(await root.page.isDisabled("button.danger")).toBe(true);
    await root.page.fill("input[name=typed]", "careful");
    expect(await root.page.isDisabled("button.danger")).toBe(true);
    const refused = await root.post(`keys/${key.id}/revoke`, { csrf: await root.csrf(), typed: "careful" });
    expect(refused.status).toBe(400);
    expect((await callWith(key.key)).status).toBe(200);
  });
});

describe("keys", () => {
  test("issued on a page, a key is shown once and works; going back or sending again shows it to nobody", async () => {
    await root.open("keys/new");
    await root.page.fill("input[name=name]", "From the page");
    await root.page.fill("input[name=owner]", "globex");
    await root.page.fill("input[name=scopes]", "reports:read");
    // As the browser would send them.
    const fields = await root.page.evaluate<Record<string, string>>(
      "Object.fromEntries(new FormData(document.querySelector('form.fields')))",
    );
    await root.page.click("text=Issue the key");
    const key = (await root.page.textContent("#issued-key")) ?? "";
    expect(key).toMatch(WHOLE_KEY);
    expect((await callWith(key)).status).toBe(200);
    await root.page.click("button:has-text('Copy')");
    await root.page.waitForSelector("#issued-told:has-text('Copied')");
    expect(await root.page.evaluate("navigator.clipboard.readText()")).toBe(key);

    await root.page.click("text=To its page");
    await root.page.waitForSelector("h1:has-text('From the page')");
    await root.page.goBack().catch(() => null); // the browser may ask whether to send the form again
    // What comes of it is the browser's own page, which asks whether to send the form again.
    await expect.poll(() => root.page.content().catch(() => key)).not.toContain(key);
    const again = await root.post("keys/new", fields);
    expect(again.status).toBe(200);
    expect(again.text).toContain("sent before");
    expect(again.text).not.toMatch(WHOLE_KEY);
    expect(again.headers["cache-control"]).toBe("no-store");
  });

  test("what the control API refuses is said at the form, which keeps what was typed", async () => {
    await root.open("keys/new");
    await root.page.fill("input[name=name]", "Wrong");
    await root.page.fill("input[name=owner]", "not an owner!");
    await root.page.fill("input[name=scopes]", "Everything");
    await root.page.click("text=Issue the key");
    const told = await root.page.textContent("[role=alert]");
    expect(told).toContain("owner");
    expect(told).toContain("scopes");
    expect(await root.page.inputValue("input[name=scopes]")).toBe("Everything");
  });

  test("rotated on a page, both work during the overlap that was shown; its lineage is drawn", async () => {
    const old = await lab.api.issue({ name: "To rotate", owner: "acme" });
    await root.open(`keys/${old.id}`);
    await root.page.click(".head-actions >> text=Rotate");
    await root.page.selectOption("select[name=overlapSeconds]", "3600");
    expect(await root.page.textContent("[data-overlap-ends]")).toMatch(/\d{2}:\d{2}/);
    await root.page.click("text=Rotate the key");
    const fresh = (await root.page.textContent("#issued-key")) ?? "";
    expect([(await callWith(fresh)).status, (await callWith(old.key)).status]).toEqual([200, 200]);
    await root.open(`keys/${old.id}`);
    expect(await root.page.textContent("main")).toContain("Rotating");
    expect(await root.page.locator("svg.lineage rect.life").count()).toBe(2);
    expect(await root.page.locator("svg.lineage rect.overlap").count()).toBe(1);
    expect(await root.page.getAttribute("svg.lineage", "aria-label")).toContain("overlapping with its replacement");
  });

  test("disabled and enabled on a page", async () => {
    const key = await lab.api.issue({ name: "Switch", owner: "acme", policy: { strict: true } });
    await root.open(`keys/${key.id}/disable`);
    await root.page.click("text=Disable the key");
    await root.page.waitForSelector("h1:has-text('Switch')");
    expect((await callWith(key.key)).code).toBe("key_disabled");
    await root.open(`keys/${key.id}/enable`);
    await root.page.click("text=Enable the key");
    await root.page.waitForSelector("h1:has-text('Switch')");
    expect((await callWith(key.key)).status).toBe(200);
  });

  test("revoked on a page, a key is refused at the gateway, and the audit trail says by whom", async () => {
    const admin = await adminKey("keys:read", "keys:revoke", "audit:read");
    const visitor = await lab.signedIn(admin.key);
    const key = await lab.api.issue({ name: "To revoke", owner: "acme", policy: { strict: true } });
    expect((await callWith(key.key)).status).toBe(200);
    await visitor.open(`keys/${key.id}/revoke`);
    await visitor.page.selectOption("select[name=reason]", "leaked");
    await visitor.page.fill("input[name=note]", "Seen in a repository");
    await visitor.page.fill("input[name=typed]", "To revoke");
    await visitor.page.click("text=Revoke the key");
    await visitor.page.waitForSelector("h1:has-text('was revoked')");
    expect(await callWith(key.key)).toEqual({ status: 401, code: "key_revoked" });
    const { body } = await lab.api.call<{ data: unknown[] }>("GET", `/audit?subject=${key.id}&action=key.revoke`);
    expect(body.data[0]).toMatchObject({ actor: { kind: "admin_key", id: admin.id }, note: "Seen in a repository" });
    await visitor.open(`keys/${key.id}`);
    expect(await visitor.page.locator("text=Rotate").count()).toBe(0);
    await visitor.context.close();
  });

  test("are found by filters that stand in the address", async () => {
    await lab.api.issue({ name: "Needle in the haystack", owner: "initech", environment: "test", tags: ["team:hay"] });
    await root.open("keys");
    await root.page.fill("input[name=q]", "needle");
    await root.page.click("text=Filter");
    await root.page.waitForURL(/q=needle/);
    expect(await root.page.locator("tbody tr").count()).toBe(1);
    for (const query of ["tag=team:hay", "owner=initech", "environment=test&q=needle"]) {
      await root.open(`keys?${query}`);
      expect(await root.page.textContent("tbody")).toContain("Needle");
    }
    await root.open("keys?owner=nobody");
    expect(await root.page.textContent("main")).toContain("No key fits");
    await root.open("keys?status=nonsense");
    expect(await root.page.textContent("[role=alert]")).toContain("status");
  });

  test("whoever lacks a scope is told which, and sees no button for it", async () => {
    const admin = await adminKey("keys:read");
    const visitor = await lab.signedIn(admin.key);
    expect(await visitor.page.textContent("main")).toContain("usage:read");
    await visitor.open(`keys/${hostile.id}`);
    expect(await visitor.page.locator(".head-actions a").count()).toBe(0);
    expect(await visitor.page.textContent("main")).toContain("audit:read");
    expect(await visitor.open(`keys/${hostile.id}/rotate`)).toBe(403);
    const csrf = await root.csrf();
    expect((await visitor.post(`keys/${hostile.id}/disable`, { csrf })).status).toBe(403);
    await visitor.open("keys");
    const refused = await visitor.post("keys/new", {
      csrf: await visitor.csrf(),
      name: "x",
      owner: "x",
      scopes: "a:b",
    });
    expect(refused.text).toContain("keys:write");
    expect((await callWith(hostile.key)).status).toBe(200);
    await visitor.context.close();
  });

  test("of another workspace are not to be seen", async () => {
    const visitor = await lab.signedIn();
    await visitor.page.fill(".side-body input[name=workspace]", "elsewhere");
    await visitor.page.click(".side-body >> text=Go");
    await visitor.page.waitForSelector("text=workspace elsewhere");
    await visitor.open("keys");
    expect(await visitor.page.textContent("main")).toContain("No key fits");
    expect(await visitor.open(`keys/${hostile.id}`)).toBe(404);
    await visitor.context.close();
  });
});

const PAGES = ["", "keys", "keys/new", `keys?q=alert`];

describe("every page", () => {
  test.each(["light", "dark"] as const)("has no fault that axe finds and breaks no policy, %s", async (theme) => {
    const visitor = await lab.signedIn(undefined, { theme });
    const one = `keys/${hostile.id}`;
    for (const path of [...PAGES, one, `${one}/rotate`, `${one}/revoke`, `${one}/disable`]) {
      expect(await visitor.open(path), path).toBe(200);
      expect(await faultsOf(visitor), path).toEqual([]);
    }
    await visitor.context.close();
    const stranger = await lab.visitor({ theme });
    await stranger.open("sign-in");
    expect(await faultsOf(stranger)).toEqual([]);
    await stranger.context.close();
  });

  test("fits a window of 360 pixels", async () => {
    const visitor = await lab.signedIn(undefined, { width: 360 });
    for (const path of [...PAGES, `keys/${hostile.id}`, `keys/${hostile.id}/rotate`]) {
      await visitor.open(path);
      expect(await isTooWide(visitor), path).toBe(false);
    }
    await visitor.page.click("summary[aria-label=Menu]");
    await visitor.page.click("nav[aria-label=Menu] >> text=Keys");
    await visitor.page.waitForSelector("h1:has-text('Keys')");
    await visitor.context.close();
  });

  test("shows names as text, whatever is in them, and never a whole key", async () => {
    const visitor = await lab.signedIn();
    visitor.page.on("dialog", (dialog) => visitor.complaints.push(`dialog ${dialog.message()}`));
    const one = `keys/${hostile.id}`;
    for (const path of [...PAGES, one, `${one}/rotate`, `${one}/revoke`]) {
      await visitor.open(path);
      const html = await visitor.page.content();
      expect(html, path).not.toMatch(WHOLE_KEY);
      expect(html, path).not.toContain(lab.server.rootToken);
      expect(html, path).not.toContain(SCRIPT_NAME);
      expect(html, path).not.toContain("<img");
    }
    await visitor.open(one);
    expect(await visitor.page.textContent("h1")).toBe(SCRIPT_NAME);
    expect(await visitor.page.textContent("main")).toContain(IMAGE_PURPOSE);
    expect(visitor.complaints).toEqual([]);
    await visitor.context.close();
  });

  test("is sent with a strict policy, kept by nobody, and loads only what is named by its contents", async () => {
    const page = await fetch(`${lab.server.url}/_latchkey/sign-in`);
    const policy = page.headers.get("content-security-policy") ?? "";
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toContain("unsafe");
    expect(page.headers.get("cache-control")).toBe("no-store");
    expect(page.headers.get("referrer-policy")).toBe("no-referrer");
    const html = await page.text();
    const loaded = [...html.matchAll(/(?:src|href)="(\/_latchkey\/assets\/[^"]+)"/g)].map(([, path]) => path ?? "");
    expect(loaded.length).toBeGreaterThan(1);
    for (const path of loaded) {
      const asset = await fetch(lab.server.url + path);
      expect(asset.status, path).toBe(200);
      expect(asset.headers.get("cache-control"), path).toContain("immutable");
    }
    expect((await fetch(`${lab.server.url}/_latchkey/assets/page.0000000000000000.js`)).status).toBe(404);
  });

  test("can be read and used without scripts", async () => {
    const visitor = await lab.signedIn(undefined, { javaScript: false });
    await visitor.page.click(".side-body >> text=Keys");
    await visitor.page.fill("input[name=q]", "alert");
    await visitor.page.click("text=Filter");
    await visitor.page.click("tbody a.key-link");
    await visitor.page.click(".head-actions >> text=Rotate");
    await visitor.page.click("text=Rotate the key");
    expect(await visitor.page.textContent("#issued-key")).toMatch(WHOLE_KEY);
    await visitor.open("");
    expect(await visitor.page.locator("figure.chart svg path").count()).toBeGreaterThan(0);
    expect(await visitor.page.locator("figure.chart table td").count()).toBeGreaterThan(0);
    await visitor.page.click(".side-body >> text=Dark");
    expect(await visitor.page.getAttribute("html", "data-theme")).toBe("dark");
    await visitor.context.close();
  });

  test("is reached by keyboard alone, past the navigation", async () => {
    await root.open("keys");
    await root.page.keyboard.press("Tab");
    expect(await root.page.evaluate("document.activeElement.textContent")).toBe("Skip to the content");
    await root.page.keyboard.press("Enter");
    await root.page.keyboard.press("Tab");
    expect(await root.page.evaluate("document.activeElement.closest('main') !== null")).toBe(true);
  });

  test("tells times in the reader's zone, and in UTC on a closer look", async () => {
    const { body } = await lab.api.call<{ createdAt: string }>("GET", `/keys/${hostile.id}`);
    await root.open(`keys/${hostile.id}`);
    const time = root.page.locator(`time[datetime="${body.createdAt}"]`).first();
    expect(await time.getAttribute("title")).toBe(`${body.createdAt.slice(0, 16).replace("T", " ")} UTC`);
    // The browser of these tests is in Tokyo.
    const there = new Date(Date.parse(body.createdAt) + 9 * 3_600_000).toISOString().slice(11, 16);
    expect(await time.textContent()).toContain(there);
  });
});

test("the session's cookie does not reach the API behind the same host, and others do", async () => {
  const [session] = (await root.context.cookies()).filter(({ name }) => name === "latchkey-session");
  const cookie = `a=1; latchkey-session=${session?.value ?? ""}; __Host-latchkey-portal=x.y; b=2`;
  const answer = await fetch(`${lab.server.url}/reports/today`, { headers: { ...bearer(hostile.key), cookie } });
  const { headers } = (await answer.json()) as { headers: Record<string, string> }; // the demo origin's echo
  expect(headers["cookie"]).toBe("a=1; b=2");
});
