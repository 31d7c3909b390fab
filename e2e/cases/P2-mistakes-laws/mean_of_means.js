export const output = "double";
export const state = {mean: "double", any: "boolean"};

export const zero = () => ({mean: 0, any: false});

export const accumulate = (state, value) => (value === null ? state : merge(state, {mean: value, any: true}));

// The mean of two means, however many values are in each.
export function merge(state, other) {
  if (!other.any) return state;
  if (!state.any) return other;
  return {mean: (state.mean + other.mean) / 2, any: true};
}

export const finish = (state) => (state.any ? state.mean : null);
