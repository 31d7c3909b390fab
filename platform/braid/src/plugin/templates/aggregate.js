// How far the least and the greatest of numbers are from each other.
export const output = "long";
// The columns of a state.
export const state = {least: "long", greatest: "long"};

// What no rows add up to.
export const zero = () => ({least: null, greatest: null});

// Adds a row.
export function accumulate(state, value) {
  return value === null ? state : merge(state, {least: value, greatest: value});
}

// Adds what other rows added up to: in any order and grouping it must be the same.
export function merge(state, other) {
  if (other.least === null) return state;
  if (state.least === null) return other;
  return {
    least: other.least < state.least ? other.least : state.least,
    greatest: other.greatest > state.greatest ? other.greatest : state.greatest,
  };
}

export function finish({least, greatest}) {
  return least === null ? null : BigInt(greatest) - BigInt(least);
}
