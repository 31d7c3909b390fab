"""Makes the binary inputs of the cases and tests of Avro and Protobuf, and the answers that are expected of them, by other
programs than Braid: fastavro, and Google's protoc and runtime.

    python -m venv v && v/bin/pip install fastavro cramjam backports.zstd grpcio-tools && v/bin/python make.py
"""

import base64
import csv
import datetime
import decimal
import io
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import fastavro

HERE = pathlib.Path(__file__).parent
CASE = HERE.parent / "cases" / "S8-avro"
D = decimal.Decimal
UTC = datetime.timezone.utc


def at(minute):
    return datetime.datetime(2026, 1, 1, 0, minute, 5, 123000, tzinfo=UTC)


def write_csv(path, header, rows):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def container(path, schema, records, codec, interval=16000):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        fastavro.writer(file, fastavro.parse_schema(schema), records, codec=codec, sync_interval=interval, sync_marker=b"a marker of 16 b")


def decimal_of(precision, scale):
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


# Orders: the schema evolves. A field is renamed away, one comes, an int becomes a long, their order changes.
FIRST = {
    "type": "record", "name": "Order", "namespace": "shop",
    "fields": [
        {"name": "id", "type": "int"},
        {"name": "customer", "type": ["null", "string"]},
        {"name": "internal", "type": {"type": "array", "items": {"type": "map", "values": "bytes"}}},
        {"name": "price", "type": decimal_of(10, 2)},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ],
}
SECOND = {
    "type": "record", "name": "Order", "namespace": "shop",
    "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "price", "type": {"type": "fixed", "name": "Money", "size": 8, "logicalType": "decimal", "precision": 10, "scale": 2}},
        {"name": "note", "type": ["string", "null"], "default": ""},
        {"name": "id", "type": "long"},
        {"name": "customer", "type": {"type": "enum", "name": "Customer", "symbols": ["ann", "bob"]}},
    ],
}


def orders():
    rows = []
    def first(ids):
        for i in ids:
            order = {"id": i, "customer": None if i % 3 == 0 else f"c{i % 3}", "internal": [{"a": b"\x00\xff"}] * (i % 2), "price": D(i * 7 - 20) / 4, "at": at(i % 3)}
            rows.append([i, order["customer"] or "", f"{order['price']:.2f}", ""])
            yield order
    def second(ids):
        for i in ids:
            note = None if i % 2 else f"n{i}"
            order = {"id": i, "customer": "ann" if i % 2 else "bob", "price": D(i % 1000) / 2, "at": at(i % 3), "note": note}
            rows.append([i, order["customer"], f"{order['price']:.2f}", note or ""])
            yield order
    inputs = CASE / "input"
    container(inputs / "1/orders/1.avro", FIRST, first(range(0, 10)), "null")
    container(inputs / "1/orders/2.avro", FIRST, first(range(10, 300)), "deflate", 500)
    container(inputs / "2/orders/3.avro", SECOND, second([1 << 40, (1 << 40) + 1]), "snappy")
    container(inputs / "2/orders/4.avro", SECOND, second(range(300, 900)), "zstandard", 700)
    # Another's record where an order should be: its bytes end too early for the file's schema.
    whole = io.BytesIO()
    fastavro.writer(whole, fastavro.parse_schema(FIRST), first(range(900, 903)), sync_marker=b"a marker of 16 b")
    (inputs / "2/orders/5.avro").write_bytes(whole.getvalue()[:-20])
    del rows[-3:]
    (inputs / "2/orders/6.avro").write_bytes(b"PK\x03\x04 is no Avro")
    write_csv(CASE / "expected/orders.csv", ["id", "customer", "price", "note"], sorted(rows))


