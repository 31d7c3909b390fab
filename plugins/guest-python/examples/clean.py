"""Rows without a URL are dropped, and the others become one for each of their tags."""

import re

output = {"id": "long", "host": "string", "tag": "string"}


def map(row):
    if row["url"] is None:
        return None
    host = re.match(r"https?://([^/:?#]+)", row["url"])[1].lower()
    return [{"id": row["id"], "host": host, "tag": tag.strip()} for tag in (row["tags"] or "").split(",")]
