/**
 * What Latchkey promises of a forwarded request, and nothing else: no key is checked, nothing is counted or recorded. The candidate
 * `promises`: the least that a gateway with this contract takes.
 */

interface PromisesEnv {
  readonly ORIGIN_URL: string;
}

/** Who is calling, and how the request came: the fields that the origin is told. */
const TOLD: readonly (readonly [name: string, value: string])[] = [
  ["x-latchkey-key-id", "key_01abcdefghjkmnpqrstvwxyz23"],
  ["x-latchkey-owner", "acme"],
  ["x-latchkey-environment", "live"],
  ["x-latchkey-scopes", "reports:read charges:write"],
  ["x-latchkey-workspace", "default"],
  ["x-request-id", "req_01abcdefghjkmnpqrstvwxyz23"],
  ["traceparent", "00-0123456789abcdef0123456789abcdef-0123456789abcdef-00"],
  ["x-forwarded-for", "127.0.0.1"],
  ["x-forwarded-proto", "http"],
  ["x-forwarded-host", "127.0.0.1"],
];
const ANSWERED: readonly (readonly [name: string, value: string])[] = [
  ["x-request-id", "req_01abcdefghjkmnpqrstvwxyz23"],
  ["ratelimit-policy", '"burst";q=100000000;w=60, "monthly";q=1000000000000;w=2592000'],
  ["ratelimit", '"burst";r=99999999;t=60, "monthly";r=999999999999;t=2592000'],
];
const UPSTREAM_TIMEOUT_MS = 30_000;

export default {
  async fetch(request, env) {
    const { method, body, url } = request;
    const headers = new Headers(request.headers);
    headers.delete("authorization");
    for (const [name, value] of TOLD) headers.set(name, value);
    const controller = new AbortController();
    request.signal.addEventListener("abort", () => controller.abort());
    const timer = setTimeout(() => controller.abort(), UPSTREAM_TIMEOUT_MS);
    const target = env.ORIGIN_URL + url.slice(url.indexOf("/", url.indexOf("://") + 3));
    const upstream = await fetch(target, {
      method,
      body,
      headers,
      signal: controller.signal,
      cache: "no-store",
      redirect: "manual",
      encodeResponseBody: "manual",
    });
    clearTimeout(timer);
    const answer = new Response(upstream.body, upstream);
    for (const name of ["proxy-authenticate", "proxy-connection"]) answer.headers.delete(name);
    if (!answer.headers.has("cache-control")) answer.headers.set("cache-control", "private");
    for (const [name, value] of ANSWERED) answer.headers.set(name, value);
    return answer;
  },
} satisfies ExportedHandler<PromisesEnv>;
