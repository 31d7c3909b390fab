// A plugin with a memory for each key: `onRow(row, state, emit)`, `onTimer(at, state, emit)`, `onInitialState(row, state, emit)`.

import { read } from "./columns.js";
import { batchOf, rowsOf } from "./rows.js";
import { fieldsOf, namesOf, typeOf } from "./types.js";

const RESERVED = ["key", "now", "setTimer", "deleteTimer"];
const AT = [{ name: "at", dataType: { tag: "timestamp-micros" } }];

/** `"long"` is a value, `["long"]` a list, and `{string: "long"}` a map from texts to numbers. */
function variable(name, declared, ttlMs) {
  if (RESERVED.includes(name)) throw new Error(`\`state\` has a name of its own for \`${name}\``);
  const column = (of, type) => ({ name: of, dataType: typeOf(type) });
  if (Array.isArray(declared)) return { name, kind: "list", columns: [column("value", declared[0])], ttlMs };
  if (declared === null || typeof declared !== "object") {
    return { name, kind: "value", columns: [column("value", declared)], ttlMs };
  }
  const [[entry, value]] = Object.entries(declared);
  if (entry === "binary") throw new Error(`the entries of \`${name}\` cannot be named by bytes`);
  return { name, kind: "map", columns: [column("entry", entry), column("value", value)], ttlMs };
}

/** What became of the entries of a variable. */
class Changes {
  constructor(fields) {
    this.fields = fields;
    this.keys = [];
    this.gone = [];
    this.rows = [];
  }

  push(key, gone, ...values) {
    this.keys.push(key);
    this.gone.push(gone ? 1 : 0);
    this.rows.push(Object.fromEntries(this.fields.map(({ name }, at) => [name, values[at]])));
  }

  finish() {
    return { entries: { keys: Uint32Array.from(this.keys), rows: batchOf(this.fields, this.rows) }, gone: new Uint8Array(this.gone) };
  }
}

class Value {
  constructor(kept) {
    this.value = kept.length ? kept[0][0] : null;
    this.changed = false;
  }

  set(value) {
    this.value = value ?? null;
    this.changed = true;
  }

  store(key, changes) {
    if (this.changed) changes.push(key, this.value === null, this.value);
  }
}

class List {
  #values;
  #kept;
  #cleared = false;

  constructor(kept) {
    this.#values = kept.map(([value]) => value);
    this.#kept = kept.length;
  }

  get length() {
    return this.#values.length;
  }

  at(index) {
    return this.#values.at(index);
  }

  push(value) {
    this.#values.push(value);
  }

  clear() {
    this.#values = [];
    this.#kept = 0;
    this.#cleared = true;
  }

  [Symbol.iterator]() {
    return this.#values[Symbol.iterator]();
  }

  store(key, changes) {
    if (this.#cleared) changes.push(key, true, null);
    for (const value of this.#values.slice(this.#kept)) changes.push(key, false, value);
  }
}

class Entries {
  #entries;
  #changed = new Set();

  constructor(kept) {
    this.#entries = new Map(kept);
  }

  get size() {
    return this.#entries.size;
  }

  has(entry) {
    return this.#entries.has(entry);
  }

  get(entry) {
    return this.#entries.get(entry);
  }

  set(entry, value) {
    this.#entries.set(entry, value);
    this.#changed.add(entry);
  }

  delete(entry) {
    if (this.#entries.delete(entry)) this.#changed.add(entry);
  }

  clear() {
    for (const entry of this.#entries.keys()) this.#changed.add(entry);
    this.#entries.clear();
  }

  /** In the order of the entries' names: in which order they were written must not be seen. */
  [Symbol.iterator]() {
    return [...this.#entries].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))[Symbol.iterator]();
  }

  store(key, changes) {
    for (const entry of this.#changed) changes.push(key, !this.#entries.has(entry), entry, this.#entries.get(entry));
  }
}

const KINDS = { value: Value, list: List, map: Entries };

/** What is kept under a name, key by key: the keys' numbers ascend. */
class Cursor {
  constructor({ kind, columns }, { keys, rows }) {
    this.kind = KINDS[kind];
    this.keys = keys;
    const values = rows.columns.map((column) => read(column, rows.rows));
    this.entries = Array.from(keys, (_, row) => values.map((column) => column[row]));
    this.next = 0;
    this.changes = new Changes(columns);
  }

  load(key) {
    while (this.next < this.keys.length && this.keys[this.next] < key) this.next++;
    const from = this.next;
    while (this.next < this.keys.length && this.keys[this.next] === key) this.next++;
    return new this.kind(this.entries.slice(from, this.next));
  }
}

function stateOf(names, kept, key, now, timers, number) {
  const state = {
    key,
    now,
    setTimer: (at) => timers.push(number, false, at),
    deleteTimer: (at) => timers.push(number, true, at),
  };
  names.forEach((name, at) => {
    const of = kept[at];
    const value = of instanceof Value;
    Object.defineProperty(state, name, {
      enumerable: true,
      get: value ? () => of.value : () => of,
      set: value ? (given) => of.set(given) : undefined,
    });
  });
  return Object.preventExtensions(state);
}

export function keyed(script) {
  return {
    describe(input, keys, initial) {
      if (initial && !script.onInitialState) throw new Error("takes no initial state: it has no `onInitialState`");
      const names = script.describe?.(namesOf(input.fields), keys, initial && namesOf(initial.fields)) ?? script.output;
      const ttls = script.keepFor ?? {};
      const variables = Object.entries(script.state ?? {}).map(([name, declared]) => variable(name, declared, ttls[name] ?? null));
      return { output: { fields: fieldsOf(names, "`output`") }, variables };
    },
    run({ what, program, keys, rows, states, now }) {
      const { variables, output } = program;
      const cursors = variables.map((each, at) => new Cursor(each, states[at]));
      const timers = new Changes(AT);
      const keyRows = rowsOf(keys);
      const out = [];
      const emit = (row) => out.push(row);
      const given = rowsOf(rows.rows);
      const names = variables.map(({ name }) => name);
      for (let row = 0; row < given.length; ) {
        const number = rows.keys[row];
        const kept = cursors.map((cursor) => cursor.load(number));
        const state = stateOf(names, kept, keyRows[number], now, timers, number);
        for (; row < given.length && rows.keys[row] === number; row++) {
          if (what === "input") script.onRow(given[row], state, emit);
          else if (what === "timers") script.onTimer?.(given[row].at, state, emit);
          else script.onInitialState(given[row], state, emit);
        }
        kept.forEach((each, at) => each.store(number, cursors[at].changes));
      }
      return {
        rows: batchOf(output.fields, out),
        states: cursors.map((cursor) => cursor.changes.finish()),
        timers: timers.finish(),
      };
    },
  };
}
