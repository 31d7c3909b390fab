"""A component that is any plugin: the script that it is given says which."""

import traceback
from types import FunctionType, ModuleType

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import aggregates, keyed, scalars, scripts, sinks, transforms

from braid_guest import http, sandbox  # noqa: F401
from braid_guest.keyed import Keyed as _Keyed
from braid_guest.sink import Sink as _Sink
from braid_guest.worlds import Aggregate, Scalar, Transform

# By which functions a kind is known, what else it needs, and what makes a plugin of it.
_KINDS = {
    "TRANSFORM": (("map", "apply"), (), Transform, transforms),
    "SCALAR": (("call",), (), Scalar, scalars),
    "AGGREGATE": (("accumulate",), ("zero", "merge", "finish"), Aggregate, aggregates),
    "KEYED": (("on_row",), (), _Keyed, keyed),
    "SINK": (("process", "process_batch"), (), _Sink, sinks),
}
_ALL = (
    "`map` or `apply` (a transform), `call` (a function in SQL), `accumulate` (an aggregate), `on_row` (with state), "
    "`process` or `process_batch` (a sink)"
)

_name = "script"
_plugin = None


def _told(raised):
    """What was raised, with its place in the script."""
    kind = type(raised).__name__
    if isinstance(raised, SyntaxError) and raised.filename == _name:
        column = f":{raised.offset}" if raised.offset else ""
        return f"{_name}:{raised.lineno}{column}: {kind}: {raised.msg}"
    lines = [line for frame, line in traceback.walk_tb(raised.__traceback__) if frame.f_code.co_filename == _name]
    place = f"{_name}:{lines[-1]}" if lines else _name
    return f"{place}: {kind}: {raised}"


def _kind(script):
    functions = [name for name, value in vars(script).items() if isinstance(value, FunctionType)]
    kinds = [kind for kind, (known, *_) in _KINDS.items() if any(name in functions for name in known)]
    if len(kinds) != 1:
        found = [f"`{name}`" for known, *_ in _KINDS.values() for name in known if name in functions]
        what = (
            f"it has {' and '.join(found)}, and can be one thing only"
            if found
            else "it has none of the functions by which a plugin is known"
        )
        raise Err(f"{_name}: {what}: {_ALL}")
    missing = [name for name in _KINDS[kinds[0]][1] if name not in functions]
    if missing:
        raise Err(f"{_name}: an aggregate needs `{missing[0]}` too")
    return kinds[0]


class Scripts(exports.Scripts):
    def read(self, name, source):
        return source

    def load(self, name, source, granted):
        global _name, _plugin
        _name = name
        sandbox.close(one.name.lower() for one in granted)
        script = ModuleType("script")
        try:
            exec(compile(source, name, "exec"), vars(script))
        except Exception as raised:
            raise Err(_told(raised)) from None
        kind = _kind(script)
        _, _, make, contract = _KINDS[kind]
        _plugin = make(script, contract)
        return scripts.Kind[kind]


def _call(method):
    def call(self, *given):
        try:
            return getattr(_plugin, method)(*given)
        except Exception as raised:
            raise Err(_told(raised)) from None

    return call


class Transforms(exports.Transforms):
    describe, apply = _call("describe"), _call("apply")


class Scalars(exports.Scalars):
    describe, call = _call("describe"), _call("call")


class Aggregates(exports.Aggregates):
    describe, zero, accumulate = _call("describe"), _call("zero"), _call("accumulate")
    merge, finish = _call("merge"), _call("finish")


class Keyed(exports.Keyed):
    describe, run = _call("describe"), _call("run")


class Sinks(exports.Sinks):
    describe, open, process, close = _call("describe"), _call("open"), _call("process"), _call("close")
