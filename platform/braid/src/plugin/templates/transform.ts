// Orders with their total, without those of no pieces.
import type { Columns, Made, Row } from "braid";

type Order = Row<{ id: "long"; price: "double"; pieces: "long" }>;

// Asked once, when a deployment is planned: which columns come out where these go in?
export function describe(columns: Columns): Columns {
  if (columns.price !== "double" || columns.pieces !== "long") throw "needs the columns price: double and pieces: long";
  return { ...columns, total: "double" };
}

// A row, several in an array, or null for none. What is thrown is the reason why the row fails.
export function map(row: Order): (Order & Made<{ total: "double" }>) | null {
  const { price, pieces } = row;
  if (pieces === null) throw "an order that does not say how many pieces";
  if (pieces <= 0) return null;
  return { ...row, total: price === null ? null : price * Number(pieces) };
}
