import type { AlertRoute, AlertsConfig, ChannelConfig, Objectives } from "../alerts/config.ts";
import { isAlertKind, SEVERITIES } from "../alerts/kinds.ts";
import type { AlertMatcher } from "../alerts/silence.ts";
import type { Fields, Findings } from "./config-findings.ts";

const ALERT_KEYS: readonly (keyof AlertsConfig)[] = [
  "publicUrl",
  "runbookUrl",
  "groupSeconds",
  "updateSeconds",
  "renotifyHours",
  "staleDays",
  "rotationDays",
  "objectives",
  "channels",
  "routes",
  "defaultChannels",
];
const OBJECTIVES: readonly (keyof Objectives)[] = ["authSuccess", "authLatency"];
const ROUTE_KEYS: readonly (keyof AlertRoute)[] = ["match", "channels", "continue"];
const MATCHER_KEYS: readonly (keyof AlertMatcher)[] = ["owners", "teams", "kinds", "severities"];
/** Besides `type`. */
const CHANNEL_KEYS: Readonly<Record<ChannelConfig["type"], readonly string[]>> = {
  webhook: ["urlFromEnv", "secretsFromEnv"],
  slack: ["urlFromEnv"],
  pagerduty: ["routingKeyFromEnv", "urlFromEnv"],
  email: ["provider", "tokenFromEnv", "from", "to", "urlFromEnv"],
};

