import json

from braid_guest import http

# The service drops requests whose key it has seen: an epoch that comes again has the effect of one.
idempotent = True


def describe(setting):
    if "url" not in setting.options:
        raise ValueError("needs the option `url`")
    http.granted(setting.options["url"])


def open(setting, epoch):
    headers = {
        "braid-sink": setting.name,
        "braid-epoch": str(epoch.number),
        "idempotency-key": f"{setting.name}-{epoch.key}",
    }
    return {"url": setting.options["url"], "headers": headers, "rows": []}


def process(row, sent):
    sent["rows"].append(row)


def close(sent, error):
    if error is not None:
        return
    answer = http.post(sent["url"], json.dumps({"rows": sent["rows"]}), sent["headers"])
    if answer.status >= 300:
        raise RuntimeError(f"the service answers {answer.status}")
