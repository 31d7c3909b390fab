"""Rows as dicts, made of columns and made into columns."""

from .columns import read, write


def rows_of(batch):
    """The rows of a batch, as dicts of columns and values."""
    if not batch.columns:
        return [{} for _ in range(batch.rows)]
    names = [column.name for column in batch.columns]
    columns = [read(column, batch.rows) for column in batch.columns]
    return [dict(zip(names, row)) for row in zip(*columns)]


def batch_of(columns, rows, contract):
    """A batch of rows; a column that a row does not have is null, and one that was not declared is a mistake."""
    declared = columns.keys()
    for row in rows:
        if not isinstance(row, dict):
            raise TypeError(f"{row!r:.100} is not a row: rows are dicts")
        if not row.keys() <= declared:
            other = next(name for name in row if name not in columns)
            raise TypeError(f"the row has a column `{other}`, which is not in `output`: {', '.join(columns)}")
    written = [write(name, of, [row.get(name) for row in rows], contract) for name, of in columns.items()]
    return contract.Batch(len(rows), written)
