"""There is no clock, no chance, no file and no network in a plugin but what a sink is granted: what it computes is the same
in both layers, and after a restart. Asked for directly they would end the instance; here they are errors that say so."""

import builtins
import logging
import os
import random
import sys
import time
from types import SimpleNamespace

# What scripts may import is what is here: nothing is read later.
import base64, bisect, collections, copy, csv, dataclasses, datetime, decimal, difflib, enum, fractions, functools  # noqa: E401, F401
import hashlib, heapq, hmac, html, io, ipaddress, itertools, json, math, operator, re, secrets, statistics, string  # noqa: E401, F401
import struct, textwrap, types, typing, unicodedata, urllib.parse, uuid, zlib  # noqa: E401, F401
import encodings.ascii, encodings.cp1252, encodings.idna, encodings.latin_1, encodings.utf_16  # noqa: E401, F401
import _strptime  # noqa: F401

from wit_world.imports import clock as _clock, log as _log, random as _random

from . import grants

_REFUSED = ("open", "os.", "socket.", "subprocess.", "shutil.", "tempfile.", "glob.", "pathlib.", "mmap.", "ctypes.", "signal.")
# Bytes of one call, as the contract has it.
_RANDOM_BYTES_MAX = 4096
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_LEVELS = ((logging.ERROR, _log.Level.ERROR), (logging.WARNING, _log.Level.WARN), (logging.INFO, _log.Level.INFO))


def _none(what, key=None):
    granted = f" (a sink may have `grants: {{{key}: true}}`)" if key else ""

    def refuse(*_, **__):
        raise PermissionError(f"there is no {what} in a plugin: it computes from its rows, and from nothing else{granted}")

    return refuse


def _audit(event, arguments):
    if event.startswith(_REFUSED):
        raise PermissionError(f"`{event}` cannot be had in a plugin: it computes from its rows, and from nothing else")


class _Lines(logging.Handler):
    """Python's own `logging` goes where `print` goes."""

    def emit(self, record):
        grants.must("log", "`logging`")
        levels = (level for least, level in _LEVELS if record.levelno >= least)
        _log.write(next(levels, _log.Level.DEBUG), self.format(record))


def _print(given):
    def say(*values, sep=" ", end="\n", file=None, flush=False):
        if file is not None:
            return given(*values, sep=sep, end=end, file=file, flush=flush)
        grants.must("log", "`print`")
        _log.write(_log.Level.INFO, (" " if sep is None else sep).join(map(str, values)))

    return say


def _no_clock():
    for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time",
                 "process_time_ns", "gmtime", "localtime", "ctime"):
        if hasattr(time, name):
            setattr(time, name, _none("clock", "clock"))
    # The time of a line of the log is the host's matter.
    logging.time = SimpleNamespace(time_ns=lambda: 0)


def _host_clock():
    def nanoseconds():
        return _clock.now() * 1000

    def seconds():
        return _clock.now() / 1_000_000

    for name in ("time", "monotonic", "perf_counter"):
        setattr(time, name, seconds)
        setattr(time, f"{name}_ns", nanoseconds)
    for name in ("gmtime", "localtime", "ctime"):
        given = getattr(time, name)
        setattr(time, name, lambda at=None, given=given: given(seconds() if at is None else at))
    datetime.datetime, datetime.date = _Datetime, _Date


class _Same(type):
    """Values of the class that it stands for are its own."""

    def __instancecheck__(cls, value):
        return isinstance(value, cls.__mro__[1])


class _Datetime(datetime.datetime, metaclass=_Same):
    @classmethod
    def now(cls, tz=None):
        now = _EPOCH + datetime.timedelta(microseconds=_clock.now())
        return now.replace(tzinfo=None) if tz is None else now.astimezone(tz)

    @classmethod
    def utcnow(cls):
        return cls.now()

    @classmethod
    def today(cls):
        return cls.now()


class _Date(datetime.date, metaclass=_Same):
    @classmethod
    def today(cls):
        return _Datetime.now().date()


def _bytes(length):
    parts = (min(_RANDOM_BYTES_MAX, length - at) for at in range(0, length, _RANDOM_BYTES_MAX))
    return b"".join(map(_random.bytes, parts))


def _host_randomness():
    os.urandom = random._urandom = _bytes
    random.seed(_bytes(32))


def _no_randomness():
    os.urandom = random._urandom = _none("randomness", "random")
    for name in ("random", "randint", "randrange", "choice", "choices", "shuffle", "sample", "uniform", "gauss",
                 "getrandbits", "betavariate", "expovariate", "normalvariate", "triangular", "randbytes"):
        setattr(random, name, _none("randomness", "random"))


def close(granted):
    """From here on nothing is reached but what is granted."""
    grants.grant(granted)
    _host_clock() if grants.has("clock") else _no_clock()
    _host_randomness() if grants.has("random") else _no_randomness()
    time.sleep = _none("clock")
    builtins.print = _print(builtins.print)
    builtins.input = _none("terminal")
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = logging.logAsyncioTasks = False
    logging.root.handlers[:] = [_Lines()]
    logging.root.setLevel(logging.DEBUG)
    sys.meta_path[:] = [finder for finder in sys.meta_path if finder.__name__ != "PathFinder"]
    sys.path[:] = []
    sys.addaudithook(_audit)
