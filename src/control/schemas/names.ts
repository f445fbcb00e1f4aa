/** Grammar of the names that callers choose or send back. Kept apart from zod so that header and path checks share it. */

/** Of owners and workspaces. What begins like a key of Latchkey's form, whole or cut, is refused: names are stored, logged and shown. */
export const NAME_PATTERN = /^(?!.*_(?:live|test)_[0-9A-Za-z]{16})[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/;
export const KEY_ID_PATTERN = /^key_[0-9a-hjkmnp-tv-z]{26}$/;
/** A limit's name stands in a structured field and in `violatedPolicies`. */
export const LIMIT_NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
export const TAG_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._:/=-]*$/;
export const PLAN_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/;
/** Any visible ASCII character: what Stripe takes, and the unquoted form of draft-ietf-httpapi-idempotency-key-header. */
export const IDEMPOTENCY_KEY_PATTERN = /^[\x21-\x7e]+$/;
/** One strong entity tag of ours. */
export const ENTITY_TAG_PATTERN = /^"g(\d{1,15})"$/;
