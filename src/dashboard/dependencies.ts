import type { RegistryStatus } from "../../durable-objects/key-registry/api.ts";
import type { ControlDependencies } from "../control/dependencies.ts";
import type { Outcome } from "../control/problem.ts";
import type { EdgeRecord, KeyHash } from "../keys/record.ts";
import type { LimitView } from "../limits/limit.ts";
import type { RootToken } from "../platform/root-token.ts";
import type { DeploymentSecrets } from "../signatures/signing-secret.ts";
import type { Fetch } from "../tokens/bounded-fetch.ts";
import type { Parent } from "../tokens/verified-token.ts";

/** What the pages are given. Made once per isolate: nothing here belongs to one request. */
export interface DashboardDependencies {
  readonly control: ControlDependencies;
  readonly root: RootToken;
  readonly secrets: DeploymentSecrets;
  /** The key behind a session, checked as if it had been presented: strictly, with its bindings. */
  readonly checkSessionKey: (request: Request, hash: KeyHash) => Promise<Outcome<EdgeRecord>>;
  /** What is left of a key's limits. */
  readonly limitsOfKey: (key: Parent) => Promise<Outcome<readonly LimitView[]>>;
  /** How many keys there are, and how revocations are delivered. Rejects when the registry is not reached in time. */
  readonly registryStatus: (workspace: string) => Promise<RegistryStatus>;
  readonly replayGuard: Env["REPLAY_GUARD"];
  /** For the certificates of Cloudflare Access. */
  readonly fetch: Fetch;
  readonly waitUntil: (work: Promise<unknown>) => void;
}
