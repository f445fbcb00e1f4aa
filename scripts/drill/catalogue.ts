import type { Drill } from "./drill.ts";
import { revocation } from "./revocation.ts";

/** All drills, in the order in which they run. */
export const DRILLS: readonly Drill[] = [revocation];
