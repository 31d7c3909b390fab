import type { Columns } from "braid";

export const output = "double";
// Cents: a sum of fractions would depend on the order of its rows.
export const state = { cents: "long", count: "long" } satisfies Columns;

type State = { cents: number; count: number };

export const zero = (): State => ({ cents: 0, count: 0 });

export function accumulate(state: State, value: number | null): State {
  if (value === null) return state;
  return merge(state, { cents: Math.round(value * 100), count: 1 });
}

export const merge = (state: State, other: State): State => ({
  cents: state.cents + other.cents,
  count: state.count + other.count,
});

export const finish = (state: State): number | null => (state.count ? state.cents / state.count / 100 : null);
