import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { control } from "../support/control.ts";
import { type Library, startLibrary } from "../support/library-lab.ts";
import { API_KEY, EXCHANGE, type FormFields, partOf } from "../support/oauth.ts";

/** One token, one upstream (RFC 9068 §3, RFC 8707): what one upstream is shown cannot be used at another. */

let library: Library;
let key: string;
beforeAll(async () => {
  library = await startLibrary();
  ({ key } = await control({ url: library.url(), rootToken: library.rootToken }).issue({
    scopes: ["invoices:read", "charges:write"],
  }));
});
afterAll(() => library.stop());

async function ask(fields: FormFields): Promise<Record<string, unknown>> {
  const form = new URLSearchParams({ grant_type: EXCHANGE, subject_token: key, subject_token_type: API_KEY });
  for (const [name, value] of Object.entries(fields)) for (const one of [value].flat()) form.append(name, one);
  const told = await library.ask("/_latchkey/oauth/token", {
    method: "POST",
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: form.toString(),
  });
  return told.json();
}

async function tokenFor(fields: FormFields): Promise<string> {
  const { access_token: token } = await ask(fields);
  if (typeof token !== "string") throw new Error("no token");
  return token;
}

const audienceOf = async (fields: FormFields): Promise<unknown> => partOf(await tokenFor(fields), 1)["aud"];

describe("which upstream a token is for", () => {
  it("is asked where several could be meant, and the choice is named", async () => {
    const { error, error_description: description } = await ask({});
    expect(error).toBe("invalid_target");
    expect(description).toMatch(/audience=.*\bapi\b.*\bbilling\b/);
  });

  it("follows from a name, or from a URI at which it is served", async () => {
    expect(await audienceOf({ audience: "billing" })).toBe("billing");
    expect(await audienceOf({ resource: "https://api.lab.test/billing/invoices" })).toBe("billing");
    expect(await audienceOf({ resource: "https://api.lab.test/anything" })).toBe("api");
    expect(await ask({ resource: "https://elsewhere.test/" })).toMatchObject({ error: "invalid_target" });
  });

  it("is one: two are refused, and so is one that the key may not use", async () => {
    expect(await ask({ audience: ["api", "billing"] })).toMatchObject({ error: "invalid_target" });
    expect(await ask({ audience: "api", resource: "https://api.lab.test/billing" })).toMatchObject({
      error: "invalid_target",
    });
    // Of another workspace.
    expect(await ask({ audience: "tenant" })).toMatchObject({ error: "invalid_target" });
  });

  it("stays what it is: a token is exchanged for no other one's", async () => {
    const token = await tokenFor({ audience: "api" });
    const subject = { subject_token: token, subject_token_type: "urn:ietf:params:oauth:token-type:access_token" };
    const form = async (fields: FormFields): Promise<Record<string, unknown>> => {
      const told = await library.ask("/_latchkey/oauth/token", {
        method: "POST",
        headers: { "content-type": "application/x-www-form-urlencoded" },
        body: new URLSearchParams({
          grant_type: EXCHANGE,
          ...subject,
          ...(fields as Record<string, string>),
        }).toString(),
      });
      return told.json();
    };
    expect(await form({ audience: "billing" })).toMatchObject({ error: "invalid_target" });
    const same = await form({});
    expect(partOf(String(same["access_token"]), 1)["aud"]).toBe("api");
  });
});

describe("a token at an upstream", () => {
  it("that it is for passes, and at any other one does not, whatever its scopes", async () => {
    const token = await tokenFor({ audience: "api" });
    expect((await library.ask("/x", { key: token })).status).toBe(200);
    const elsewhere = await library.ask("/billing/invoices/7", { key: token });
    expect({ status: elsewhere.status, code: elsewhere.json()["code"] }).toEqual({
      status: 401,
      code: "token_invalid",
    });
    expect(await library.billingCalls()).toBe(0);
    const right = await tokenFor({ audience: "billing" });
    expect((await library.ask("/billing/invoices/7", { key: right })).status).toBe(200);
    expect((await library.ask("/x", { key: right })).status).toBe(401);
  });

  it("verify says whom it is for, and with a path holds it to that", async () => {
    const token = await tokenFor({ audience: "api" });
    expect(await library.verify({ key: token })).toMatchObject({ valid: true, audience: "api" });
    const route = { key: token, method: "GET", host: "api.lab.test", path: "/billing/invoices/7" };
    expect(await library.verify(route)).toMatchObject({ valid: false, code: "token_invalid" });
  });
});
