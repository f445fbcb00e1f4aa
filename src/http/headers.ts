/** Fields that belong to one connection and go no further: RFC 9110 §7.6.1, and those that old clients still send. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

const NO_NAMES: ReadonlySet<string> = new Set();

/** The field names that a value of `Connection` lists, lower case: they are for this hop alone too. */
export function connectionNamed(connection: string | null): ReadonlySet<string> {
  if (connection === null || connection === "keep-alive" || connection === "close") return NO_NAMES;
  const names = connection.toLowerCase().split(",");
  return new Set(names.map((name) => name.trim()).filter((name) => name !== ""));
}

/** Whether a field stays on this hop whatever `Connection` names. `name` in lower case. */
export function isHopByHop(name: string): boolean {
  return HOP_BY_HOP.has(name);
}
