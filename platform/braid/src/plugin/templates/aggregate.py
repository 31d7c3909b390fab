"""How far the least and the greatest of numbers are from each other."""

output = "long"
# The columns of a state.
state = {"least": "long", "greatest": "long"}


def zero():
    """What no rows add up to."""
    return {"least": None, "greatest": None}


def accumulate(state, value):
    """Adds a row."""
    return state if value is None else merge(state, {"least": value, "greatest": value})


def merge(state, other):
    """Adds what other rows added up to: in any order and grouping it must be the same."""
    if other["least"] is None:
        return state
    if state["least"] is None:
        return other
    return {
        "least": min(state["least"], other["least"]),
        "greatest": max(state["greatest"], other["greatest"]),
    }


def finish(state):
    return None if state["least"] is None else state["greatest"] - state["least"]
