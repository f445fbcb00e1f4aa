import type { Drill } from "./drill.ts";
import { clockJump } from "./clock-jump.ts";
import { kvOld } from "./kv-old.ts";
import { kvSlow } from "./kv-slow.ts";
import { meterEvicted } from "./meter-evicted.ts";
import { meterUnreachable } from "./meter-unreachable.ts";
import { queueRefuses } from "./queue-refuses.ts";
import { revocation } from "./revocation.ts";

/** All drills, in the order in which they run. */
export const DRILLS: readonly Drill[] = [
  revocation,
  kvSlow,
  kvOld,
  queueRefuses,
  meterEvicted,
  meterUnreachable,
  clockJump,
];
