output = {"id": "bigint"}


def map(row):
    return row
