export const output = {word: "string", count: "long"};
export const state = {count: "long"};

export function onRow(row, state, emit) {
  state.count = (state.count ?? 0) + 1;
  emit({word: row.word, count: state.count});
}

export function onInitialState(row, state) {
  state.count = row.count;
}
