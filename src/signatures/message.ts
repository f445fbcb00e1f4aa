/** What of a message can be signed (RFC 9421 §2). */
export interface SignableMessage {
  /** `null`: a response. */
  readonly method: string | null;
  /** The target URI of a request, absolute; of a response it is not looked at. */
  readonly url: string;
  /** `null`: a request. */
  readonly status: number | null;
  /**
   * The lines of a field by its name in lower case, in order; empty where there are none. Where lines arrive joined already (`Headers`
   * does so), one text of them all is as good, but for components with `bs`.
   */
  readonly linesOf: (name: string) => readonly string[];
}
