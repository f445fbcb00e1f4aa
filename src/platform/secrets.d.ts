/** Secrets, beside the bindings that `wrangler types` knows from wrangler.toml. Each may be absent. */
interface __BaseEnv_Env {
  /** Bootstraps an install: stands for `admin:*` in any workspace. Take it away once there is an admin key. */
  readonly LATCHKEY_ROOT_TOKEN?: string;
  /** Keys the hash of client addresses in events, where `clientIpInEvents` is `hashed`. */
  readonly LATCHKEY_EVENT_SALT?: string;
  /** Wraps the keys that sign tokens, 32 characters or more; without it no token is made. */
  readonly LATCHKEY_TOKEN_SECRET?: string;
  /** The one before it, while that is being replaced. */
  readonly LATCHKEY_TOKEN_SECRET_PREVIOUS?: string;
  /** `true`: channels for alerts may be on this machine, by http too. For local running and tests alone. */
  readonly LATCHKEY_ALERTS_TO_LOOPBACK?: string;
  /** `true`: the same for sinks. */
  readonly LATCHKEY_SINKS_TO_LOOPBACK?: string;
}
