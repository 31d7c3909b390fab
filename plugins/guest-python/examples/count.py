output = {"word": "string", "count": "long"}
state = {"count": "long"}


def on_row(row, state, emit):
    state.count = (state.count or 0) + 1
    emit({"word": row["word"], "count": state.count})


def on_initial_state(row, state, emit):
    state.count = row["count"]
