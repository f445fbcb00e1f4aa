/** What the document says in prose. */

export const API_DESCRIPTION = `Latchkey stands in front of an API: it checks each request's key, holds it to its limits, forwards it, and records what happened.
This is how its keys are issued, found, changed, rotated and revoked, and how a key is checked without the proxy.

**Who may call.** Send \`Authorization: Bearer\` with the root token or an admin key. An admin key does what its scopes say, and nothing by default. It cannot hand out, change or replace an admin key that may do more than itself.

**Writing.** Send an \`Idempotency-Key\` with every write, so that a repeat is safe. Send \`If-Match\` to refuse a change when someone else's came first. Members that are not known are refused, not ignored.

**Refusals** are RFC 9457 problem details with a stable \`code\`. Faults of a request are listed in \`errors\`, each with a JSON pointer.

**Lists** come in pages: \`limit\` up to 200, and \`cursor\` from the page before.

Times are RFC 3339; answers are in UTC. Durations carry their unit in their name.`;

export const TAGS = [
  { name: "Keys", description: "Issue, find, change, rotate, revoke and import keys." },
  { name: "Owners", description: "Who keys belong to, and limits that all keys of an owner share." },
  { name: "Usage", description: "What was asked of the API behind the gateway." },
  { name: "Requests", description: "What single requests were decided on, and why they were refused." },
  { name: "Audit", description: "Who did what to which key, when, from where." },
  { name: "Alerts", description: "What is wrong, who was told, and what is silenced." },
  { name: "Signing keys", description: "The keys that sign tokens: the whole installation's." },
  { name: "Checking", description: "Checking a key without the proxy." },
  { name: "Tokens", description: "Short-lived tokens in place of keys: RFC 8693, RFC 7662, RFC 7009." },
  { name: "Health", description: "Whether it works, and how well." },
] as const;
