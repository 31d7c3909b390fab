// Columns in Arrow's layout, and the values that a script sees in them.

import { decodeAll, encodeAll } from "./text.js";
import { nameOf } from "./types.js";

const WORD = 4294967296;
const SAFE_HIGH = 2097152; // a number is exact up to 2^53
const FIXED = { int32: Int32Array, date32: Int32Array, float32: Float32Array, float64: Float64Array };

/** Views need aligned bytes. */
const view = (Type, bytes) => {
  const whole = bytes.byteOffset % 8 ? bytes.slice() : bytes;
  return new Type(whole.buffer, whole.byteOffset, whole.byteLength / Type.BYTES_PER_ELEMENT);
};
const bytesOf = (array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
const bit = (bits, row) => (bits[row >> 3] >> (row & 7)) & 1;

/** The values of a column: a typed array of numbers where its type has one and nothing is null, otherwise an array. */
export function read(column, rows) {
  const { validity } = column;
  const values = readers[column.dataType.tag](column, rows);
  if (!validity) return values;
  const nullable = Array.isArray(values) ? values : Array.from(values);
  for (let row = 0; row < rows; row++) if (!bit(validity, row)) nullable[row] = null;
  return nullable;
}

const long = ({ values }, rows) => {
  const low = view(Uint32Array, values);
  const high = view(Int32Array, values);
  const numbers = new Array(rows);
  for (let row = 0; row < rows; row++) {
    const top = high[2 * row + 1];
    numbers[row] =
      top >= -SAFE_HIGH && top < SAFE_HIGH
        ? top * WORD + low[2 * row]
        : BigInt(top) * BigInt(WORD) + BigInt(low[2 * row]);
  }
  return numbers;
};

const fixed = ({ dataType, values }) => view(FIXED[dataType.tag], values);

const readers = {
  boolean: ({ values }, rows) => Array.from({ length: rows }, (_, row) => bit(values, row) === 1),
  int32: fixed,
  date32: fixed,
  float32: fixed,
  float64: fixed,
  int64: long,
  "timestamp-millis": long,
  "timestamp-micros": long,
  utf8: ({ values, offsets }, rows) => decodeAll(values, view(Int32Array, offsets), rows),
  binary: ({ values, offsets }, rows) => {
    const at = view(Int32Array, offsets);
    return Array.from({ length: rows }, (_, row) => values.slice(at[row], at[row + 1]));
  },
  decimal128: ({ dataType, values }, rows) => {
    const words = view(BigInt64Array, values);
    const scale = dataType.val[1];
    return Array.from({ length: rows }, (_, row) =>
      decimalText((words[2 * row + 1] << 64n) | BigInt.asUintN(64, words[2 * row]), scale),
    );
  },
};

function decimalText(unscaled, scale) {
  if (scale <= 0) return (unscaled * 10n ** BigInt(-scale)).toString();
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, "0");
  return `${unscaled < 0n ? "-" : ""}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

/** A column of values; `null` and `undefined` are nulls. */
export function write({ name, dataType }, values) {
  const rows = values.length;
  const Fixed = FIXED[dataType.tag];
  if (Fixed && values instanceof Fixed) {
    return { name, dataType, validity: null, offsets: null, values: bytesOf(values) };
  }
  let validity = null;
  for (let row = 0; row < rows; row++) {
    if (values[row] === null || values[row] === undefined) {
      validity ??= new Uint8Array((rows + 7) >> 3).fill(255);
      validity[row >> 3] &= ~(1 << (row & 7));
    }
  }
  const wrong = (value) => {
    const shown = typeof value === "string" ? JSON.stringify(value) : String(value);
    return new TypeError(`column \`${name}\` is of type ${nameOf(dataType)}, and was given ${shown.slice(0, 100)}`);
  };
  const isNull = validity ? (row) => !bit(validity, row) : () => false;
  const { offsets = null, bytes } = writers[dataType.tag](values, isNull, wrong, dataType);
  return { name, dataType, validity, offsets: offsets && bytesOf(offsets), values: bytes };
}

