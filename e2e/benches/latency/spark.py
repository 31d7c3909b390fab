#!/usr/bin/env python3
"""What e2e/benches/latency.rs runs beside Braid: the same map in Structured Streaming, until it is killed.

    spark.py --brokers HOST:PORT --given TOPIC --mapped TOPIC --mode microbatch|realtime|continuous --checkpoint FOLDER --jars FOLDER

FOLDER holds the Kafka connector `spark-sql-kafka-0-10_2.13` with what it needs."""

import argparse
import glob
import os
import sys


def main():
    parser = argparse.ArgumentParser()
    for name in ("brokers", "given", "mapped", "mode", "checkpoint", "jars"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    from pyspark.sql import SparkSession
    from pyspark.sql import functions as F

    os.environ["PYSPARK_PYTHON"] = sys.executable
    jars = ":".join(jar for jar in glob.glob(f"{options.jars}/*.jar") if "hadoop-client" not in jar and "slf4j" not in jar)
    session = SparkSession.builder.master("local[2]").appName("latency")
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "localhost",
        "spark.driver.memory": "2g",
        "spark.driver.extraClassPath": jars,
        "spark.log.level": "ERROR",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.streaming.stateStore.providerClass":
            "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider",
    }
    for key, value in settings.items():
        session = session.config(key, value)
    spark = session.getOrCreate()
    rows = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", options.brokers)
        .option("subscribe", options.given)
        .option("startingOffsets", "latest")
        .load()
        .select(F.from_json(F.col("value").cast("string"), "id LONG, due LONG, text STRING").alias("row"))
        .select("row.*")
        .where("id % 10 <> 0")
        .select(F.to_json(F.struct("id", "due", F.upper("text").alias("text"))).alias("value"))
    )
    writer = (
        rows.writeStream.format("kafka")
        .option("kafka.bootstrap.servers", options.brokers)
        .option("topic", options.mapped)
        .option("kafka.linger.ms", "0")
        .option("checkpointLocation", options.checkpoint)
        .outputMode("update" if options.mode == "realtime" else "append")
    )
    trigger = {
        "microbatch": {"processingTime": "0 seconds"},
        "continuous": {"continuous": "1 second"},
        "realtime": {"realTime": "5 minutes"},
    }[options.mode]
    print("started", flush=True)
    writer.trigger(**trigger).start().awaitTermination()


if __name__ == "__main__":
    main()
