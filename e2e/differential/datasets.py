"""The data sets: which files, under which schema, and how they are declared to Spark and to Braid."""
import hashlib
import json
import os
import random

HERE = os.path.dirname(os.path.abspath(__file__))

# Column types in Spark's words; a deployment file uses the same. The test without Spark reads them too.
with open(os.path.join(HERE, "datasets.json"), encoding="utf-8") as declared:
    SOURCES, TABLES = json.load(declared).values()
FILES_MAX = 12


def files(name):
    """The files of a source; None where it is not given."""
    if name == "retail":
        given = os.environ.get("RETAIL_DATA")
        return given and sorted(os.path.join(given, file) for file in os.listdir(given) if file.endswith(".csv"))
    return [os.path.join(HERE, "data", f"{name}.jsonl")]


def table(name):
    return os.path.join(HERE, "data", f"{name}.csv")


def digest():
    """Of all bytes and schemas: Spark's kept answers hold as long as it stays."""
    whole = hashlib.sha256(repr((SOURCES, TABLES)).encode())
    for path in [path for name in SOURCES for path in files(name) or []] + [table(name) for name in TABLES]:
        with open(path, "rb") as file:
            whole.update(hashlib.sha256(file.read()).digest())
    return whole.hexdigest()


def cut(name, to, seed):
    """Lays a source's input into `to` as files of a random number of lines; says how many files an epoch takes."""
    source = random.Random(f"{seed} {name}")
    os.makedirs(to)
    paths = files(name)
    if SOURCES[name]["format"] == "csv":
        for path in paths:
            os.symlink(path, os.path.join(to, os.path.basename(path)))
        return source.randint(20, 120)
    with open(paths[0], "rb") as file:
        lines = file.readlines()
    cuts = sorted(source.sample(range(1, len(lines)), source.randint(1, FILES_MAX - 1)))
    for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(lines)])):
        with open(os.path.join(to, f"part-{number:04}.json"), "wb") as part:
            part.writelines(lines[start:end])
    return source.randint(1, 3)
