"""Plain functions as the exports of a component: transforms, functions and aggregates in SQL."""

import inspect

from .columns import read, write
from .rows import batch_of, rows_of
from .types import checked, checked_columns, name_of, names_of, schema_of, wire_of


class Transform:
    """`map(row)` or `apply(columns)`."""

    def __init__(self, script, contract):
        self.script, self.contract = script, contract

    def _output(self, fields):
        describe = getattr(self.script, "describe", None)
        if describe:
            return checked_columns(describe(names_of(fields)), "what `describe` returns")
        output = getattr(self.script, "output", None)
        return names_of(fields) if output is None else checked_columns(output, "`output`")

    def describe(self, schema):
        return schema_of(self._output(schema.fields), self.contract)

    def apply(self, batch):
        output = self._output(batch.columns)
        if hasattr(self.script, "map"):
            return self._mapped(output, batch)
        return self._applied(output, batch)

    def _mapped(self, output, batch):
        out = []
        each = self.script.map
        for row in rows_of(batch):
            made = each(row)
            if isinstance(made, dict):
                out.append(made)
            elif made is not None:
                out.extend(made)
        return batch_of(output, out, self.contract)

    def _applied(self, output, batch):
        made = self.script.apply({column.name: read(column, batch.rows) for column in batch.columns})
        if not isinstance(made, dict):
            raise TypeError("`apply` returns a dict of columns")
        missing = [name for name in output if name not in made]
        if missing:
            raise TypeError(f"`apply` returned no column `{missing[0]}`")
        columns = {name: list(made[name]) for name in output}
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise TypeError(f"`apply` returned columns of different lengths: {lengths}")
        rows = next(iter(lengths.values()), 0)
        written = [write(name, of, columns[name], self.contract) for name, of in output.items()]
        return self.contract.Batch(rows, written)


def _answer(script, types):
    describe = getattr(script, "describe", None)
    if describe:
        return checked(describe([name_of(of) for of in types]))
    if getattr(script, "output", None) is None:
        raise TypeError("`output` must name the type of the answer")
    return checked(script.output)


def _takes(function, count, given):
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError as wrong:
        raise TypeError(f"`{function.__name__}` is given {given} arguments: {wrong}") from None


class Scalar:
    """`call(a, b)`."""

    def __init__(self, script, contract):
        self.script, self.contract = script, contract

    def describe(self, arguments):
        _takes(self.script.call, len(arguments), len(arguments))
        return wire_of(_answer(self.script, arguments), self.contract)

    def call(self, arguments):
        columns = [read(column, arguments.rows) for column in arguments.columns]
        rows = zip(*columns) if columns else [()] * arguments.rows
        call = self.script.call
        answers = [call(*row) for row in rows]
        of = _answer(self.script, [column.data_type for column in arguments.columns])
        return write("answer", of, answers, self.contract)


class Aggregate:
    """`zero()`, `accumulate(state, a, b)`, `merge(state, other)` and `finish(state)`."""

    def __init__(self, script, contract):
        self.script, self.contract = script, contract

    def _state(self):
        return checked_columns(getattr(self.script, "state", None), "`state`")

    def describe(self, arguments):
        _takes(self.script.accumulate, len(arguments) + 1, len(arguments))
        output = wire_of(_answer(self.script, arguments), self.contract)
        return self.contract.Program(output, schema_of(self._state(), self.contract))

    def zero(self, _):
        return batch_of(self._state(), [self.script.zero()], self.contract)

    def _folded(self, states, groups, given, fold):
        folded = rows_of(states)
        for group, values in zip(groups, given):
            # A function may return the new state, or change the one it was given.
            made = fold(folded[group], *values)
            if made is not None:
                folded[group] = made
        return batch_of(self._state(), folded, self.contract)

    def accumulate(self, states, groups, rows):
        columns = [read(column, rows.rows) for column in rows.columns]
        given = zip(*columns) if columns else [()] * rows.rows
        return self._folded(states, groups, given, self.script.accumulate)

    def merge(self, states, groups, others):
        return self._folded(states, groups, ((other,) for other in rows_of(others)), self.script.merge)

    def finish(self, arguments, states):
        answers = [self.script.finish(state) for state in rows_of(states)]
        return write("answer", _answer(self.script, arguments), answers, self.contract)
