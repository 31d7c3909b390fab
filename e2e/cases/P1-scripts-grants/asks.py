import logging
import random
import time
import uuid

from braid_guest import env, http

ASKS = {
    "log": lambda: print("a line"),
    "logging": lambda: logging.info("a line"),
    "env": lambda: env("REGION"),
    "clock": time.time,
    "random": random.random,
    "uuid": uuid.uuid4,
    "http": lambda: http.post("http://127.0.0.1:9/", ""),
    "behind": lambda: behind(),
}


def behind():
    from wit_world.imports import clock

    return clock.now()


def map(row):
    ASKS.get(row["wants"], lambda: None)()
    return row