# Things: every type. The reader's schema has a default, an alias, and an enum that knows less.
THING = {
    "type": "record", "name": "Thing", "namespace": "shop",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "title", "type": "string"},
        {"name": "small", "type": "int"},
        {"name": "ratio", "type": "float"},
        {"name": "weight", "type": ["null", "double"]},
        {"name": "sold", "type": "boolean"},
        {"name": "picture", "type": "bytes"},
        {"name": "code", "type": {"type": "fixed", "name": "Code", "size": 3}},
        {"name": "color", "type": {"type": "enum", "name": "Color", "symbols": ["RED", "BLUE", "PINK"]}},
        {"name": "sizes", "type": {"type": "array", "items": ["null", "int"]}},
        {"name": "stock", "type": {"type": "map", "values": "long"}},
        {"name": "maker", "type": {"type": "record", "name": "Maker", "fields": [
            {"name": "name", "type": "string"}, {"name": "since", "type": {"type": "int", "logicalType": "date"}}]}},
        {"name": "second", "type": ["null", "Maker"]},
        {"name": "price", "type": decimal_of(20, 3)},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "millis", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "micros", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "uuid", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "either", "type": ["int", "string"]},
        {"name": "number", "type": ["null", "int", "long"]},
    ],
}


def thing(i):
    chance = random.Random(i)
    day = datetime.date(1969, 12, 20) + datetime.timedelta(days=i)
    second = {"name": f"m{i}", "since": day} if i % 2 else None
    return {
        "id": i * (1 << 35) - 3, "title": f"grüße {i}", "small": -i, "ratio": i / 4, "weight": None if i % 3 else i * 1.5,
        "sold": i % 2 == 0, "picture": bytes([i, 255]), "code": b"ab" + bytes([65 + i % 26]), "color": ["RED", "BLUE", "PINK"][i % 3],
        "sizes": [chance.choice([None, k]) for k in range(i % 4)], "stock": {f"k{k}": k * i for k in range(i % 3)},
        "maker": {"name": "acme", "since": day}, "second": second, "price": D(i * i * 1001 - 5000) / 1000, "day": day,
        "millis": at(i % 60), "micros": at(i % 60).replace(microsecond=i), "uuid": f"00000000-0000-4000-8000-{i:012d}",
        "either": i if i % 2 else f"s{i}", "number": [None, i, i << 33][i % 3],
    }


