/** Money without floating point. Pure. */

const PRICE = /^\d{1,6}(\.\d{1,9})?$/;
const DECIMALS = 9;
const NANO = 10n ** BigInt(DECIMALS);

/** Whether it is a decimal such as `"0.0025"`: what one unit costs. */
export function isPrice(value: unknown): value is string {
  return typeof value === "string" && PRICE.test(value);
}

/** An amount in billionths of the currency's unit. */
export type NanoAmount = bigint;

/** @param perUnit as `isPrice` takes it. @param units a whole number. */
export function priceOf(perUnit: string, units: number): NanoAmount {
  const [whole = "0", decimals = ""] = perUnit.split(".");
  return (BigInt(whole) * NANO + BigInt(decimals.padEnd(DECIMALS, "0"))) * BigInt(units);
}

/** To its last decimal, without zeros at the end: `"12.5"`. */
export function exactText(amount: NanoAmount): string {
  const decimals = String(amount % NANO)
    .padStart(DECIMALS, "0")
    .replace(/0+$/, "");
  return decimals === "" ? String(amount / NANO) : `${amount / NANO}.${decimals}`;
}

/** As it is paid: rounded to the currency's smallest coin, halves up. */
export function payableText(amount: NanoAmount, currency: string): string {
  const digits = coinDigits(currency);
  const coin = 10n ** BigInt(DECIMALS - digits);
  const coins = String((amount + coin / 2n) / coin).padStart(digits + 1, "0");
  return digits === 0 ? coins : `${coins.slice(0, -digits)}.${coins.slice(-digits)}`;
}

/** Two for most, none for the yen. ISO 4217, as the runtime knows it. */
function coinDigits(currency: string): number {
  const { maximumFractionDigits = 2 } = new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions();
  return maximumFractionDigits;
}
