import type { TrafficKey } from "../traffic/fleet.ts";
import type { Shape } from "../traffic/shapes.ts";
import { type Plan, PLANS, SCOPES } from "./gateway.config.ts";

/** Who the demo's owners are, and what their keys are called. All of them invented. */

const COMPANIES = [
  "Alder Coffee",
  "Birchwood Books",
  "Blue Heron Travel",
  "Brightside Pharmacy",
  "Cedar & Sons",
  "Cobalt Cycles",
  "Corner Bakery",
  "Dockside Seafood",
  "Eastgate Florists",
  "Elm Street Toys",
  "Fernhill Farms",
  "Foxglove Cosmetics",
  "Granite Outdoor",
  "Harbour Lights",
  "Hazel Optics",
  "Ivory Keys Music",
  "Juniper Gin",
  "Kestrel Couriers",
  "Lakeside Furniture",
  "Larkspur Stationery",
  "Lighthouse Insurance",
  "Maple Leaf Imports",
  "Meadow Dairy",
  "Mosaic Interiors",
  "Nettle & Thyme",
  "Nightingale Audio",
  "Northwind Sails",
  "Oakridge Tools",
  "Orchard Juices",
  "Pinecone Toys",
  "Quarry Stoneware",
  "Redwood Bikes",
  "Riverside Vets",
  "Saltmarsh Pottery",
  "Silver Birch Jewellery",
  "Spruce Analytics",
  "Thistle Knitwear",
  "Umber Paints",
  "Willow Baby",
  "Zephyr Drones",
] as const;

const TEAMS = ["payments", "growth", "platform"] as const;

const NAMES: Readonly<Record<Shape, readonly [string, ...string[]]>> = {
  business: ["Order desk", "Warehouse sync", "CRM connector", "Invoice service"],
  consumer: ["Web shop", "Checkout backend", "Product feed", "Loyalty service"],
  steady: ["Stock poller", "Search indexer", "Status monitor"],
  cron: ["Price updater", "Inventory cron", "Feed export"],
  nightly: ["Nightly export", "Night backup", "Accounting run"],
  mobile: ["iOS app", "Android app", "Scanner app"],
  people: ["Support console", "Analyst notebook", "Office scripts"],
  sporadic: ["Migration scripts", "Integration tests", "Agency access"],
  quarterly: ["Quarterly report", "Audit export"],
  idle: ["Old connector", "Pilot integration"],
};

const CLIENTS: Readonly<Record<Shape, readonly [string, ...string[]]>> = {
  business: ["java", "node", "php"],
  consumer: ["node", "go", "php"],
  steady: ["go", "python"],
  cron: ["curl", "python"],
  nightly: ["python", "java"],
  mobile: ["apple", "okhttp"],
  people: ["chrome", "firefox", "postman"],
  sporadic: ["curl", "postman"],
  quarterly: ["python"],
  idle: ["node"],
};

export interface Owner {
  readonly id: string;
  readonly name: string;
  readonly team: string;
}

/** @param owner `owner_12`, as the traffic says it. */
export function ownerOf(owner: string): Owner {
  const index = Number(owner.slice("owner_".length));
  const name = COMPANIES[index] ?? `Customer ${index + 1}`;
  return {
    id: name.toLowerCase().replace(/[^a-z]+/g, "-"),
    name,
    team: TEAMS[index % TEAMS.length] ?? TEAMS[0],
  };
}

export function planOf({ facts }: TrafficKey): Plan {
  const fits = ([, limits]: (typeof ENTRIES)[number]): boolean =>
    (limits.find(({ kind }) => kind === "rate")?.limit ?? null) === facts.limitPerMinute;
  return ENTRIES.find(fits)?.[0] ?? "enterprise";
}
const ENTRIES = Object.entries(PLANS) as [Plan, readonly { readonly kind: string; readonly limit: number }[]][]; // its own keys

/** User-agent family of its events. */
export function clientOf(key: TrafficKey): string {
  return pick(CLIENTS[key.shape], key.seed);
}

/** Body of `POST /keys`. */
export function keyBody(key: TrafficKey): Readonly<Record<string, unknown>> {
  const { environment, isCanary } = key.facts;
  const name = isCanary ? "Do not use: canary" : pick(NAMES[key.shape], key.seed);
  return {
    name: environment === "test" ? `${name} (test)` : name,
    owner: ownerOf(key.owner).id,
    environment,
    scopes: SCOPES,
    plan: planOf(key),
    tags: isCanary ? ["canary"] : [`kind:${key.shape}`],
  };
}

function pick<T>(from: readonly [T, ...T[]], seed: number): T {
  return from[seed % from.length] ?? from[0];
}
