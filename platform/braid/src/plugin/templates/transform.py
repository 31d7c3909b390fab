"""Orders with their total, without those of no pieces."""


def describe(columns):
    """Asked once, when a deployment is planned: which columns come out where these go in?"""
    if columns.get("price") != "double" or columns.get("pieces") != "long":
        raise ValueError("needs the columns price: double and pieces: long")
    return {**columns, "total": "double"}


def map(row):
    """A row, several in a list, or None for none. What is raised is the reason why the row fails."""
    price, pieces = row["price"], row["pieces"]
    if pieces is None:
        raise ValueError("an order that does not say how many pieces")
    if pieces <= 0:
        return None
    return {**row, "total": None if price is None else price * pieces}
