/** The call made no sense: exit code 2. */
export class UsageError extends Error {
  /**
   * @param {string} message
   * @param {string} [help] the command to ask for help on
   */
  constructor(message, help) {
    super(message);
    this.name = "UsageError";
    this.help = help;
  }
}

/** The API said no: exit code 1. */
export class RefusedError extends Error {
  /**
   * @param {number} status
   * @param {Readonly<Record<string, unknown>>} problem as received, RFC 9457
   */
  constructor(status, problem) {
    super(typeof problem["detail"] === "string" ? problem["detail"] : `The server answered ${status}.`);
    this.name = "RefusedError";
    this.status = status;
    this.problem = problem;
  }
}

/** Nobody answered, or not in time: exit code 3. */
export class UnreachableError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = "UnreachableError";
  }
}
