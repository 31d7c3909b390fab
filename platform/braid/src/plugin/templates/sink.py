"""Posts each row as JSON, with a key by which the service can drop what it has seen."""

import json

from braid_guest import http


def describe(setting):
    """Asked once, when a deployment is planned: will these options do?"""
    if "url" not in setting.options:
        raise ValueError("needs the option `url`")
    http.granted(setting.options["url"])


def open(setting, epoch):
    """An epoch with rows begins. After a crash or an error it comes again, with the same number and the same rows."""
    headers = {"content-type": "application/json", "braid-epoch": epoch.key}
    return {"url": setting.options["url"], "headers": headers}


def process(row, sent):
    answer = http.post(sent["url"], json.dumps(row), sent["headers"])
    if answer.status >= 300:
        raise RuntimeError(f"the service answers {answer.status}")
