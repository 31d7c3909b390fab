"""The command behind `run`: asks both, compares, prints a table."""
import argparse
import collections
import os
import random
import sys
import tempfile

import braid_side
import datasets
import queries
import spark_side

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN_ROWS_MAX = 40  # a longer answer is no sample


def differences():
    """Documented differences: the query's id and the reason, a line each."""
    known = {}
    with open(os.path.join(HERE, "differences.txt"), encoding="utf-8") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                id, reason = line.strip().split(maxsplit=1)
                known[id] = reason
    return known


def judge(query, spark, braid):
    """The verdict, and a line about it."""
    if query.fails:
        if "error" in spark and "error" in braid:
            return "equal", f"both fail: {spark['error']} / {braid['error']}"
        return "differs", f"Spark {spark.get('error', 'answers')}, Braid {braid.get('error', 'answers')}"
    if "error" in spark:
        return "refused by Spark", spark["message"]
    if "error" in braid:
        return "refused by Braid", braid["error"]
    if spark["rows"] == braid["rows"]:
        return "equal", f"{len(spark['rows'])} rows"
    left, right = collections.Counter(spark["rows"]), collections.Counter(braid["rows"])
    only_spark, only_braid = sorted((left - right).elements()), sorted((right - left).elements())
    shown = [f"      Spark {a}\n      Braid {b}" for a, b in zip(only_spark[:4], only_braid[:4])]
    about = f"{len(only_spark)} rows only of Spark, {len(only_braid)} only of Braid, of {len(spark['rows'])}"
    if not shown:
        shown = [f"      {(only_spark + only_braid)[0]}"]
    return "differs", "\n".join([about, *shown])


def golden(topics, asked, spark, verdicts):
    """Writes Spark's answers where Braid's are equal and short, for the test that runs without Spark."""
    os.makedirs(os.path.join(HERE, "golden"), exist_ok=True)
    for topic in topics:
        lines = []
        for query in asked:
            rows = spark[query.id].get("rows")
            if query.topic == topic and verdicts[query.id] == "equal" and not (query.needs or query.stream) \
                    and rows is not None and len(rows) <= GOLDEN_ROWS_MAX:
                lines += [f"-- {query.name}", *rows]
        with open(os.path.join(HERE, "golden", f"{topic}.txt"), "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("wanted", nargs="*", help="topics and topic.name")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--golden", action="store_true")
    parser.add_argument("--all", action="store_true", help="list the equal ones too")
    options = parser.parse_args()
    print(f"seed {options.seed}")
    given = {name for name in datasets.SOURCES if datasets.files(name)}
    asked = [query for query in queries.load(options.wanted) if query.needs is None or query.needs in given]
    known, verdicts, counts = differences(), {}, collections.Counter()
    with tempfile.TemporaryDirectory() as home:
        braid = braid_side.answers(asked, home, options.seed)
        spark = spark_side.answers(asked, home)
    wrong = 0
    for query in asked:
        verdict, about = judge(query, spark[query.id], braid.get(query.id, {"error": "no answer"}))
        verdicts[query.id] = verdict
        if verdict == "equal" and query.id in known:
            verdict, about = "equal, but listed in differences.txt", known[query.id]
            wrong += 1
        elif verdict != "equal" and query.id in known:
            verdict, about = f"{verdict}, documented", known[query.id]
        elif verdict != "equal":
            wrong += 1
        counts[verdict] += 1
        if options.all or not (verdict == "equal" or "documented" in verdict):
            print(f"{verdict:18} {query.id:28} {about}")
    if options.golden:
        golden(sorted({query.topic for query in asked}), asked, spark, verdicts)
    print(f"{len(asked)} queries")
    for verdict, count in sorted(counts.items()):
        print(f"{count:5} {verdict}")
    sys.exit(1 if wrong else 0)


main()
