import type { Finding } from "./finding.ts";

/** A finding in one sentence, with its numbers: what an alert says first. */
export function sentenceOf(finding: Finding): string {
  const of = (name: string): string => amount(finding.evidence[name] ?? 0);
  const share = (name: string): string => `${amount(100 * (finding.evidence[name] ?? 0))} %`;
  const place = placeText(finding);
  switch (finding.kind) {
    case "spike":
      return `${of("requests")} requests in the hour, ${of("times")} times the usual ${of("usual")} (alerted from ${of("timesWanted")} times)${place === "" ? "" : `, mostly from ${place}, where it was never used`}.`;
    case "odd_hours_spend":
      return `In ${of("nightsRisen")} of ${of("nights")} nights the key's ${of("hours")} quietest hours cost at least ${share("rise")} more than usual, ${of("unitsMore")} units a night, while its busy hours did not rise as much; its largest such rise before was ${share("largestRiseBefore")}.`;
    case "quiet_thief":
      return `A flat ${of("unitsPerMinute")} units a minute for ${of("hours")} hours on end, ${share("shareOfLimit")} of its limit of ${of("limitPerMinute")}, with ${share("shareFromNewProviders")} from providers that are new to it; before, ${share("flatShareBefore")} of its hours were like that.`;
    case "new_place":
      return `${of("requests")} requests in ${of("hours")} hours from ${place}, where it was never used, while ${of("fromKnown")} came from where it always was.`;
    case "auth_failures":
      return `${of("failures")} requests of ${of("requests")} were refused with 401 or 403 in ${of("windowMinutes")} minutes; usual are ${of("usual")}.`;
    case "credential_stuffing":
      return `${of("keysTried")} different keys were tried from ${place}, and ${of("keysRefused")} of them were refused, in ${of("refused")} requests.`;
    case "error_jump":
      return `${share("share")} of ${of("requests")} requests in ${of("windowMinutes")} minutes ended in 5xx, without the worst ${of("minutesLeftOut")} minutes; usual is ${share("usualShare")}.`;
    case "idle_key_woke":
      return `${of("requests")} requests after ${of("silentDays")} silent days, ${of("fromKnownNetworks")} of them from networks where it was used before; its longest silence before was ${of("longestSilentDaysBefore")} days.`;
    case "live_key_in_test":
      return `A live key was used ${times(finding)} where only test keys belong.`;
    case "canary_used":
      return `A key that nobody has a reason to use was used ${times(finding)}${place === "" ? "" : `, from ${place}`}.`;
  }
}

function times({ evidence }: Finding): string {
  const requests = evidence["requests"] ?? 0;
  return requests === 1 ? "once" : `${amount(requests)} times`;
}

function placeText({ place }: Finding): string {
  if (place === null) return "";
  const { country, asn, network } = place;
  return [country, asn === null ? null : `AS${asn}`, network].filter((part) => part !== null).join(" ");
}

/** Three figures are enough for people. */
function amount(value: number): string {
  const digits = Math.abs(value) >= 100 || Number.isInteger(value) ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString("en-US", { maximumFractionDigits: digits });
}
