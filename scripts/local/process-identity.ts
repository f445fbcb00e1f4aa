import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/**
 * What tells a process from a later one with the same id: its start time and command line. `null` when there is no such
 * process, when it is a zombie, or when this system does not say (then nobody may kill it).
 */
export function identifyProcess(pid: number): string | null {
  try {
    if (process.platform === "linux") {
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      return command === "" ? null : `${statFields(pid)[19]} ${command.replaceAll("\0", " ").trim()}`;
    }
    if (process.platform === "win32") return null;
    const line = execFileSync("ps", ["-ww", "-o", "lstart=,command=", "-p", String(pid)], { encoding: "utf8" });
    return line.trim() === "" || line.includes("<defunct>") ? null : line.trim();
  } catch {
    return null;
  }
}

/** The parent of a process and the name of its program; `null` when unknown. Linux only. */
export function readParent(pid: number): { readonly parent: number; readonly name: string } | null {
  if (process.platform !== "linux") return null;
  try {
    const name = readFileSync(`/proc/${pid}/comm`, "utf8").trim();
    return { parent: Number(statFields(pid)[1]), name };
  } catch {
    return null;
  }
}

/** Fields of /proc/PID/stat after the program's name, which may hold spaces: 0 is the state, 1 the parent, 19 the start. */
function statFields(pid: number): string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

export function isSameProcess(pid: number, identity: string): boolean {
  return identifyProcess(pid) === identity;
}
