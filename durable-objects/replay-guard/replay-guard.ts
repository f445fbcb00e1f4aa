import { Buffer } from "node:buffer";
import { DurableObject } from "cloudflare:workers";
import { MAX_REPLAY_ID_CHARACTERS, REPLAY_MEMORY_IDS } from "../../src/constants.ts";
import { migrate } from "../migrate.ts";
import type { ProofUse, ProofUseAnswer, SignatureUse, SignatureUseAnswer } from "./api.ts";
import { MIGRATIONS } from "./migrations.ts";
import { ProofMemory } from "./proof-memory.ts";
import { SignatureMemory, type SignatureRow } from "./signature-memory.ts";

/** 128 bits, and then some: a nonce must not be guessed before it is drawn. */
const NONCE_BYTES = 18;

/**
 * Takes what may be used once only once: DPoP proofs and request signatures. One object per shard of client keys, `dpop/<n>`, or of
 * keys, `signature/<n>`; see `client.ts`. An answer leaves when what it rests on is durable: the output gate waits for the write.
 */
export class ReplayGuard extends DurableObject<Env> {
  readonly #sql: SqlStorage;
  readonly #proofs: ProofMemory;
  /** Read when the first signature comes: an object for proofs has none. */
  #signatures: SignatureMemory | null = null;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    migrate(ctx.storage, MIGRATIONS);
    const kept = this.#sql.exec<{ value: number }>("SELECT value FROM state WHERE name = 'proof_mark'").toArray()[0];
    this.#proofs = new ProofMemory({
      mark: kept?.value ?? null,
      keepMark: (mark) => {
        const value = Math.ceil(mark);
        this.#sql.exec("INSERT OR REPLACE INTO state (name, value) VALUES ('proof_mark', ?)", value);
      },
      drawNonce,
    });
  }

  useProof(use: ProofUse): ProofUseAnswer {
    assertBounded(use.id);
    return this.#proofs.use(use, Date.now());
  }

  useSignature(use: SignatureUse): SignatureUseAnswer {
    assertBounded(use.id);
    this.#signatures ??= this.#readSignatures();
    return this.#signatures.use(use, Date.now());
  }

  #readSignatures(): SignatureMemory {
    const rows = this.#sql
      .exec<Record<keyof SignatureRow, string | number>>("SELECT slot, id, at, forgotten FROM signatures ORDER BY slot")
      .toArray()
      .map(({ slot, id, at, forgotten }) => ({
        slot: Number(slot),
        id: String(id),
        at: Number(at),
        forgotten: Number(forgotten),
      }));
    return new SignatureMemory(
      rows,
      ({ slot, id, at, forgotten }) => {
        const statement = "INSERT OR REPLACE INTO signatures (slot, id, at, forgotten) VALUES (?, ?, ?, ?)";
        this.#sql.exec(statement, slot, id, at, forgotten);
      },
      REPLAY_MEMORY_IDS,
    );
  }
}

function drawNonce(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(NONCE_BYTES))).toString("base64url");
}

function assertBounded(id: string): void {
  if (id.length > MAX_REPLAY_ID_CHARACTERS) throw new RangeError(`at most ${MAX_REPLAY_ID_CHARACTERS} characters`);
}
