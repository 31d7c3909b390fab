// There is no clock and no chance in a plugin but what a sink is granted: what it computes is the same in both layers, and
// after a restart. The same is true of its log, and of values.

import clock from "braid:host/clock@0.1.0";
import values from "braid:host/env@0.1.0";
import lines from "braid:host/log@0.1.0";
import random from "braid:host/random@0.1.0";
import { grant, has, must } from "./grants.js";

/** Bytes of one call, as the contract has it. */
const RANDOM_BYTES_MAX = 4096;
const MICROS_PER_MILLI = 1000;

function given(one, what) {
  if (has(one)) return;
  throw new Error(`there is no ${what} in a plugin: it computes from its rows, and from nothing else (a sink may have \`grants: {${one}: true}\`)`);
}

function now() {
  given("clock", "clock");
  return Math.floor(Number(clock.now()) / MICROS_PER_MILLI);
}

function bytes(length) {
  given("random", "randomness");
  return random.bytes(length);
}

const Given = Date;
function Instant(...parts) {
  if (!new.target) return new Instant().toString();
  return Reflect.construct(Given, parts.length ? parts : [now()], new.target === Instant ? Given : new.target);
}
Object.defineProperty(Instant, "name", { value: "Date" });
Instant.prototype = Given.prototype;
Object.defineProperty(Given.prototype, "constructor", { value: Instant, writable: true, configurable: true });
globalThis.Date = Object.assign(Instant, { UTC: Given.UTC, parse: Given.parse, now });

Math.random = () => {
  const [high, low] = new Uint32Array(bytes(8).slice().buffer);
  return ((high >>> 5) * 2 ** 26 + (low >>> 6)) / 2 ** 53;
};

globalThis.crypto = {
  getRandomValues(array) {
    const all = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    for (let at = 0; at < all.length; at += RANDOM_BYTES_MAX) all.set(bytes(Math.min(RANDOM_BYTES_MAX, all.length - at)), at);
    return array;
  },
  randomUUID() {
    const all = bytes(16).slice();
    all[6] = (all[6] & 15) | 64;
    all[8] = (all[8] & 63) | 128;
    const hex = Array.from(all, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
  },
};

function shown(value) {
  if (value instanceof Error) return `${value.name}: ${value.message}`;
  if (value === null || typeof value !== "object") return String(value);
  return JSON.stringify(value, (_, each) => (typeof each === "bigint" ? String(each) : each));
}

const writes = (name, level) => (...all) => {
  must("log", `\`console.${name}\``);
  lines.write(level, all.map(shown).join(" "));
};
globalThis.console = {
  debug: writes("debug", "debug"),
  log: writes("log", "info"),
  info: writes("info", "info"),
  warn: writes("warn", "warn"),
  error: writes("error", "error"),
};

globalThis.env = (name) => {
  must("env", "`env`");
  return values.get(name) ?? null;
};

globalThis.fetch = () => {
  throw new Error("there is no `fetch`: a sink sends a request by `http.send({method, url, headers, body})`, which waits for its answer");
};
delete globalThis.performance;

/** From here on there is what is granted. */
export const open = grant;
