"""What each customer has spent by now, and a word where it passes a hundred for the first time."""

MUCH = 100_00  # In cents.

output = {"customer": "string", "spent": "long", "note": "string"}
# What is kept for each key.
state = {"spent": "long"}


def on_row(row, state, emit):
    """Takes a row of a key. Rows come one by one, in their order."""
    if row["cents"] is None:
        raise ValueError("an order without its price")
    before = state.spent or 0
    spent = before + row["cents"]
    state.spent = spent
    note = "has spent a hundred" if before < MUCH <= spent else None
    emit({"customer": state.key["customer"], "spent": spent, "note": note})
