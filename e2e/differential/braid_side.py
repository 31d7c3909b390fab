"""Braid's answers: many views in one deployment, its input cut into epochs at random."""
import glob
import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request

import canonical
import datasets

ROOT = os.path.dirname(os.path.dirname(datasets.HERE))
VIEWS_MAX = 60  # of one deployment


def binary():
    if "BRAID_BIN" in os.environ:
        return os.environ["BRAID_BIN"]
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    built = sorted(glob.glob(os.path.join(target, "*", "braid")), key=os.path.getmtime)
    if not built:
        raise SystemExit("there is no binary: cargo build --release --bin braid, or set BRAID_BIN")
    return built[-1]


class Deployment:
    """Some views over cut input, in a folder of its own."""

    def __init__(self, home, queries, layout, seed):
        self.home, self.queries, self.layout, self.seed = home, queries, layout, seed
        self.refused = {}

    def write(self):
        shutil.rmtree(self.home, ignore_errors=True)
        os.makedirs(self.home)
        sources = {}
        for name, source in datasets.SOURCES.items():
            if datasets.files(name) and any(re.search(rf"\b{name}\b", query.sql) for query in self.queries):
                folder = os.path.join(self.home, name)
                per_epoch = datasets.cut(name, folder, self.seed)
                sources[name] = {"files": {"path": folder, "max_files_per_trigger": per_epoch},
                                 "format": source["format"], "schema": source["schema"]}
        sinks = {}
        for query in self.queries:
            if query.watermark:
                source, column, delay = query.late
                sources[source]["watermark"] = {"event_time": column, "delay": delay}
            if query.stream:
                path = os.path.join(self.home, "out")
                sinks["out"] = {"from": query.view, "output_mode": query.stream, "parquet": {"path": path}}
        tables = {name: {"file": {"path": datasets.table(name)}, "format": "csv", "schema": table["schema"]}
                  for name, table in datasets.TABLES.items()}
        deployment = {
            "apiVersion": "braid/v1", "name": "differential", "layout": self.layout,
            "store": f"file://{self.home}/store", "sources": sources, "tables": tables,
            "views": {query.view: {"sql": query.sql} for query in self.queries},
            "serving": {"http": "127.0.0.1:0"},
        }
        if sinks:
            deployment["sinks"] = sinks
        self.path = os.path.join(self.home, "deployment.yaml")
        with open(self.path, "w", encoding="utf-8") as file:
            json.dump(deployment, file, indent=1, ensure_ascii=False)  # JSON is YAML

    def run(self, *words):
        return subprocess.run([binary(), *words], capture_output=True, text=True, encoding="utf-8")

    def drop(self, said):
        """Takes out the views that the binary speaks against; says whether there were any."""
        by_view = {query.view: query for query in self.queries}
        found = {}
        for error in re.split(r"\n(?=error: )", said):
            places = re.findall(r"views\.(\w+)(?:\.sql)?\s*$", error, re.M) + re.findall(r"\bview `(\w+)`", error)
            for view in places[:1]:
                if view in by_view:
                    message = error.strip().split("\n")[0].removeprefix("error: ")
                    help = re.search(r"= help: (.*)", error)
                    found.setdefault(view, message + (f" ({help[1]})" if help else ""))
        for view, message in found.items():
            self.refused[by_view[view].id] = {"error": message}
        self.queries = [query for query in self.queries if query.view not in found]
        return bool(found)

    def catch_up(self):
        """Processes all input, without the views that are refused or fail."""
        while self.queries:
            self.write()
            checked = self.run("validate", self.path)
            if checked.returncode == 0:
                done = self.run("run", self.path, "--until", "caught-up")
                if done.returncode == 0:
                    return True
                checked = done
            if not self.drop(checked.stderr + "\n" + checked.stdout):
                if len(self.queries) == 1:
                    self.refused[self.queries[0].id] = {"error": checked.stderr.strip()[-400:]}
                    return False
                return self.halve()
        return False

    def halve(self):
        """It failed and said of which view it does not know."""
        middle = len(self.queries) // 2
        self.parts = [Deployment(f"{self.home}-{half}", queries, self.layout, self.seed)
                      for half, queries in enumerate([self.queries[:middle], self.queries[middle:]])]
        self.queries = []
        return False

    def answers(self):
        self.parts = []
        found = {}
        if self.catch_up():
            streamed = self.queries[0].stream
            found = {self.queries[0].id: {"rows": self.sunk()}} if streamed else self.ask()
        found.update(self.refused)
        for part in self.parts:
            found.update(part.answers())
        return found

    def sunk(self):
        """What the sink got."""
        import pyarrow.parquet

        import spark_side
        lines = []
        for file in glob.glob(os.path.join(self.home, "out", "**", "*.parquet"), recursive=True):
            for row in pyarrow.parquet.read_table(file).to_pylist():
                lines.append(canonical.line([spark_side.plain(value) for value in row.values()]))
        return sorted(lines)

    def ask(self):
        up = subprocess.Popen([binary(), "up", self.path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            address = None
            for line in up.stdout:
                place = re.search(r"http://([0-9.:]+)", line)
                if place:
                    address = place[1]
                    break
            if not address:
                raise SystemExit(f"no address from {self.path}")
            return {query.id: rows_of(address, query.view) for query in self.queries}
        finally:
            up.terminate()
            up.stdout.close()
            up.wait()


def get(address, path, body=None):
    request = urllib.request.Request(f"http://{address}{path}", data=body and json.dumps(body).encode(),
                                     headers={"content-type": "application/json"})
    for _ in range(600):
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            problem = error.read().decode()
            if error.code != 503:
                return {"problem": problem}
        except OSError as error:
            problem = str(error)
        import time
        time.sleep(0.1)
    return {"problem": problem}


def rows_of(address, view):
    """All rows of a view. JSON has no NaN, so floats are asked for as text."""
    about = get(address, f"/v1/views/{view}")
    if "problem" in about:
        return {"error": about["problem"]}
    floats = {column["name"] for column in about["columns"] if column["type"] in ("double", "float")}
    select = ", ".join(
        f"CAST(CAST(`{name}` AS DOUBLE) AS STRING) AS `{name}`" if name in floats else f"`{name}`"
        for name in (column["name"] for column in about["columns"]))
    answer = get(address, "/v1/sql?limit=10000", {"sql": f"SELECT {select} FROM {view}"})
    if "problem" in answer:
        return {"error": answer["problem"]}
    if answer["truncated"]:
        return {"error": "more than 10,000 rows: make the query smaller"}
    lines = []
    for row in answer["rows"]:
        lines.append(canonical.line([float(value) if name in floats and value is not None else value
                                     for name, value in row.items()]))
    return {"rows": sorted(lines)}


def answers(queries, home, seed):
    """The answer of each query. Those that must fail stand alone, since a failing view ends its deployment, and so do those with a sink."""
    together = [query for query in queries if not (query.fails or query.stream)]
    groups = [together[at:at + VIEWS_MAX] for at in range(0, len(together), VIEWS_MAX)]
    groups += [[query] for query in queries if query.fails or query.stream]
    found = {}
    for number, group in enumerate(groups):
        layout = ["kappa", "lambda"][(number + seed) % 2]
        found.update(Deployment(os.path.join(home, f"d{number}"), group, layout, seed).answers())
    return found
