// Rows as objects, made of columns and made into columns.

import { read, write } from "./columns.js";

const key = (name) => (name === "__proto__" ? '["__proto__"]' : JSON.stringify(name));

/** The rows of a batch, as objects of columns and values. */
export function rowsOf({ rows, columns }) {
  const values = columns.map((column) => read(column, rows));
  // One literal for all rows: the engine then shares their shape.
  const cells = columns.map(({ name }, at) => `${key(name)}: c[${at}][row]`);
  const make = new Function("c", "row", `return {${cells.join(", ")}};`);
  const made = new Array(rows);
  for (let row = 0; row < rows; row++) made[row] = make(values, row);
  return made;
}

/** A batch of rows; a column that a row does not have is null, and one that was not declared is a mistake. */
export function batchOf(fields, rows) {
  const declared = Object.create(null);
  for (const { name } of fields) declared[name] = true;
  for (const row of rows) {
    if (row === null || typeof row !== "object" || row instanceof Promise) {
      throw new TypeError(`${row instanceof Promise ? "a promise" : String(row)} is not a row: rows are objects`);
    }
    for (const name in row) if (declared[name] !== true) undeclared(fields, name);
  }
  const columns = fields.map((field) => write(field, rows.map((row) => row[field.name])));
  return { rows: rows.length, columns };
}

function undeclared(fields, other) {
  const names = fields.map(({ name }) => name);
  throw new TypeError(`the row has a column \`${other}\`, which is not in \`output\`: ${names.join(", ")}`);
}
