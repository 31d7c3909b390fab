// Plain functions as the exports of a component: transforms, functions and aggregates in SQL.

import { read, write } from "./columns.js";
import { batchOf, rowsOf } from "./rows.js";
import { fieldsOf, nameOf, namesOf, typeOf } from "./types.js";

/** `map(row)` or `apply(columns, rows)`. */
export function transform(script) {
  const outputOf = (fields) => {
    if (script.describe) return fieldsOf(script.describe(namesOf(fields)), "what `describe` returns");
    return script.output === undefined ? fields : fieldsOf(script.output, "`output`");
  };
  return {
    describe: ({ fields }) => ({ fields: outputOf(fields) }),
    apply(batch) {
      const fields = outputOf(batch.columns);
      return script.map ? mapped(script.map, fields, batch) : applied(script.apply, fields, batch);
    },
  };
}

function mapped(map, fields, batch) {
  const out = [];
  for (const row of rowsOf(batch)) {
    const made = map(row);
    if (Array.isArray(made)) out.push(...made);
    else if (made !== null && made !== undefined) out.push(made);
  }
  return batchOf(fields, out);
}

/** Columns that are read when they are asked for. */
function lazily({ rows, columns }) {
  const lazy = {};
  for (const column of columns) {
    let values;
    const get = () => (values ??= read(column, rows));
    const set = (given) => (values = given);
    Object.defineProperty(lazy, column.name, { enumerable: true, configurable: true, get, set });
  }
  return lazy;
}

function applied(apply, fields, batch) {
  const made = apply(lazily(batch), batch.rows);
  if (made === null || typeof made !== "object") throw new TypeError("`apply` returns an object of columns");
  const missing = fields.find(({ name }) => typeof made[name]?.length !== "number");
  if (missing) throw new TypeError(`\`apply\` returned no column \`${missing.name}\``);
  const rows = fields.length ? made[fields[0].name].length : 0;
  const other = fields.find(({ name }) => made[name].length !== rows);
  if (other) throw new TypeError(`\`apply\` returned ${made[other.name].length} values of \`${other.name}\`, and ${rows} of \`${fields[0].name}\``);
  return { rows, columns: fields.map((field) => write(field, made[field.name])) };
}

const answerOf = (script, types) => {
  if (script.describe) return typeOf(script.describe(types.map(nameOf)));
  if (script.output === undefined) throw new Error("`output` must name the type of the answer");
  return typeOf(script.output);
};

const takes = (what, call, count) => {
  if (call.length > count) throw new Error(`\`${what}\` takes ${call.length} arguments, and is given ${count}`);
};

/** `call(a, b)`. */
export function scalar(script) {
  return {
    describe(types) {
      takes("call", script.call, types.length);
      return answerOf(script, types);
    },
    call({ rows, columns }) {
      const values = columns.map((column) => read(column, rows));
      const answers = Array.from({ length: rows }, (_, row) => script.call(...values.map((column) => column[row])));
      const dataType = answerOf(script, columns.map((column) => column.dataType));
      return write({ name: "answer", dataType }, answers);
    },
  };
}

/** `zero()`, `accumulate(state, a, b)`, `merge(state, other)` and `finish(state)`. */
export function aggregate(script) {
  const state = () => fieldsOf(script.state, "`state`");
  // A function may return the new state, or change the one it was given.
  const next = (now, returned) => (returned === undefined ? now : returned);
  return {
    describe(types) {
      takes("accumulate", script.accumulate, types.length + 1);
      return { output: answerOf(script, types), state: { fields: state() } };
    },
    zero: () => batchOf(state(), [script.zero()]),
    accumulate(states, groups, { rows, columns }) {
      const all = rowsOf(states);
      const values = columns.map((column) => read(column, rows));
      for (let row = 0; row < rows; row++) {
        const group = groups[row];
        all[group] = next(all[group], script.accumulate(all[group], ...values.map((column) => column[row])));
      }
      return batchOf(state(), all);
    },
    merge(states, groups, others) {
      const all = rowsOf(states);
      rowsOf(others).forEach((other, row) => {
        all[groups[row]] = next(all[groups[row]], script.merge(all[groups[row]], other));
      });
      return batchOf(state(), all);
    },
    finish: (types, states) => write({ name: "answer", dataType: answerOf(script, types) }, rowsOf(states).map((each) => script.finish(each))),
  };
}
