/**
 * Outlives `npm start` by a moment: when the process that started it is gone, however it went, ends the workerd processes
 * that it left behind, so that none keeps the state directory. Reads one JSON line per process on its standard input,
 * which ends when the parent does.
 */
import { createInterface } from "node:readline";
import { isSameProcess } from "./process-identity.ts";

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);

const watched: { readonly pid: number; readonly identity: string }[] = [];
for await (const line of createInterface({ input: process.stdin })) {
  watched.push(JSON.parse(line) as (typeof watched)[number]); // written by state-guard.ts
}
for (const { pid, identity } of watched) {
  if (isSameProcess(pid, identity)) process.kill(pid, "SIGKILL");
}
