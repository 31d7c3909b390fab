import type { Columns, Emit, Row, State, Variables } from "braid";

type Word = Row<{ word: "string" }>;

export const output = { word: "string", count: "long" } as const satisfies Columns;
export const state = { count: "long" } as const satisfies Variables;

type Count = State<typeof state>;

export function onRow(row: Word, state: Count, emit: Emit<typeof output>): void {
  state.count = Number(state.count ?? 0) + 1;
  emit({ word: row.word, count: state.count });
}

export function onInitialState(row: Row<typeof output>, state: Count): void {
  state.count = row.count;
}
