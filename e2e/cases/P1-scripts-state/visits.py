"""A visitor's clicks, until there was none for half an hour."""

from datetime import timedelta

SILENCE = timedelta(minutes=30)

output = {
    "visitor": "string",
    "first": "timestamp",
    "last": "timestamp",
    "clicks": "long",
    "path": "string",
    "favourite": "string",
}
state = {"first": "timestamp", "last": "timestamp", "path": ["string"], "seen": {"string": "long"}}


def on_row(row, state, emit):
    at, page = row["at"], row["page"]
    if page is None:
        raise ValueError("a click without a page")
    if state.last is not None:
        if at > state.last + SILENCE:
            close(state, emit)
        else:
            state.delete_timer(state.last + SILENCE)
    state.first = min(state.first or at, at)
    state.last = max(state.last or at, at)
    state.path.append(page)
    state.seen[page] = state.seen.get(page, 0) + 1
    state.set_timer(state.last + SILENCE)


def on_timer(at, state, emit):
    if state.last is not None:
        close(state, emit)


def close(state, emit):
    # Of pages seen equally often the first in the alphabet.
    favourite = max(state.seen, key=state.seen.get)
    emit({
        "visitor": state.key["visitor"],
        "first": state.first,
        "last": state.last,
        "clicks": len(state.path),
        "path": " ".join(state.path),
        "favourite": favourite,
    })
    state.delete_timer(state.last + SILENCE)
    state.first = state.last = None
    state.path.clear()
    state.seen.clear()
