/**
 * The code of the location that an isolate runs at (`FRA`), by a request that reached it; empty where the platform does not say, as
 * in local running. Brokers are chosen by it.
 */
export function locationOf({ cf }: Request): string {
  const told: unknown = cf?.colo;
  return typeof told === "string" ? told : "";
}
