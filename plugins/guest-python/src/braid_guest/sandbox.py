"""There is no clock, no chance, no file and no network in a plugin: what it computes is the same in both layers, and after
a restart. Asked for directly they would end the instance; here they are errors that say so."""

import builtins
import os
import random
import sys
import time

# What scripts may import is what is here: nothing is read later.
import base64, bisect, collections, copy, csv, dataclasses, datetime, decimal, difflib, enum, fractions, functools  # noqa: E401, F401
import hashlib, heapq, html, io, ipaddress, itertools, json, math, operator, re, statistics, string, struct  # noqa: E401, F401
import textwrap, types, typing, unicodedata, urllib.parse, uuid, zlib  # noqa: E401, F401
import encodings.ascii, encodings.cp1252, encodings.idna, encodings.latin_1, encodings.utf_16  # noqa: E401, F401
import _strptime  # noqa: F401

_REFUSED = ("open", "os.", "socket.", "subprocess.", "shutil.", "tempfile.", "glob.", "pathlib.", "mmap.", "ctypes.", "signal.")


def _none(what):
    def refuse(*_, **__):
        raise PermissionError(f"there is no {what} in a plugin: it computes from its rows, and from nothing else")

    return refuse


def _audit(event, arguments):
    if event.startswith(_REFUSED):
        raise PermissionError(f"`{event}` cannot be had in a plugin: it computes from its rows, and from nothing else")


def close():
    """From here on nothing is reached."""
    for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time",
                 "process_time_ns", "sleep", "gmtime", "localtime", "ctime"):
        if hasattr(time, name):
            setattr(time, name, _none("clock"))
    os.urandom = _none("randomness")
    for name in ("random", "randint", "randrange", "choice", "choices", "shuffle", "sample", "uniform", "gauss",
                 "getrandbits", "betavariate", "expovariate", "normalvariate", "triangular", "randbytes"):
        setattr(random, name, _none("randomness"))
    builtins.print = _none("terminal")
    builtins.input = _none("terminal")
    sys.meta_path[:] = [finder for finder in sys.meta_path if finder.__name__ != "PathFinder"]
    sys.path[:] = []
    sys.addaudithook(_audit)