const MAX_CHANNELS = 50;
const MAX_ROUTES = 200;
const MAX_NAMES = 200;
const MAX_SECRETS = 4;
const MAX_RECIPIENTS = 20;
const MAX_GROUP_SECONDS = 600;
const MIN_UPDATE_SECONDS = 10;
const MAX_UPDATE_SECONDS = 86_400;
const MAX_HOURS = 24 * 30;
const MAX_STALE_DAYS = 3_650;
/** A channel's name stands in paths, and before a slash in what is stored. */
const CHANNEL_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;
const ADDRESS = /^[^\s@<>,;"]{1,64}@[^\s@<>,;"]{1,189}\.[A-Za-z]{2,63}$/;
const MAILBOX = /^(?:[^\p{Cc}<>,;"@]{1,64} <([^<>]+)>|[^<> ]+)$/u;

/**
 * Looks through `alerts`. Variables are asked for by name alone: whether a secret is there is seen when a message is sent, and a secret
 * that was taken away must not stop the gateway.
 */
export function checkAlerts(findings: Findings, value: unknown): void {
  const alerts = findings.object("alerts", value, ALERT_KEYS);
  if (alerts === null) return;
  checkUrl(findings, "alerts.publicUrl", alerts["publicUrl"]);
  checkUrl(findings, "alerts.runbookUrl", alerts["runbookUrl"]);
  findings.optionalInteger("alerts.groupSeconds", alerts["groupSeconds"], 0, MAX_GROUP_SECONDS);
  findings.optionalInteger("alerts.updateSeconds", alerts["updateSeconds"], MIN_UPDATE_SECONDS, MAX_UPDATE_SECONDS);
  findings.optionalInteger("alerts.staleDays", alerts["staleDays"], 1, MAX_STALE_DAYS);
  findings.optionalInteger("alerts.rotationDays", alerts["rotationDays"], 1, MAX_STALE_DAYS);
  checkObjectives(findings, alerts["objectives"]);
  if (alerts["renotifyHours"] !== undefined) {
    const hours = findings.object("alerts.renotifyHours", alerts["renotifyHours"], SEVERITIES) ?? {};
    for (const severity of SEVERITIES) {
      findings.optionalInteger(`alerts.renotifyHours.${severity}`, hours[severity], 0, MAX_HOURS);
    }
  }
  const channels = findings.entries("alerts.channels", alerts["channels"]);
  if (channels.length > MAX_CHANNELS) findings.add("alerts.channels", `has more than ${MAX_CHANNELS} channels`);
  for (const [name, channel] of channels) checkChannel(findings, name, channel);
  const names = new Set(channels.map(([name]) => name));
  const routes = findings.list("alerts.routes", alerts["routes"] ?? []);
  if (routes.length > MAX_ROUTES) findings.add("alerts.routes", `has more than ${MAX_ROUTES} routes`);
  for (const [index, route] of routes.entries()) checkRoute(findings, `alerts.routes[${index}]`, route, names);
  checkChannelNames(findings, "alerts.defaultChannels", alerts["defaultChannels"] ?? [], names);
}

/** One of 1 has no budget that could burn. */
function checkObjectives(findings: Findings, value: unknown): void {
  if (value === undefined) return;
  const objectives = findings.object("alerts.objectives", value, OBJECTIVES) ?? {};
  for (const [name, share] of Object.entries(objectives)) {
    if (share !== undefined && !(typeof share === "number" && share >= 0.5 && share < 1)) {
      findings.add(`alerts.objectives.${name}`, "must be a share from 0.5 to less than 1");
    }
  }
}

function checkUrl(findings: Findings, at: string, value: unknown): void {
  if (value === undefined) return;
  const url = typeof value === "string" && URL.canParse(value) ? new URL(value) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) findings.add(at, "must be an https or http URL");
  else if (url.username !== "" || url.password !== "") findings.add(at, "must not contain a user name or password");
  else if (url.search !== "" || url.hash !== "") findings.add(at, "must not contain a query or fragment");
}

function checkChannel(findings: Findings, name: string, value: unknown): void {
  const at = `alerts.channels.${name}`;
  if (!CHANNEL_NAME.test(name))
    findings.add(at, "is not a name: 1 to 64 letters, digits, . _ -, the first a letter or digit");
  const type: unknown = typeof value === "object" && value !== null ? Reflect.get(value, "type") : undefined;
  if (!isChannelType(type)) {
    findings.add(`${at}.type`, `must be one of ${Object.keys(CHANNEL_KEYS).join(", ")}`);
    return;
  }
  const channel = findings.object(at, value, ["type", ...CHANNEL_KEYS[type]]);
  if (channel === null) return;
  const needsUrl = type === "webhook" || type === "slack";
  if (needsUrl || channel["urlFromEnv"] !== undefined)
    checkVariable(findings, `${at}.urlFromEnv`, channel["urlFromEnv"]);
  if (type === "webhook") checkSecrets(findings, `${at}.secretsFromEnv`, channel["secretsFromEnv"]);
  if (type === "pagerduty") checkVariable(findings, `${at}.routingKeyFromEnv`, channel["routingKeyFromEnv"]);
  if (type === "email") checkEmail(findings, at, channel);
}

function isChannelType(type: unknown): type is ChannelConfig["type"] {
  return typeof type === "string" && Object.hasOwn(CHANNEL_KEYS, type);
}

/** A secret that was pasted in place of a variable's name would be in the repository: its place says so, and nothing repeats it. */
function checkVariable(findings: Findings, at: string, value: unknown): void {
  if (typeof value !== "string" || !VARIABLE.test(value)) {
    findings.add(at, "must be the name of a variable, which holds the secret itself");
  }
}

function checkSecrets(findings: Findings, at: string, value: unknown): void {
  const secrets = findings.list(at, value);
  if (Array.isArray(value) && (secrets.length === 0 || secrets.length > MAX_SECRETS)) {
    findings.add(at, `must name 1 to ${MAX_SECRETS} variables`);
  }
  for (const [index, secret] of secrets.entries()) checkVariable(findings, `${at}[${index}]`, secret);
}

function checkEmail(findings: Findings, at: string, channel: Fields): void {
  findings.optionalOneOf(`${at}.provider`, channel["provider"] ?? null, ["resend", "postmark"]);
  checkVariable(findings, `${at}.tokenFromEnv`, channel["tokenFromEnv"]);
  const { from, to } = channel;
  const mailbox = typeof from === "string" ? MAILBOX.exec(from) : null;
  if (mailbox === null || !ADDRESS.test(mailbox[1] ?? mailbox[0])) {
    findings.add(`${at}.from`, "must be an address, or Name <address>");
  }
  if (to === "owner") return;
  const recipients = findings.list(`${at}.to`, to);
  if (Array.isArray(to) && (recipients.length === 0 || recipients.length > MAX_RECIPIENTS)) {
    findings.add(`${at}.to`, `must have 1 to ${MAX_RECIPIENTS} addresses, or be "owner"`);
  }
  for (const [index, address] of recipients.entries()) {
    if (typeof address !== "string" || !ADDRESS.test(address)) findings.add(`${at}.to[${index}]`, "must be an address");
  }
}

function checkRoute(findings: Findings, at: string, value: unknown, names: ReadonlySet<string>): void {
  const route = findings.object(at, value, ROUTE_KEYS);
  if (route === null) return;
  checkChannelNames(findings, `${at}.channels`, route["channels"], names);
  findings.optionalBoolean(`${at}.continue`, route["continue"]);
  if (route["match"] === undefined) return;
  const matcher = findings.object(`${at}.match`, route["match"], MATCHER_KEYS);
  if (matcher === null) return;
  for (const member of MATCHER_KEYS) {
    if (matcher[member] !== undefined) checkMember(findings, `${at}.match.${member}`, member, matcher[member]);
  }
}

function checkMember(findings: Findings, at: string, member: keyof AlertMatcher, value: unknown): void {
  const listed = findings.list(at, value);
  if (Array.isArray(value) && (listed.length === 0 || listed.length > MAX_NAMES)) {
    findings.add(at, `must have 1 to ${MAX_NAMES} entries; leave it out for all`);
  }
  for (const [index, entry] of listed.entries()) {
    const place = `${at}[${index}]`;
    if (member === "severities") findings.optionalOneOf(place, entry ?? null, SEVERITIES);
    else if (member === "kinds") {
      if (typeof entry !== "string" || !isAlertKind(entry)) findings.add(place, "is no kind of alert");
    } else findings.name(place, typeof entry === "string" ? entry : "");
  }
}

function checkChannelNames(findings: Findings, at: string, value: unknown, names: ReadonlySet<string>): void {
  for (const [index, name] of findings.list(at, value).entries()) {
    if (typeof name !== "string" || !names.has(name)) {
      findings.add(`${at}[${index}]`, "must be one of the names under alerts.channels");
    }
  }
}
