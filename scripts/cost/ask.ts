import http from "node:http";
import { text } from "node:stream/consumers";
import type { Edge } from "../lab/edges.ts";

/**
 * An order to the counting Worker behind one edge. Throws unless it answers with 200. Not `fetch`: that one gives up on an answer
 * after five minutes, and traffic takes as long as the machine needs.
 */
export async function ask(edge: Edge, pathname: string, method: string, body?: unknown): Promise<unknown> {
  const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
    const request = http.request(`${edge.url}${pathname}`, { method }, resolve);
    request.on("error", reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
  const answer = await text(response);
  if (response.statusCode !== 200)
    throw new Error(`${edge.name} answered ${response.statusCode} to ${pathname}: ${answer}`);
  return JSON.parse(answer);
}
