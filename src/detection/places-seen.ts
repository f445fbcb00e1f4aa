import { MAX_PLACES, type PlaceCount } from "./rows.ts";

/** Requests by place, the largest first. What does not fit is left out of the places, never of the sums. */
export function addPlace(places: readonly PlaceCount[], added: PlaceCount): readonly PlaceCount[] {
  const at = places.findIndex(
    ({ country, asn, network }) => country === added.country && asn === added.asn && network === added.network,
  );
  const before = places[at];
  if (before === undefined) return inOrder([...places, added]);
  return inOrder(places.with(at, { ...before, requests: before.requests + added.requests }));
}

export function addPlaces(places: readonly PlaceCount[], added: readonly PlaceCount[]): readonly PlaceCount[] {
  return added.reduce(addPlace, places);
}

function inOrder(places: readonly PlaceCount[]): readonly PlaceCount[] {
  return places.toSorted((a, b) => b.requests - a.requests).slice(0, MAX_PLACES);
}
