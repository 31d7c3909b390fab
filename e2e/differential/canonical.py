"""One text per row, the same for equal values: exact decimals, doubles by their shortest digits, maps by key.

`e2e/src/differential.rs` writes the same.
"""
import json
import math


def timestamp(value):
    """As Braid's JSON: RFC 3339 in UTC, with 0, 3 or 6 digits of a second."""
    whole = f"{value.year:04}-{value.month:02}-{value.day:02}T{value.hour:02}:{value.minute:02}:{value.second:02}"
    micros = value.microsecond
    fraction = "" if micros == 0 else f".{micros // 1000:03}" if micros % 1000 == 0 else f".{micros:06}"
    return f"{whole}{fraction}Z"


def text(value):
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        return repr(value)  # also inf and -inf
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return "[" + ",".join(text(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{text(key)}:{text(value[key])}" for key in sorted(value)) + "}"
    raise TypeError(type(value))


def line(values):
    return text(list(values))
