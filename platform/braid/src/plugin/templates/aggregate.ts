// How far the least and the greatest of numbers are from each other.
import type { Columns, Kept, Long } from "braid";

export const output = "long";
// The columns of a state.
export const state = { least: "long", greatest: "long" } as const satisfies Columns;

type State = Kept<typeof state>;

// What no rows add up to.
export const zero = (): State => ({ least: null, greatest: null });

// Adds a row.
export function accumulate(state: State, value: Long | null): State {
  return value === null ? state : merge(state, { least: value, greatest: value });
}

// Adds what other rows added up to: in any order and grouping it must be the same.
export function merge(state: State, other: State): State {
  if (other.least === null || other.greatest === null) return state;
  if (state.least === null || state.greatest === null) return other;
  return {
    least: other.least < state.least ? other.least : state.least,
    greatest: other.greatest > state.greatest ? other.greatest : state.greatest,
  };
}

export function finish({ least, greatest }: State): bigint | null {
  return least === null || greatest === null ? null : BigInt(greatest) - BigInt(least);
}
