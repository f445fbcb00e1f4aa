/** Where an isolate is, as far as it can be told: brokers are chosen by it. */
export interface Place {
  /** Where a Durable Object is near; `null` when the platform does not say, as in local running. */
  readonly region: DurableObjectLocationHint | null;
  /** The location's code, `FRA`; empty when it is not told. */
  readonly colo: string;
}

/** The bounds of these regions run through the middle of nowhere: a wrong guess costs milliseconds, never more. */
const EAST_OF_NORTH_AMERICA_DEGREES = -100;
const EAST_OF_EUROPE_DEGREES = 16;

const MIDDLE_EAST: ReadonlySet<string> = new Set("AE AM AZ BH GE IL IQ IR JO KW LB OM PS QA SA SY TR YE".split(" "));
const NORTH_EAST_ASIA: ReadonlySet<string> = new Set("HK JP KP KR MN MO TW".split(" "));
const SOUTH_EAST_ASIA: ReadonlySet<string> = new Set("BN ID KH LA MM MY PH SG TH TL VN".split(" "));

/**
 * From what the platform says of a request. It says where the client is, and a client is nearly always near the location
 * that answers it.
 */
export function placeOf(request: Request): Place {
  const cf: Partial<IncomingRequestCfProperties> | undefined = request.cf;
  if (cf === undefined) return { region: null, colo: "" };
  const colo = typeof cf.colo === "string" ? cf.colo : "";
  return { region: regionOf(cf.continent, cf.country, Number(cf.longitude ?? 0)), colo };
}

function regionOf(
  continent: string | undefined,
  country: string | null | undefined,
  longitude: number,
): DurableObjectLocationHint {
  if (country !== undefined && country !== null) {
    if (MIDDLE_EAST.has(country)) return "me";
    if (NORTH_EAST_ASIA.has(country)) return "apac-ne";
    if (SOUTH_EAST_ASIA.has(country)) return "apac-se";
  }
  switch (continent) {
    case "AF":
      return "afr";
    case "AS":
      return "apac";
    case "EU":
      return longitude < EAST_OF_EUROPE_DEGREES ? "weur" : "eeur";
    case "OC":
      return "oc";
    case "SA":
      return "sam";
    default:
      return longitude < EAST_OF_NORTH_AMERICA_DEGREES ? "wnam" : "enam";
  }
}
