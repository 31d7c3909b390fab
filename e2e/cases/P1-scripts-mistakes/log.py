print("here")


def map(row):
    return row
