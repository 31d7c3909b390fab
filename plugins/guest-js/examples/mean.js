export const output = "double";
// Cents: a sum of fractions would depend on the order of its rows.
export const state = {cents: "long", count: "long"};

export const zero = () => ({cents: 0, count: 0});

export function accumulate(state, value) {
  if (value === null) return state;
  return merge(state, {cents: Math.round(value * 100), count: 1});
}

export const merge = (state, other) => ({cents: state.cents + other.cents, count: state.count + other.count});

export const finish = (state) => (state.count ? state.cents / state.count / 100 : null);
