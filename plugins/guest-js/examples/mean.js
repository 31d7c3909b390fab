export const output = "double";
export const state = {sum: "double", count: "long"};

export const zero = () => ({sum: 0, count: 0});

export function accumulate(state, value) {
  if (value === null) return state;
  return {sum: state.sum + value, count: state.count + 1};
}

export const merge = (state, other) => ({sum: state.sum + other.sum, count: state.count + other.count});

export const finish = (state) => (state.count ? state.sum / state.count : null);
