def map(row):
    return row["id"] >
