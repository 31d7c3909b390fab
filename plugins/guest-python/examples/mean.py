output = "double"
# Cents: a sum of fractions would depend on the order of its rows.
state = {"cents": "long", "count": "long"}


def zero():
    return {"cents": 0, "count": 0}


def accumulate(state, value):
    if value is not None:
        state["cents"] += round(value * 100)
        state["count"] += 1


def merge(state, other):
    state["cents"] += other["cents"]
    state["count"] += other["count"]


def finish(state):
    return state["cents"] / state["count"] / 100 if state["count"] else None
