const seen = new Set();

export const output = "boolean";

export function call(text) {
  const first = !seen.has(text);
  seen.add(text);
  return first;
}
