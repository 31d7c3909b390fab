// Types of columns: their names in a deployment, and their form on the wire.

const PLAIN = {
  boolean: "boolean",
  int: "int32",
  long: "int64",
  float: "float32",
  double: "float64",
  string: "utf8",
  binary: "binary",
  date: "date32",
  timestamp_millis: "timestamp-millis",
  timestamp: "timestamp-micros",
};
const NAMES = Object.fromEntries(Object.entries(PLAIN).map(([name, tag]) => [tag, name]));
const DECIMAL = /^decimal\((\d+),\s*(-?\d+)\)$/;

/** The type that a deployment calls by this name. */
export function typeOf(name) {
  if (Object.hasOwn(PLAIN, name)) return { tag: PLAIN[name] };
  const decimal = typeof name === "string" ? DECIMAL.exec(name) : null;
  if (decimal) return { tag: "decimal128", val: [Number(decimal[1]), Number(decimal[2])] };
  throw new Error(`there is no type \`${String(name)}\`; there are ${Object.keys(PLAIN).join(", ")} and decimal(p,s)`);
}

/** What a deployment calls a type. */
export function nameOf(type) {
  return type.tag === "decimal128" ? `decimal(${type.val[0]},${type.val[1]})` : NAMES[type.tag];
}

/** `{column: "type"}` of fields. */
export function namesOf(fields) {
  return Object.fromEntries(fields.map(({ name, dataType }) => [name, nameOf(dataType)]));
}

/** Fields of `{column: "type"}`. */
export function fieldsOf(names, what) {
  if (names === null || typeof names !== "object" || Array.isArray(names)) {
    throw new Error(`${what} must be an object of columns and their types, such as {name: "string"}`);
  }
  return Object.entries(names).map(([name, type]) => ({ name, dataType: typeOf(type) }));
}
