// A visitor's clicks, until there was none for half an hour.
const SILENCE = 30 * 60 * 1_000_000;

export const output = {
  visitor: "string", first: "timestamp", last: "timestamp", clicks: "long", path: "string", favourite: "string",
};
export const state = {first: "timestamp", last: "timestamp", path: ["string"], seen: {string: "long"}};

export function onRow({at, page}, state, emit) {
  if (page === null) throw "a click without a page";
  if (state.last !== null) {
    if (at > state.last + SILENCE) close(state, emit);
    else state.deleteTimer(state.last + SILENCE);
  }
  state.first = Math.min(state.first ?? at, at);
  state.last = Math.max(state.last ?? at, at);
  state.path.push(page);
  state.seen.set(page, (state.seen.get(page) ?? 0) + 1);
  state.setTimer(state.last + SILENCE);
}

export function onTimer(at, state, emit) {
  if (state.last !== null) close(state, emit);
}

function close(state, emit) {
  // Of pages seen equally often the first in the alphabet.
  const [favourite] = [...state.seen].reduce((most, entry) => (entry[1] > most[1] ? entry : most));
  const {first, last, path} = state;
  emit({visitor: state.key.visitor, first, last, clicks: path.length, path: [...path].join(" "), favourite});
  state.deleteTimer(last + SILENCE);
  state.first = state.last = null;
  path.clear();
  state.seen.clear();
}
