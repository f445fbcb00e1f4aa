import { DurableObject } from "cloudflare:workers";
import { readCredential } from "../../src/gateway/credential.ts";
import { forward } from "../../src/gateway/forward.ts";
import { readFields, surveyFields } from "../../src/gateway/survey.ts";
import { continueTrace } from "../../src/http/traceparent.ts";
import { randomHex } from "../../src/platform/random.ts";
import { proxyRecord } from "./proxy-record.ts";

/** A Worker that only forwards: every request is admitted, and its headers `x-lab-…` set the route. For tests with real sockets. */

const NO_PREFIXES: ReadonlySet<string> = new Set();

/** Of the last request that was forwarded and is over. */
let lastTraffic: { bytesIn: number; bytesOut: number } | null = null;

export default {
  async fetch(request: Request, env: Env, context: ExecutionContext): Promise<Response> {
    const { headers } = request;
    if (headers.has("x-lab-background")) context.waitUntil(scheduler.wait(Number(headers.get("x-lab-background"))));
    if (request.url.endsWith("/lab/traffic")) return Response.json(lastTraffic);
    const number = (name: string, otherwise: number): number => Number(headers.get(name) ?? otherwise);
    const found = readCredential(request, { queryParameter: "api_key", prefixes: NO_PREFIXES });
    const survey = surveyFields(readFields(headers), found.ok ? (found.value?.presentedKey ?? null) : null);
    if (!survey.ok) return new Response(survey.error.code, { status: 400 });
    const trace = continueTrace(headers.get("traceparent"), randomHex);
    const result = await forward({
      request,
      survey: survey.value,
      admission: { record: proxyRecord(), cost: 1, token: null, limits: [], degraded: false, refund: () => undefined },
      route: {
        upstream: {
          name: "lab",
          target: { kind: "url", url: new URL(headers.get("x-lab-upstream") ?? env.LATCHKEY_UPSTREAM_URL) },
          stripPrefix: false,
          pathPrefix: "/",
        },
        timeoutMs: number("x-lab-timeout", 5_000),
        maxBodyBytes: number("x-lab-max-body", 4 * 1_024 ** 3),
        keyInQuery: "api_key",
      },
      assertion: null,
      requestId: "req_lab",
      traceparent: trace.traceparent,
      traceContinued: trace.continued,
      clientIp: "192.0.2.1",
      env,
      timingSince: null,
    });
    const { traffic } = result;
    const report = (): void => {
      lastTraffic = { bytesIn: traffic.bytesIn(), bytesOut: traffic.bytesOut() };
    };
    if (traffic.ended === null) report();
    else context.waitUntil(traffic.ended.then(report));
    if (result.ok) return result.response;
    return new Response(result.failure.code, {
      status: STATUS[result.failure.code],
      headers: { "x-detail": result.failure.detail },
    });
  },
};

/** wrangler.toml names these; nothing here uses them. */
export class KeyRegistry extends DurableObject {}
export class KeyMeter extends DurableObject {}
export class LeaseBroker extends DurableObject {}
export class UsageLedger extends DurableObject {}
export class HashClaims extends DurableObject {}
export class ReplayGuard extends DurableObject {}
export class RequestLog extends DurableObject {}
export class SigningKeys extends DurableObject {}
export class AlertCenter extends DurableObject {}
export class Watch extends DurableObject {}

const STATUS = { upstream_unreachable: 502, upstream_timeout: 504, body_too_large: 413, request_invalid: 400 } as const;