const numbers = (Type, isGood) => (values, isNull, wrong) => {
  const array = new Type(values.length);
  for (let row = 0; row < values.length; row++) {
    if (isNull(row)) continue;
    if (!isGood(values[row])) throw wrong(values[row]);
    array[row] = values[row];
  }
  return { bytes: bytesOf(array) };
};

const isInt = (value) => typeof value === "number" && (value | 0) === value;
const isNumber = (value) => typeof value === "number";

const longs = (perMilli) => (values, isNull, wrong) => {
  const low = new Uint32Array(2 * values.length);
  const high = new Int32Array(low.buffer);
  for (let row = 0; row < values.length; row++) {
    if (isNull(row)) continue;
    let value = values[row];
    if (perMilli && value instanceof Date) value = value.getTime() * perMilli;
    if (Number.isSafeInteger(value)) {
      const top = Math.floor(value / WORD);
      high[2 * row + 1] = top;
      low[2 * row] = value - top * WORD;
    } else if (typeof value === "bigint" && BigInt.asIntN(64, value) === value) {
      low[2 * row] = Number(BigInt.asUintN(32, value));
      high[2 * row + 1] = Number(value >> 32n);
    } else {
      throw wrong(values[row]);
    }
  }
  return { bytes: bytesOf(low) };
};

const writers = {
  boolean: (values, isNull, wrong) => {
    const bytes = new Uint8Array((values.length + 7) >> 3);
    for (let row = 0; row < values.length; row++) {
      if (isNull(row)) continue;
      if (typeof values[row] !== "boolean") throw wrong(values[row]);
      if (values[row]) bytes[row >> 3] |= 1 << (row & 7);
    }
    return { bytes };
  },
  int32: numbers(Int32Array, isInt),
  date32: numbers(Int32Array, isInt),
  float32: numbers(Float32Array, isNumber),
  float64: numbers(Float64Array, isNumber),
  int64: longs(0),
  "timestamp-millis": longs(1),
  "timestamp-micros": longs(1000),
  utf8: (values, isNull, wrong) => {
    const texts = Array.from(values, (value, row) => {
      if (isNull(row)) return "";
      if (typeof value !== "string") throw wrong(value);
      return value;
    });
    return encodeAll(texts);
  },
  binary: (values, isNull, wrong) => {
    const offsets = new Int32Array(values.length + 1);
    for (let row = 0; row < values.length; row++) {
      if (!isNull(row) && !(values[row] instanceof Uint8Array)) throw wrong(values[row]);
      offsets[row + 1] = offsets[row] + (isNull(row) ? 0 : values[row].length);
    }
    const bytes = new Uint8Array(offsets[values.length]);
    for (let row = 0; row < values.length; row++) if (!isNull(row)) bytes.set(values[row], offsets[row]);
    return { offsets, bytes };
  },
  decimal128: (values, isNull, wrong, { val: [precision, scale] }) => {
    const words = new BigInt64Array(2 * values.length);
    for (let row = 0; row < values.length; row++) {
      if (isNull(row)) continue;
      const unscaled = decimalOf(values[row], scale);
      if (unscaled === null || (unscaled < 0n ? -unscaled : unscaled) >= 10n ** BigInt(precision)) {
        throw wrong(values[row]);
      }
      words[2 * row] = BigInt.asIntN(64, unscaled);
      words[2 * row + 1] = unscaled >> 64n;
    }
    return { bytes: bytesOf(words) };
  },
};

/** The digits of a decimal; null where it is none of that scale. */
function decimalOf(value, scale) {
  const parts = /^([+-]?)(\d+)(?:\.(\d*))?$/.exec(typeof value === "string" ? value : String(value));
  if (!parts || scale < 0) return null;
  const fraction = (parts[3] ?? "").replace(/0+$/, "");
  if (fraction.length > scale) return null;
  const digits = BigInt(parts[2] + fraction.padEnd(scale, "0"));
  return parts[1] === "-" ? -digits : digits;
}
