import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";

/** The storage of one Durable Object: real SQLite, in memory, behind the part of the runtime's interface that the objects use. */

const SEVERAL_STATEMENTS = /;\s*\S/;
const READS = /^\s*(select|with)\b/i;
const RETURNS_ROWS = /\breturning\b/i;

export class ObjectStorage {
  readonly sql: { exec: (query: string, ...bindings: SqlStorageValue[]) => Cursor };
  /** When the alarm is due, by the object's own clock; `null` when none is set. */
  alarmAt: number | null = null;
  onAlarmSet: () => void = () => undefined;
  rowsWritten = 0;
  readonly #database = new DatabaseSync(":memory:");
  readonly #statements = new Map<string, StatementSync>();
  #depth = 0;
  #isBegun = false;

  constructor() {
    this.sql = { exec: (query, ...bindings) => this.#exec(query, bindings) };
  }

  transactionSync<T>(work: () => T): T {
    const name = `depth${this.#depth}`;
    this.#database.exec(`SAVEPOINT ${name}`);
    this.#depth++;
    try {
      const result = work();
      this.#database.exec(`RELEASE ${name}`);
      return result;
    } catch (error) {
      this.#database.exec(`ROLLBACK TO ${name}; RELEASE ${name}`);
      throw error;
    } finally {
      this.#depth--;
      this.#begin();
    }
  }

  /** The first transaction of every object is that of its migrations. */
  #begin(): void {
    if (this.#isBegun || this.#depth > 0) return;
    this.#database.exec("SAVEPOINT begun");
    this.#isBegun = true;
  }

  async setAlarm(at: number | Date): Promise<void> {
    this.alarmAt = Number(at);
    this.rowsWritten++;
    this.onAlarmSet();
  }

  async getAlarm(): Promise<number | null> {
    return this.alarmAt;
  }

  async deleteAlarm(): Promise<void> {
    this.alarmAt = null;
  }

  /** As it was when its schema had been made: making that, and preparing statements, takes longest in a small world. */
  wipe(): void {
    if (this.#isBegun) this.#database.exec("ROLLBACK TO begun");
    this.alarmAt = null;
    this.onAlarmSet = () => undefined;
    this.rowsWritten = 0;
  }

  close(): void {
    this.#database.close();
  }

  #exec(query: string, bindings: readonly SqlStorageValue[]): Cursor {
    if (bindings.length === 0 && SEVERAL_STATEMENTS.test(query)) {
      this.#database.exec(query);
      return new Cursor([], 0);
    }
    let statement = this.#statements.get(query);
    if (statement === undefined) {
      statement = this.#database.prepare(query);
      this.#statements.set(query, statement);
    }
    // The objects bind text, numbers and null.
    const values = bindings as SQLInputValue[];
    if (READS.test(query)) return new Cursor(statement.all(...values), 0);
    if (RETURNS_ROWS.test(query)) {
      const rows = statement.all(...values);
      this.rowsWritten += rows.length;
      return new Cursor(rows, rows.length);
    }
    const written = Number(statement.run(...values).changes);
    this.rowsWritten += written;
    return new Cursor([], written);
  }
}

type Row = Record<string, unknown>;

/** Rows of indices are not counted. */
class Cursor {
  readonly rowsWritten: number;
  readonly #rows: readonly Row[];

  constructor(rows: readonly Row[], rowsWritten: number) {
    this.#rows = rows;
    this.rowsWritten = rowsWritten;
  }

  // Rows have no prototype in node:sqlite, and could not be told from plain objects otherwise.
  toArray(): Row[] {
    return this.#rows.map((row) => ({ ...row }));
  }

  one(): Row {
    const [row, ...others] = this.toArray();
    if (row === undefined || others.length > 0) throw new Error("expected exactly one row");
    return row;
  }

  [Symbol.iterator](): Iterator<Row> {
    return this.toArray()[Symbol.iterator]();
  }
}
