"""W6 by PySpark: the functions of `plugins/speed` as Arrow UDFs, on one core.

    python spark.py [ROWS]

Processor time of the JVM and of its Python workers, less that of the same query without the function; the least of
three runs after a warm-up. The functions are as quick as their libraries allow: whole columns for gcd and the host.
"""

import json
import os
import sys
import tempfile

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import SparkSession
from pyspark.sql.functions import arrow_udf
from pyspark.sql.types import IntegerType, LongType, StringType, StructType

ROWS = int(sys.argv[1]) if len(sys.argv) > 1 else 4_000_000
RUNS = 3
os.environ["PYSPARK_PYTHON"] = sys.executable


def cpu_seconds():
    """Of this process's descendants, with what they waited for."""
    ticks, parents = {}, {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as stat:
                    fields = stat.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            parents[int(entry)] = int(fields[1])
            ticks[int(entry)] = sum(map(int, fields[11:15]))

    def ours(pid):
        while pid in parents:
            pid = parents[pid]
            if pid == os.getpid():
                return True
        return False

    return sum(of for pid, of in ticks.items() if ours(pid)) / os.sysconf("SC_CLK_TCK")


@arrow_udf(IntegerType())
def gcd(a: pa.Array, b: pa.Array) -> pa.Array:
    return pa.array(np.gcd(a.to_numpy(zero_copy_only=False), b.to_numpy(zero_copy_only=False)))


@arrow_udf(StringType())
def url_host(url: pa.Array) -> pa.Array:
    return pc.struct_field(pc.extract_regex(url, r"^[^:]+://(?P<host>[^/?:]*)"), "host")


@arrow_udf(StructType().add("user", StringType()).add("page", StringType()).add("ms", LongType()))
def json_fields(value: pa.Array) -> pa.Array:
    rows = [json.loads(text) for text in value.to_pylist()]
    columns = [pa.array([row[name] for row in rows]) for name in ("user", "page", "ms")]
    return pa.StructArray.from_arrays(columns, ["user", "page", "ms"])


def main():
    spark = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", 8192)
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    with tempfile.TemporaryDirectory() as home:
        columns = [
            "cast(pmod(xxhash64(id), 1000000) + 1 as int) a",
            "cast(pmod(xxhash64(id + 1), 1000000) + 1 as int) b",
            "format_string('https://www%d.example-%05d.com/products/%09d?session=%06d', pmod(id, 10), pmod(id, 99999), pmod(xxhash64(id), 999999999), pmod(id, 999999)) url",
            """format_string('{"at":"2026-01-01T00:00:%02dZ","user":"user-%06d","page":"/page/%d","ms":%d,"referrer":"https://example.com/%d"}', pmod(id, 60), pmod(xxhash64(id), 999999), pmod(id, 1000), pmod(id, 5000), pmod(id, 100)) value""",
        ]
        spark.range(ROWS).selectExpr(*columns).write.parquet(home + "/rows")
        rows = spark.read.parquet(home + "/rows")

        def least(frame):
            times = []
            for _ in range(RUNS + 1):
                began = cpu_seconds()
                frame.write.format("noop").mode("overwrite").save()
                times.append(cpu_seconds() - began)
            return min(times[1:])

        print("| function | ns/row | with the query around it |\n|---|---|---|")
        for name, with_udf, without in [
            ("gcd(int, int)", rows.select(gcd("a", "b")), rows.selectExpr("a + b")),
            ("host of a URL of 62 bytes", rows.select(url_host("url")), rows.selectExpr("url")),
            ("3 fields of a JSON object", rows.select(json_fields("value")), rows.selectExpr("value")),
        ]:
            whole = least(with_udf)
            print(f"| {name} | {(whole - least(without)) / ROWS * 1e9:.0f} | {whole / ROWS * 1e9:.0f} |", flush=True)
    spark.stop()


if __name__ == "__main__":
    main()
