// A card's number with all but its last four digits hidden.
const DIGITS_MIN = 8; // Fewer are no card's number.
const SHOWN = 4;

export const output = "string";

// What is thrown is why a row has no answer.
export function call(number: string | null): string | null {
  if (number === null) return null;
  const digits = number.replace(/[^0-9]/g, "").length;
  if (digits < DIGITS_MIN) throw `${digits} digits are no card's number`;
  let hidden = digits - SHOWN;
  return number.replace(/[0-9]/g, (digit) => (hidden-- > 0 ? "*" : digit));
}
