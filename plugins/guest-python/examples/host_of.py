import re

output = "string"


def call(url):
    found = re.match(r"https?://([^/:?#]+)", url or "")
    return found and found[1].lower()
