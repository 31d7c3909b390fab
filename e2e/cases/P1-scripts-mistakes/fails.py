import time

STARTED = time.time()


def map(row):
    return row
