import { DurableObject } from "cloudflare:workers";
import type { Result } from "../../src/result.ts";
import { migrate } from "../migrate.ts";
import type {
  KeySetCopy,
  RotateCall,
  Rotated,
  RotateRefusal,
  SigningHealth,
  SigningPolicy,
  SigningStatus,
} from "./api.ts";
import { copyFromHome, HOME } from "./client.ts";
import { SigningHome } from "./home.ts";
import { MIGRATIONS } from "./migrations.ts";
import { SigningReplica } from "./replica.ts";

/**
 * The keys that sign tokens. The object `home` is their authority; one object per location has a copy in memory, leased for a few
 * seconds, so that isolates near it need not ask half a world away. Both are asked alike.
 */
export class SigningKeys extends DurableObject<Env> {
  readonly #home: SigningHome | null;
  readonly #replica: SigningReplica;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const isHome = ctx.id.name === HOME;
    // A replica writes nothing, not even tables.
    if (isHome) migrate(ctx.storage, MIGRATIONS);
    const secrets = { secret: env.LATCHKEY_TOKEN_SECRET, previousSecret: env.LATCHKEY_TOKEN_SECRET_PREVIOUS };
    this.#home = isHome ? new SigningHome({ storage: ctx.storage, ...secrets }) : null;
    this.#replica = new SigningReplica({
      askHome: (policy) => copyFromHome(env.SIGNING_KEYS, policy),
      waitUntil: (work) => ctx.waitUntil(work),
    });
  }

  /**
   * The key set, with the private part of the current key: for isolates of this Worker. `fresh`: not one that is older than a second.
   * `null`: home is needed, and this replica cannot reach it.
   */
  async copy(policy: SigningPolicy, fresh: boolean): Promise<KeySetCopy | null> {
    return this.#home === null ? await this.#replica.copy(policy, fresh) : await this.#home.copy(policy);
  }

  /** What the control API shows. Home alone. */
  async status(policy: SigningPolicy): Promise<SigningStatus> {
    return await this.#authority().status(policy);
  }

  /** Home alone. For readiness checks. */
  async health(): Promise<SigningHealth> {
    return await this.#authority().health();
  }

  /** Home alone. */
  async rotate(call: RotateCall): Promise<Result<Rotated, RotateRefusal>> {
    return await this.#authority().rotate(call);
  }

  /** Rotates, retires and wraps anew when it is time. */
  override async alarm(): Promise<void> {
    this.#home?.forgetAlarm();
    await this.#home?.tend();
  }

  #authority(): SigningHome {
    if (this.#home === null) throw new Error("a replica of the signing keys was asked for what home alone does");
    return this.#home;
  }
}
