"""Types of columns: their names in a deployment, and their form on the wire."""

import re

_PLAIN = {
    "boolean": "Boolean",
    "int": "Int32",
    "long": "Int64",
    "float": "Float32",
    "double": "Float64",
    "string": "Utf8",
    "binary": "Binary",
    "date": "Date32",
    "timestamp_millis": "TimestampMillis",
    "timestamp": "TimestampMicros",
}
_NAMES = {f"DataType_{case}": name for name, case in _PLAIN.items()}
_DECIMAL = re.compile(r"decimal\((\d+),\s*(-?\d+)\)")


def decimal_of(name):
    """Precision and scale of a decimal's name."""
    found = _DECIMAL.fullmatch(name)
    return (int(found[1]), int(found[2])) if found else None


def checked(name):
    """A type's name as it is, if it is one."""
    if not isinstance(name, str) or (name not in _PLAIN and decimal_of(name) is None):
        raise TypeError(f"there is no type `{name}`; there are {', '.join(_PLAIN)} and decimal(p,s)")
    return name


def checked_columns(columns, what):
    """`{column: type}`, checked."""
    if not isinstance(columns, dict):
        raise TypeError(f'{what} must be a dict of columns and their types, such as {{"name": "string"}}')
    for name in columns.values():
        checked(name)
    return columns


def name_of(wire):
    """What a deployment calls a type of the contract."""
    case = type(wire).__name__
    return _NAMES.get(case) or "decimal({},{})".format(*wire.value)


def names_of(fields):
    """`{column: type}` of fields."""
    return {field.name: name_of(field.data_type) for field in fields}


def wire_of(name, contract):
    """A type of one of the contracts: each has classes of its own."""
    case = _PLAIN.get(checked(name))
    return getattr(contract, f"DataType_{case}")() if case else contract.DataType_Decimal128(decimal_of(name))


def schema_of(columns, contract):
    return contract.Schema([contract.Field(name, wire_of(of, contract)) for name, of in columns.items()])
