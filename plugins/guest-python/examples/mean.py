output = "double"
state = {"sum": "double", "count": "long"}


def zero():
    return {"sum": 0, "count": 0}


def accumulate(state, value):
    if value is not None:
        state["sum"] += value
        state["count"] += 1


def merge(state, other):
    state["sum"] += other["sum"]
    state["count"] += other["count"]


def finish(state):
    return state["sum"] / state["count"] if state["count"] else None
