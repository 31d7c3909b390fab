"""Columns in Arrow's layout, and the values that a script sees in them: plain lists, with `None` for nulls."""

from array import array
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import accumulate

from .types import decimal_of, name_of, wire_of

_DAY = date(1970, 1, 1)
_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_DIGITS = 38
_BITS = [tuple(byte >> bit & 1 == 1 for bit in range(8)) for byte in range(256)]


def _bits(data, rows):
    return [bit for byte in data for bit in _BITS[byte]][:rows]


def _bitmap(bits):
    data = bytearray((len(bits) + 7) // 8)
    for row, bit in enumerate(bits):
        if bit:
            data[row >> 3] |= 1 << (row & 7)
    return bytes(data)


def _fixed(code):
    return lambda column, _: memoryview(column.values).cast(code).tolist()


def _at(unit):
    return lambda column, _: [
        _EPOCH + timedelta(**{unit: value}) for value in memoryview(column.values).cast("q")
    ]


def _parts(column):
    offsets = memoryview(column.offsets).cast("i").tolist()
    return zip(offsets, offsets[1:])


def _texts(column, _):
    values = column.values
    if values.isascii():
        text = values.decode("ascii")
        return [text[start:end] for start, end in _parts(column)]
    return [values[start:end].decode() for start, end in _parts(column)]


def _decimals(column, rows):
    scale = column.data_type.value[1]
    values = column.values
    words = (int.from_bytes(values[16 * row : 16 * row + 16], "little", signed=True) for row in range(rows))
    return [_scaled(word, scale) for word in words]


def _scaled(unscaled, scale):
    digits = tuple(map(int, str(abs(unscaled))))
    return Decimal((1 if unscaled < 0 else 0, digits, -scale))


_READERS = {
    "boolean": lambda column, rows: _bits(column.values, rows),
    "int": _fixed("i"),
    "long": _fixed("q"),
    "float": _fixed("f"),
    "double": _fixed("d"),
    "string": _texts,
    "binary": lambda column, _: [column.values[start:end] for start, end in _parts(column)],
    # What a null has in its place has no meaning: it need not be a day that there is.
    "date": lambda column, rows: [_DAY + timedelta(days=days) for days in memoryview(column.values).cast("i")],
    "timestamp_millis": _at("milliseconds"),
    "timestamp": _at("microseconds"),
}


def read(column, rows):
    """The values of a column."""
    name = name_of(column.data_type)
    if column.validity is None:
        return _READERS.get(name, _decimals)(column, rows)
    present = _bits(column.validity, rows)
    if name in ("date", "timestamp_millis", "timestamp"):
        width = 4 if name == "date" else 8
        column.values = b"".join(
            column.values[width * row : width * row + width] if there else bytes(width)
            for row, there in enumerate(present)
        )
    values = _READERS.get(name, _decimals)(column, rows)
    return [value if there else None for value, there in zip(values, present)]


class _Wrong(Exception):
    """A value that is not of its column's type."""


def _numbers(code, *kinds):
    def write(values):
        for value in values:
            if type(value) not in kinds:
                raise _Wrong(value)
        try:
            return None, array(code, values).tobytes()
        except OverflowError:
            bits = 8 * array(code).itemsize - 1
            raise _Wrong(next(value for value in values if not -(1 << bits) <= value < 1 << bits)) from None

    return write


def _whole(value, unit, beginning):
    if not isinstance(value, type(beginning)) or (beginning is _DAY and isinstance(value, datetime)):
        raise _Wrong(value)
    if getattr(value, "tzinfo", None) is not None:
        value = (value - value.utcoffset()).replace(tzinfo=None)
    return (value - beginning) // unit


def _instants(code, unit, beginning):
    return lambda values: (None, array(code, [_whole(value, unit, beginning) for value in values]).tobytes())


def _spans(parts):
    return array("i", accumulate(map(len, parts), initial=0)).tobytes(), b"".join(parts)


def _write_texts(values):
    for value in values:
        if not isinstance(value, str):
            raise _Wrong(value)
    return _spans([value.encode() for value in values])


def _write_bytes(values):
    for value in values:
        if not isinstance(value, (bytes, bytearray)):
            raise _Wrong(value)
    return _spans(values)


def _write_booleans(values):
    for value in values:
        if not isinstance(value, bool):
            raise _Wrong(value)
    return None, _bitmap(values)


def _write_decimals(precision, scale):
    def unscaled(value):
        if isinstance(value, bool) or not isinstance(value, (Decimal, int)):
            raise _Wrong(value)
        sign, digits, exponent = Decimal(value).as_tuple()
        if not isinstance(exponent, int):
            raise _Wrong(value)
        whole, shift = int("".join(map(str, digits))), exponent + scale
        if shift > _DIGITS and whole:
            raise _Wrong(value)
        whole, rest = (whole * 10**shift, 0) if shift >= 0 else divmod(whole, 10 ** min(-shift, _DIGITS + len(digits)))
        if rest or whole >= 10**precision:
            raise _Wrong(value)
        return (-whole if sign else whole).to_bytes(16, "little", signed=True)

    return lambda values: (None, b"".join(map(unscaled, values)))


_WRITERS = {
    "boolean": (False, _write_booleans),
    "int": (0, _numbers("i", int)),
    "long": (0, _numbers("q", int)),
    "float": (0.0, _numbers("f", float, int)),
    "double": (0.0, _numbers("d", float, int)),
    "string": ("", _write_texts),
    "binary": (b"", _write_bytes),
    "date": (_DAY, _instants("i", timedelta(days=1), _DAY)),
    "timestamp_millis": (_EPOCH, _instants("q", timedelta(milliseconds=1), _EPOCH)),
    "timestamp": (_EPOCH, _instants("q", _MICROSECOND, _EPOCH)),
}


def write(name, of, values, contract):
    """A column of values, in the classes of a contract."""
    decimal = decimal_of(of)
    nothing, writer = (Decimal(0), _write_decimals(*decimal)) if decimal else _WRITERS[of]
    validity = None
    if None in values:
        present = [value is not None for value in values]
        validity = _bitmap(present)
        values = [value if there else nothing for value, there in zip(values, present)]
    try:
        offsets, data = writer(values)
    except _Wrong as wrong:
        shown = repr(wrong.args[0])[:100]
        raise TypeError(f"column `{name}` is of type {of}, and was given {shown}") from None
    return contract.Column(name, wire_of(of, contract), validity, offsets, data)
