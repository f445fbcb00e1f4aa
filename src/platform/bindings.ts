/** The bindings that every part of Latchkey counts on. A deployment that lacks one says which, in place of failing somewhere inside. */

type Check = (value: unknown) => boolean;

function has(...methods: readonly string[]): Check {
  return (value) =>
    typeof value === "object" &&
    value !== null &&
    methods.every((method) => typeof Reflect.get(value, method) === "function");
}

const isObjectNamespace = has("getByName");
const isRateLimit = has("limit");

/** Variables are not among them: each has a meaning when it is absent. */
type BindingName = Exclude<keyof Env, `LATCHKEY_${string}`>;

const NEEDED: Readonly<Record<BindingName, { readonly is: Check; readonly what: string }>> = {
  KEYS: { is: has("get", "put", "delete"), what: "a KV namespace" },
  USAGE: { is: has("send", "sendBatch"), what: "a queue" },
  KEY_REGISTRY: { is: isObjectNamespace, what: "Durable Objects of class KeyRegistry" },
  KEY_METER: { is: isObjectNamespace, what: "Durable Objects of class KeyMeter" },
  LEASE_BROKER: { is: isObjectNamespace, what: "Durable Objects of class LeaseBroker" },
  USAGE_LEDGER: { is: isObjectNamespace, what: "Durable Objects of class UsageLedger" },
  HASH_CLAIMS: { is: isObjectNamespace, what: "Durable Objects of class HashClaims" },
  REPLAY_GUARD: { is: isObjectNamespace, what: "Durable Objects of class ReplayGuard" },
  REQUEST_LOG: { is: isObjectNamespace, what: "Durable Objects of class RequestLog" },
  SIGNING_KEYS: { is: isObjectNamespace, what: "Durable Objects of class SigningKeys" },
  ALERT_CENTER: { is: isObjectNamespace, what: "Durable Objects of class AlertCenter" },
  WATCH: { is: isObjectNamespace, what: "Durable Objects of class Watch" },
  FAILURE_SHIELD: { is: isRateLimit, what: "a rate limit" },
  CONTROL_RATE: { is: isRateLimit, what: "a rate limit" },
};

/** Name and kind of each binding that is missing or of another kind; empty when all is well. Ask once per isolate. */
export function missingBindings(env: Env): readonly string[] {
  return Object.entries(NEEDED)
    .filter(([name, { is }]) => !is(Reflect.get(env, name)))
    .map(([name, { what }]) => `${name} (${what})`);
}
