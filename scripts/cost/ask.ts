import type { Edge } from "../lab/edges.ts";

/** An order to the counting Worker behind one edge. Throws unless it answers with 200. */
export async function ask(edge: Edge, pathname: string, method: string, body?: unknown): Promise<unknown> {
  const init = body === undefined ? { method } : { method, body: JSON.stringify(body) };
  const response = await fetch(`${edge.url}${pathname}`, init);
  if (!response.ok)
    throw new Error(`${edge.name} answered ${response.status} to ${pathname}: ${await response.text()}`);
  return await response.json();
}