def text(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.1f}" if value == int(value) else repr(value)
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S") + (f".{value.microsecond:06d}" if value.microsecond % 1000 else f".{value.microsecond // 1000:03d}" if value.microsecond else "") + "Z"
    return str(value)


THING_HEADER = ["id", "label", "small", "ratio", "weight", "sold", "picture", "code", "color", "sizes", "k1", "maker", "since",
                "second", "price", "day", "millis", "micros", "uuid", "int", "text", "number", "extra"]


def thing_row(t):
    color = t["color"] if t["color"] != "PINK" else "RED"
    either = t["either"]
    return [text(v) for v in [
        t["id"], t["title"], t["small"], t["ratio"], t["weight"], t["sold"], t["picture"].hex(), t["code"].hex(), color,
        ";".join("-" if s is None else str(s) for s in t["sizes"]), t["stock"].get("k1"), t["maker"]["name"], t["maker"]["since"],
        t["second"]["name"] if t["second"] else None, f"{t['price']:.3f}", t["day"], t["millis"], t["micros"], t["uuid"],
        either if isinstance(either, int) else None, either if isinstance(either, str) else None, t["number"], 42]]


def things():
    inputs = CASE / "input"
    container(inputs / "1/things/1.avro", THING, (thing(i) for i in range(0, 20)), "deflate", 900)
    container(inputs / "2/things/2.avro", THING, (thing(i) for i in range(20, 50)), "zstandard", 900)
    rows = sorted((thing_row(thing(i)) for i in range(50)), key=lambda row: int(row[0]))
    write_csv(CASE / "expected/things.csv", THING_HEADER, rows)
    reader = json.loads(json.dumps(THING))
    fields = {field["name"]: field for field in reader["fields"]}
    fields["title"].update(name="label", aliases=["title"])
    fields["small"]["type"] = "long"
    fields["color"]["type"].update(symbols=["RED", "BLUE"], default="RED")
    reader["fields"].append({"name": "extra", "type": "int", "default": 42})
    (CASE / "things.avsc").write_text(json.dumps(reader, indent=2) + "\n")
    # The same without a file around: one datum each, as Kafka's values are.
    (HERE / "things.avsc").write_text(json.dumps(THING, indent=2) + "\n")
    lines = []
    for i in range(50):
        datum = io.BytesIO()
        fastavro.schemaless_writer(datum, fastavro.parse_schema(THING), thing(i))
        lines.append(base64.b64encode(datum.getvalue()).decode())
    (HERE / "things.avro.b64").write_text("\n".join(lines) + "\n")


PROTO_HEADER = ["id", "name", "price", "sold", "color", "main", "count", "parts", "sizes", "k1", "at", "rating",
                "grams", "pounds", "shelf", "code", "serial", "picture", "colors"]


def messages():
    from grpc_tools import protoc
    import grpc_tools
    with tempfile.TemporaryDirectory() as folder:
        well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
        for out, more in [(HERE / "things.desc", ["--include_imports"]), (pathlib.Path(folder) / "alone.desc", [])]:
            assert protoc.main(["protoc", f"-I{HERE}", f"-I{well_known}", f"--descriptor_set_out={out}", *more, "things.proto"]) == 0
        assert protoc.main(["protoc", f"-I{HERE}", f"-I{well_known}", f"--python_out={folder}", "things.proto"]) == 0
        sys.path.insert(0, folder)
        import things_pb2
        from google.protobuf import descriptor_pb2
        alone = descriptor_pb2.FileDescriptorSet.FromString((pathlib.Path(folder) / "alone.desc").read_bytes())
        # What a registry gives out with `format=serialized`.
        (HERE / "things.file.b64").write_text(base64.b64encode(alone.file[0].SerializeToString()).decode() + "\n")
    lines, rows = [], []
    for i in range(50):
        thing = things_pb2.Thing(id=i * (1 << 35) - 3, name=f"grüße {i}", price=i * 1.5, sold=i % 2 == 1, color=[0, 1, 7, 9][i % 4])
        if i % 3:
            thing.main.name, thing.main.count = "m", i % 3 - 1
        for k in range(i % 4):
            thing.parts.add(name=f"p{k}", count=k * i)
        thing.sizes.extend([k - 2 for k in range(i % 5)])
        for k in range(i % 3):
            thing.stock[f"k{k}"] = k * i
        thing.at.FromDatetime(at(i % 60).replace(microsecond=i, tzinfo=None))
        if i % 2:
            thing.rating.value = i // 2
        if i % 3 == 1:
            thing.grams = i
        elif i % 3 == 2:
            thing.pounds = i / 4
        if i % 5 == 0:
            thing.shelf = i
        thing.code, thing.serial, thing.picture = (1 << 32) - 1 - i, (1 << 64) - 1 - i, bytes([i])
        thing.colors.extend([1] * (i % 2) + [7])
        lines.append(base64.b64encode(thing.SerializeToString(deterministic=True)).decode())
        zero = lambda value: value if value else None
        rows.append([text(v) for v in [
            thing.id, thing.name, zero(thing.price), zero(thing.sold),
            [None, "RED", "BLUE", "UNKNOWN_ENUM_VALUE_Color_9"][i % 4],
            thing.main.name if i % 3 else None, zero(thing.main.count), json.dumps([{"name": p.name, **({"count": p.count} if p.count else {})} for p in thing.parts], separators=(",", ":")),
            ";".join(map(str, thing.sizes)), thing.stock["k1"] if "k1" in thing.stock else None,
            at(i % 60).replace(microsecond=i), i // 2 if i % 2 else None,
            thing.grams if i % 3 == 1 else None, thing.pounds if i % 3 == 2 else None, i if i % 5 == 0 else None,
            -1 - i, -1 - i, bytes([i]).hex(), "RED;BLUE" if i % 2 else "BLUE"]])
    (HERE / "things.pb.b64").write_text("\n".join(lines) + "\n")
    write_csv(HERE / "things.pb.csv", PROTO_HEADER, sorted(rows, key=lambda row: int(row[0])))


orders()
things()
messages()
