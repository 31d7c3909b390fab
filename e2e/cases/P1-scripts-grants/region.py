import logging

from braid_guest import env

LIMIT = int(env("LIMIT"))
log = logging.getLogger("region")
log.debug("loaded, with a limit of %d", LIMIT)
output = {"id": "long", "region": "string", "none": "string"}


def map(row):
    if row["id"] > LIMIT:
        return None
    print("row", row["id"], sep=" no. ")
    log.warning("row %d", row["id"])
    return {"id": row["id"], "region": env("REGION"), "none": env("NONE")}
