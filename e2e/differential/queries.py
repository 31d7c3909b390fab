"""Queries as data: SQL files in `queries/`, each statement under a comment with its name.

A line `-- name` begins a query; the statement ends with the next name or the file's end. Words after the name say how it is meant:
`fails` (both must refuse it or fail on it), `needs=retail` (only where that data set is given), `stream=append` (what a sink in
that output mode gets is compared with what Spark's structured streaming gives it), `watermark=events.ts/10s` (for that). A line
`--- …` is a comment.
"""
import os
from dataclasses import dataclass

HERE = os.path.dirname(os.path.abspath(__file__))


@dataclass
class Query:
    topic: str
    name: str
    sql: str
    fails: bool
    needs: str | None
    stream: str | None = None
    watermark: str | None = None

    @property
    def late(self):
        """Source, column and delay of its watermark."""
        source, rest = self.watermark.split(".")
        return (source, *rest.split("/"))

    @property
    def id(self):
        return f"{self.topic}.{self.name}"

    @property
    def view(self):
        return f"{self.topic}_{self.name}"


def load(wanted=()):
    """All queries, or those of the topics and names that are wanted."""
    found = []
    folder = os.path.join(HERE, "queries")
    for file in sorted(os.listdir(folder)):
        topic, kind = os.path.splitext(file)
        if kind != ".sql":
            continue
        with open(os.path.join(folder, file), encoding="utf-8") as text:
            found += parse(topic, text.read())
    ids = [query.id for query in found]
    assert len(set(ids)) == len(ids), [id for id in ids if ids.count(id) > 1]
    return [query for query in found if not wanted or query.topic in wanted or query.id in wanted]


def parse(topic, text):
    queries = []
    for line in text.splitlines():
        if line.startswith("-- "):
            name, *words = line[3:].split()
            said = dict(word.split("=", 1) for word in words if "=" in word)
            queries.append(Query(topic, name, "", "fails" in words, *map(said.get, ["needs", "stream", "watermark"])))
        elif line.strip() and not line.startswith("---"):
            queries[-1].sql += line.strip() + "\n"
    for query in queries:
        query.sql = query.sql.strip().rstrip(";")
    return queries
