"""A plugin with a memory for each key: `on_row(row, state, emit)`, `on_timer(at, state, emit)`, `on_initial_state(row, state, emit)`."""

from collections.abc import MutableMapping, Sequence

from .columns import read
from .rows import batch_of, rows_of
from .types import checked, checked_columns, names_of, schema_of

_RESERVED = ("key", "now", "set_timer", "delete_timer")


class _Value:
    """At most one value."""

    def __init__(self, kept):
        self.value = kept[0][0] if kept else None
        self.changed = False

    def changes(self):
        return [(self.value is None, self.value)] if self.changed else []


class _List(Sequence):
    """Values in their order: they are added to, or all removed."""

    def __init__(self, kept):
        self._values = [value for (value,) in kept]
        self._kept = len(kept)
        self._cleared = False

    def __getitem__(self, index):
        return self._values[index]

    def __len__(self):
        return len(self._values)

    def append(self, value):
        self._values.append(value)

    def clear(self):
        self._values, self._kept, self._cleared = [], 0, True

    def changes(self):
        emptied = [(True, None)] if self._cleared else []
        return emptied + [(False, value) for value in self._values[self._kept :]]


class _Map(MutableMapping):
    """Values by an entry's name. In which order they were written must not be seen: they come by their names."""

    def __init__(self, kept):
        self._values = dict(kept)
        self._changed = {}

    def __getitem__(self, entry):
        return self._values[entry]

    def __setitem__(self, entry, value):
        self._values[entry] = value
        self._changed[entry] = True

    def __delitem__(self, entry):
        del self._values[entry]
        self._changed[entry] = True

    def __iter__(self):
        return iter(sorted(self._values))

    def __len__(self):
        return len(self._values)

    def changes(self):
        return [(entry not in self._values, entry, self._values.get(entry)) for entry in self._changed]


_KINDS = {"VALUE": _Value, "LIST": _List, "MAP": _Map}


class State:
    """What is kept for the key at hand, by attributes: values are read and set, lists and maps are used as such."""

    __slots__ = ("_kept", "_number", "_timers", "key", "now")

    def __init__(self, kept, number, timers, key, now):
        for name, value in zip(self.__slots__, (kept, number, timers, key, now)):
            object.__setattr__(self, name, value)

    def __getattr__(self, name):
        try:
            kept = self._kept[name]
        except KeyError:
            raise AttributeError(f"`state` declares no `{name}`") from None
        return kept.value if isinstance(kept, _Value) else kept

    def __setattr__(self, name, value):
        kept = self._kept.get(name)
        if not isinstance(kept, _Value):
            raise AttributeError(f"`state` declares no value `{name}`")
        kept.value, kept.changed = value, True

    def set_timer(self, at):
        """`on_timer` is called once when time has reached this instant."""
        self._timers.append((self._number, False, at))

    def delete_timer(self, at):
        self._timers.append((self._number, True, at))


class _Cursor:
    """What is kept under a name, key by key: the keys' numbers ascend."""

    def __init__(self, variable, entries):
        self.name, self.kind = variable.name, _KINDS[variable.kind.name]
        self.columns = names_of(variable.columns)
        values = [read(column, entries.rows.rows) for column in entries.rows.columns]
        self.kept = {}
        for key, row in zip(entries.keys, zip(*values)):
            self.kept.setdefault(key, []).append(row)
        self.changes = []

    def store(self, number, value):
        self.changes.extend((number, *change) for change in value.changes())


class Keyed:
    def __init__(self, script, contract):
        self.script, self.contract = script, contract

    def _variable(self, name, declared, ttl):
        if name in _RESERVED:
            raise TypeError(f"`state` has a name of its own for `{name}`")
        if isinstance(declared, list):
            kind, columns = self.contract.Kind.LIST, {"value": declared[0]}
        elif isinstance(declared, dict):
            ((entry, value),) = declared.items()
            kind, columns = self.contract.Kind.MAP, {"entry": entry, "value": value}
        else:
            kind, columns = self.contract.Kind.VALUE, {"value": checked(declared)}
        fields = schema_of(checked_columns(columns, f"`{name}`"), self.contract).fields
        return self.contract.Variable(name, kind, fields, ttl)

    def describe(self, schema, keys, initial):
        script = self.script
        if initial is not None and not hasattr(script, "on_initial_state"):
            raise TypeError("takes no initial state: it has no `on_initial_state`")
        output = getattr(script, "output", None)
        if hasattr(script, "describe"):
            output = script.describe(names_of(schema.fields), keys, initial and names_of(initial.fields))
        ttls = getattr(script, "keep_for", {})
        state = getattr(script, "state", {})
        variables = [self._variable(name, declared, ttls.get(name)) for name, declared in state.items()]
        output = schema_of(checked_columns(output, "`output`"), self.contract)
        return self.contract.Program(output, variables)

    def run(self, turn):
        cursors = [_Cursor(*pair) for pair in zip(turn.program.variables, turn.states)]
        timers, out = [], []
        take = self._taker(turn.what.name)
        keys = rows_of(turn.keys)
        given = list(zip(turn.rows.keys, rows_of(turn.rows.rows)))
        now = None if turn.now is None else _instant(turn.now)
        row = 0
        while row < len(given):
            number = given[row][0]
            kept = {cursor.name: cursor.kind(cursor.kept.get(number, [])) for cursor in cursors}
            state = State(kept, number, timers, keys[number], now)
            while row < len(given) and given[row][0] == number:
                take(given[row][1], state, out.append)
                row += 1
            for cursor in cursors:
                cursor.store(number, kept[cursor.name])
        return self.contract.Outcome(
            batch_of(names_of(turn.program.output.fields), out, self.contract),
            [self._changes(cursor.columns, cursor.changes) for cursor in cursors],
            self._changes({"at": "timestamp"}, timers),
        )

    def _taker(self, what):
        script = self.script
        if what == "INPUT":
            return script.on_row
        if what == "TIMERS":
            on_timer = getattr(script, "on_timer", lambda *_: None)
            return lambda row, state, emit: on_timer(row["at"], state, emit)
        return script.on_initial_state

    def _changes(self, columns, changes):
        rows = [dict(zip(columns, values)) for _, _, *values in changes]
        entries = self.contract.Entries([key for key, *_ in changes], batch_of(columns, rows, self.contract))
        return self.contract.Changes(entries, bytes(gone for _, gone, *_ in changes))


def _instant(micros):
    from .columns import _EPOCH, _MICROSECOND

    return _EPOCH + micros * _MICROSECOND
