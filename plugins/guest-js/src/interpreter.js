// A component that is any plugin: the script that it is given says which.

import { open } from "./sandbox.js";
import { http } from "./http.js";
import { keyed as keyedOf } from "./keyed.js";
import { sink } from "./sink.js";
import { stripped } from "./typescript.js";
import { aggregate, scalar, transform } from "./worlds.js";

const FUNCTIONS = ["describe", "map", "apply", "call", "zero", "accumulate", "merge", "finish", "onRow", "onTimer",
  "onInitialState", "open", "process", "processBatch", "close"];
const CONSTANTS = ["output", "state", "keepFor", "idempotent"];
/** By which functions a kind is known, and what makes a plugin of it. */
const KINDS = {
  transform: { known: ["map", "apply"], make: transform },
  scalar: { known: ["call"], make: scalar },
  aggregate: { known: ["accumulate"], needs: ["zero", "merge", "finish"], make: aggregate },
  keyed: { known: ["onRow"], make: keyedOf },
  sink: { known: ["process", "processBatch"], make: sink },
};
/** Modules are strict; this is how a text that is evaluated becomes so, on its first line. */
const STRICT = '"use strict";';
const EXPORT = /^export\s+(?:default\s+)?(?=(?:async\s+)?function\b|const\b|let\b|var\b|class\b)/gm;
const IMPORT = /^import\b(?!\s*\()/m;
const PLACE = /<(?:input|evalScript)>:(\d+)(?::(\d+))?/;

let name = "script";
let plugin = {};

/** What was thrown, with its place in the script. */
function told(thrown) {
  if (!(thrown instanceof Error)) return `${name}: ${String(thrown)}`;
  const place = PLACE.exec(thrown.stack ?? "");
  const line = place ? Number(place[1]) : 0;
  const column = place?.[2] ? Number(place[2]) - (line === 1 ? STRICT.length : 0) : 0;
  const at = [name, ...(line ? [line] : []), ...(line && column > 0 ? [column] : [])].join(":");
  return `${at}: ${thrown.name === "Error" ? "" : `${thrown.name}: `}${thrown.message}`;
}

function evaluate(source) {
  const imported = IMPORT.exec(source);
  if (imported) {
    const line = source.slice(0, imported.index).split("\n").length;
    const types = name.endsWith(".ts") ? ", and what it has of another is types: `import type`" : "";
    throw `${name}:${line}:1: a script imports nothing: it is one file${types}`;
  }
  const plain = source.replace(EXPORT, (found) => found.replace(/\S/g, " "));
  const found = [...FUNCTIONS, ...CONSTANTS].map((each) => `${each}: typeof ${each} === "undefined" ? undefined : ${each}`);
  return (0, eval)(`${STRICT}${plain}\n;({${found.join(", ")}})`);
}

function kindOf(script) {
  for (const each of FUNCTIONS) {
    if (script[each] !== undefined && typeof script[each] !== "function") throw `${name}: \`${each}\` is no function`;
  }
  const kinds = Object.entries(KINDS).filter(([, { known }]) => known.some((each) => script[each]));
  if (kinds.length !== 1) {
    const functions = kinds.flatMap(([, { known }]) => known.filter((each) => script[each])).map((each) => `\`${each}\``);
    const all = "`map` or `apply` (a transform), `call` (a function in SQL), `accumulate` (an aggregate), `onRow` (with state), `process` or `processBatch` (a sink)";
    throw `${name}: ${functions.length ? `it has ${functions.join(" and ")}, and can be one thing only` : "it has none of the functions by which a plugin is known"}: ${all}`;
  }
  const [[kind, { needs = [] }]] = kinds;
  const missing = needs.find((each) => !script[each]);
  if (missing) throw `${name}: ${kind === "aggregate" ? "an aggregate" : kind} needs \`${missing}\` too`;
  return kind;
}

export const scripts = {
  read: (called, source) => (called.endsWith(".ts") ? stripped(called, source) : source),

  load(called, source, granted) {
    name = called;
    open(granted);
    globalThis.http = http;
    try {
      const script = evaluate(source);
      const kind = kindOf(script);
      plugin = KINDS[kind].make(script);
      return kind;
    } catch (thrown) {
      throw typeof thrown === "string" ? thrown : told(thrown);
    }
  },
};

/** What the script's plugin has under a name; what it throws is said with its place. */
const call = (method) => (...given) => {
  try {
    return plugin[method](...given);
  } catch (thrown) {
    throw told(thrown);
  }
};

export const transforms = { describe: call("describe"), apply: call("apply") };
export const scalars = { describe: call("describe"), call: call("call") };
export const aggregates = {
  describe: call("describe"),
  zero: call("zero"),
  accumulate: call("accumulate"),
  merge: call("merge"),
  finish: call("finish"),
};
export const keyed = { describe: call("describe"), run: call("run") };
export const sinks = { describe: call("describe"), open: call("open"), process: call("process"), close: call("close") };
