import type { KeyHash } from "../../src/keys/record.ts";
import { within } from "../../src/platform/clock.ts";
import { err, ok } from "../../src/result.ts";
import type { Result } from "../../src/result.ts";
import { runBounded } from "../key-registry/run-bounded.ts";

/** One call to a claims object. It is a small write in one place; longer than this and something is down. */
const CLAIM_TIMEOUT_MS = 3_000;
/** At most 64 shards are asked; this many at once. */
const CLAIM_CONCURRENCY = 16;

/**
 * Claims hashes for a workspace, or with `dryRun` only looks. Answers the hashes that belong to another workspace.
 * Fails closed: when any shard cannot be asked, nothing may be issued. Never retried here; claiming again is harmless.
 */
export async function claimHashes(
  namespace: Env["HASH_CLAIMS"],
  hashes: readonly KeyHash[],
  workspace: string,
  dryRun: boolean,
): Promise<Result<ReadonlySet<KeyHash>, "unavailable">> {
  const shards = Map.groupBy(new Set(hashes), (hash) => hash.charAt(0));
  const foreign = new Set<KeyHash>();
  try {
    await runBounded([...shards], CLAIM_CONCURRENCY, async ([shard, members]) => {
      const stub = namespace.getByName(shard);
      const answer = dryRun ? stub.check(members, workspace) : stub.claim(members, workspace);
      const ours = await within(answer, CLAIM_TIMEOUT_MS, "the hash claims");
      members.forEach((hash, index) => {
        if (ours[index] !== true) foreign.add(hash);
      });
    });
  } catch {
    return err("unavailable");
  }
  return ok(foreign);
}
