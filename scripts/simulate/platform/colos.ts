import { COLOS_BY_REGION } from "../data/colos.ts";

/** The world's map: locations, and how far they are from each other. */

export type Region = keyof typeof COLOS_BY_REGION;

export interface Colo {
  readonly index: number;
  readonly code: string;
  readonly region: Region;
  readonly latitude: number;
  readonly longitude: number;
  /** Share of the world's traffic, relative. */
  readonly weight: number;
  /** Whether Durable Objects can live here. */
  readonly isHost: boolean;
}

export const COLOS: readonly Colo[] = readColos();
const HOSTS: readonly Colo[] = COLOS.filter(({ isHost }) => isHost);

function readColos(): Colo[] {
  const lines = Object.entries(COLOS_BY_REGION).flatMap(([region, text]) =>
    // The keys of a constant object are its type's.
    text.split(";").map((line) => ({ region: region as Region, fields: line.trim().split(" ") })),
  );
  return lines.map(({ region, fields: [code = "", latitude, longitude, weight] }, index) => ({
    index,
    code: code.replace("*", ""),
    region,
    latitude: Number(latitude),
    longitude: Number(longitude),
    weight: Number(weight),
    isHost: code.endsWith("*"),
  }));
}

export function coloByCode(code: string): Colo {
  const colo = COLOS.find((candidate) => candidate.code === code);
  if (colo === undefined) throw new RangeError(`no location ${code}`);
  return colo;
}

export function coloAt(index: number): Colo {
  const colo = COLOS[index];
  if (colo === undefined) throw new RangeError(`no location ${index}`);
  return colo;
}

const EARTH_RADIUS_KM = 6_371;
const distances = new Float32Array(COLOS.length * COLOS.length).fill(-1);

/** Great circle, km. */
export function distanceKm(a: Colo, b: Colo): number {
  const at = a.index * COLOS.length + b.index;
  const known = distances[at] ?? -1;
  if (known >= 0) return known;
  const radians = (degrees: number): number => (degrees * Math.PI) / 180;
  const half = (from: number, to: number): number => Math.sin(radians(to - from) / 2) ** 2;
  const h =
    half(a.latitude, b.latitude) +
    Math.cos(radians(a.latitude)) * Math.cos(radians(b.latitude)) * half(a.longitude, b.longitude);
  const km = 2 * EARTH_RADIUS_KM * Math.asin(Math.min(1, Math.sqrt(h)));
  distances[at] = km;
  return km;
}

const nearest = new Map<string, Colo>();

/** Where an object that is first asked for here comes to live: the nearest location that hosts objects, in the hinted region if there is one. */
export function hostNear(colo: Colo): Colo {
  let host = nearest.get(colo.code);
  if (host === undefined) {
    host = HOSTS.reduce((best, other) => (distanceKm(colo, other) < distanceKm(colo, best) ? other : best));
    nearest.set(colo.code, host);
  }
  return host;
}
