import type { Drill } from "./drill.ts";
import { churn } from "./churn.ts";
import { clockJump } from "./clock-jump.ts";
import { kill } from "./kill.ts";
import { kvOld } from "./kv-old.ts";
import { kvSlow } from "./kv-slow.ts";
import { leakedKey } from "./leaked-key.ts";
import { meterEvicted } from "./meter-evicted.ts";
import { meterUnreachable } from "./meter-unreachable.ts";
import { queueRefuses } from "./queue-refuses.ts";
import { randomKeys } from "./random-keys.ts";
import { revocation } from "./revocation.ts";

/** All drills, in the order in which they run. */
export const DRILLS: readonly Drill[] = [
  revocation,
  kill,
  kvSlow,
  kvOld,
  queueRefuses,
  meterEvicted,
  meterUnreachable,
  clockJump,
  leakedKey,
  randomKeys,
  churn,
];
