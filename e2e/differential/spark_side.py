"""Spark's answers, in batch over the whole input. Kept by query and data."""
import datetime
import decimal
import hashlib
import json
import os
import tempfile

import canonical
import datasets

CACHE = os.path.join(os.environ.get("BRAID_DIFFERENTIAL_CACHE", tempfile.gettempdir()), "answers")


def register(spark, live=None):
    """Makes the data sets tables; with `live`, a folder of cut files per source, streams."""
    for name, source in datasets.SOURCES.items():
        paths = datasets.files(name)
        if paths:
            schema = ", ".join(f"{column} {kind}" for column, kind in source["schema"].items())
            reader = (spark.readStream.option("maxFilesPerTrigger", 1) if live else spark.read).schema(schema)
            reader = reader.option("header", True).option("escape", '"') if source["format"] == "csv" else reader
            rows = getattr(reader, source["format"])(live[name] if live else paths)
            yield name, rows


def session(home):
    import logging

    from pyspark.sql import SparkSession

    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)
    settings = {
        "spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.driver.host": "localhost",
        "spark.driver.bindAddress": "127.0.0.1", "spark.local.dir": os.path.join(home, "spark"),
        "spark.sql.warehouse.dir": os.path.join(home, "warehouse"), "spark.driver.memory": "2g",
        "spark.sql.session.timeZone": "UTC", "spark.sql.shuffle.partitions": "1", "spark.log.level": "OFF",
    }
    builder = SparkSession.builder.master("local[1]").appName("differential")
    for key, value in settings.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    for name, rows in register(spark):
        rows.createOrReplaceTempView(name)
    for name, table in datasets.TABLES.items():
        schema = ", ".join(f"{column} {kind}" for column, kind in table["schema"].items())
        spark.read.schema(schema).option("header", True).csv(datasets.table(name)).createOrReplaceTempView(name)
    return spark


def plain(value):
    """A Python value of Spark as the canonical form knows it."""
    if isinstance(value, datetime.datetime):
        return canonical.timestamp(value)
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if isinstance(value, dict):
        return {key if isinstance(key, str) else canonical.text(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, tuple):  # a Row
        return {key: plain(item) for key, item in zip(value.__fields__, value)}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def streamed(spark, query, home):
    """What structured streaming gives a sink, over the input cut into files."""
    folder = os.path.join(home, "spark-stream", query.view)
    live = {name: os.path.join(folder, name) for name in datasets.SOURCES if datasets.files(name)}
    for name, to in live.items():
        datasets.cut(name, to, 1)
    for name, rows in register(spark, live):
        if query.watermark and query.late[0] == name:
            rows = rows.withWatermark(query.late[1], query.late[2].replace("s", " seconds"))
        rows.createOrReplaceTempView(name)
    try:
        out = (spark.sql(query.sql).writeStream.format("memory").queryName("out").outputMode(query.stream)
               .option("checkpointLocation", os.path.join(folder, "checkpoint")).trigger(availableNow=True).start())
        out.awaitTermination()
        return spark.table("out").collect()
    finally:
        for name, rows in register(spark):
            rows.createOrReplaceTempView(name)


def answer(spark, query, home):
    try:
        rows = streamed(spark, query, home) if query.stream else spark.sql(query.sql).collect()
    except Exception as error:  # whatever Spark says against it is its answer
        kind = getattr(error, "getCondition", getattr(error, "getErrorClass", lambda: None))()
        return {"error": kind or type(error).__name__, "message": str(error).split("JVM stacktrace")[0].strip()[:600]}
    return {"rows": sorted(canonical.line([plain(value) for value in row]) for row in rows)}


def answers(queries, home):
    """The answer of each query: `rows` as canonical lines, or `error`."""
    os.makedirs(CACHE, exist_ok=True)
    data = datasets.digest()
    spark, found = None, {}
    for query in queries:
        key = hashlib.sha256(f"2 {data} {query.sql}{query.stream or ''}{query.watermark or ''}".encode()).hexdigest()
        kept = os.path.join(CACHE, key + ".json")
        if os.path.exists(kept):
            with open(kept, encoding="utf-8") as file:
                found[query.id] = json.load(file)
            continue
        spark = spark or session(home)
        found[query.id] = answer(spark, query, home)
        with open(kept + ".new", "w", encoding="utf-8") as file:
            json.dump(found[query.id], file)
        os.replace(kept + ".new", kept)
    if spark:
        spark.stop()
    return found
