from braid_guest import env

output = "string"


def call(region):
    return f"{region}.{env('REGION')}"
