//! Scripts in JavaScript, TypeScript and Python, by their interpreters, which are built here if they are not there.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array,
    Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use braid_spec::model::{Grants, Language, PluginLimits};
use braid_wasm_host::{Plugin, PluginError, SCRIPT_ROWS_MAX, interpreter};
use wasmtime::component::{Component, Linker, Val};
use wasmtime::{Engine, Store};

use crate::support::{self, notes, run_build, without};

pub const LIMITS: PluginLimits = PluginLimits {
    memory_bytes: 256 << 20,
    time: Duration::from_millis(500),
    output_bytes: 1 << 20,
    ..support::LIMITS
};

/// Braid's directory for WebAssembly, with both interpreters in it.
fn home() -> &'static Path {
    static HOME: OnceLock<PathBuf> = OnceLock::new();
    HOME.get_or_init(|| {
        let built = Language::ALL.map(|language| (language, run_build(&["--interpreter", language.interpreter()])));
        let home = Path::new(&built[0].1).ancestors().nth(2).expect("it is in a directory").to_owned();
        for (language, place) in built {
            assert_eq!(interpreter(language, &home), Path::new(&place), "what `script.rs` lists is what is built from");
        }
        home
    })
}

fn load(language: Language, source: &str, limits: PluginLimits) -> Result<Plugin, PluginError> {
    load_at(home(), language, source, limits)
}

fn load_at(home: &Path, language: Language, source: &str, limits: PluginLimits) -> Result<Plugin, PluginError> {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join(format!("script.{}", language.extension()));
    std::fs::write(&file, source).expect("a fresh file");
    Plugin::load_script("p", &file, language, limits, &Grants::default(), home)
}

fn both(javascript: &str, python: &str) -> [Plugin; 2] {
    [(Language::JavaScript, javascript), (Language::Python, python)]
        .map(|(language, source)| load(language, source, LIMITS).expect("a script"))
}

/// A column of each type, with nulls, and with values at their ends.
fn everything() -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("boolean", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("int", Arc::new(Int32Array::from(vec![Some(i32::MIN), None, Some(i32::MAX)]))),
        ("long", Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(i64::MAX)]))),
        ("small", Arc::new(Int64Array::from(vec![-9_007_199_254_740_991, 0, 4_294_967_296]))),
        ("float", Arc::new(Float32Array::from(vec![Some(0.1), None, Some(f32::MIN_POSITIVE)]))),
        ("double", Arc::new(Float64Array::from(vec![Some(-0.0), None, Some(f64::INFINITY)]))),
        ("whole", Arc::new(Float64Array::from(vec![0.5, 1e300, -2.0]))),
        ("string", Arc::new(StringArray::from(vec![Some("größe 😀"), None, Some("")]))),
        ("plain", Arc::new(StringArray::from(vec!["a", "", "\"quoted\"\n"]))),
        ("binary", Arc::new(BinaryArray::from(vec![Some(&b"\0\xff"[..]), None, Some(b"")]))),
        ("date", Arc::new(Date32Array::from(vec![Some(-1), None, Some(20_000)]))),
        ("millis", Arc::new(TimestampMillisecondArray::from(vec![Some(-1), None, Some(1_767_225_600_123)]))),
        ("micros", Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), None, Some(1_767_225_600_000_001)]))),
        ("decimal", Arc::new(decimals(vec![Some(-12_345), None, Some(1)], 2))),
        ("huge", Arc::new(decimals(vec![Some(-(10_i128.pow(38) - 1)), Some(0), Some(1_i128 << 64)], 0))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .expect("columns of one length")
}

fn decimals(values: Vec<Option<i128>>, scale: i8) -> Decimal128Array {
    Decimal128Array::from(values).with_precision_and_scale(38, scale).expect("a precision that there is")
}

#[test]
fn values_of_every_type_go_through_and_come_back() {
    let batch = everything();
    let rows = both("export const map = (row) => row;", "def map(row):\n    return row\n");
    let columns = both("export const apply = (columns) => columns;", "def apply(columns):\n    return columns\n");
    for plugin in rows.iter().chain(&columns) {
        let applied = plugin.applier(&batch.schema()).expect("it takes all types").apply(&batch).expect("a batch");
        assert_eq!((applied.failed.len(), &applied.batch), (0, &batch), "{plugin:?}: {:?}", applied.failed);
    }
}

#[test]
fn rows_fail_alone_and_say_where() {
    let plugins = both(
        "export function map(row) {\n  if (row.note === \"evil\") throw new Error(`bad ${row.id}`);\n  return row;\n}\n",
        "def map(row):\n    if row[\"note\"] == \"evil\":\n        raise ValueError(f\"bad {row['id']}\")\n    return row\n",
    );
    let batch = notes(3 * SCRIPT_ROWS_MAX, &[0, 2_000]);
    let said = ["script.js:2:51: bad 2000", "script.py:3: ValueError: bad 2000"];
    for (plugin, said) in plugins.iter().zip(said) {
        let applied = plugin.applier(&batch.schema()).expect("columns").apply(&batch).expect("a batch");
        let failed: Vec<_> = applied.failed.iter().map(|failed| failed.row).collect();
        assert_eq!((failed, applied.failed[1].reason.as_str()), (vec![0, 2_000], said));
        assert_eq!(applied.batch, without(&batch, &[0, 2_000]));
    }
}

#[test]
fn crimes_are_contained() {
    let crimes = [
        (
            "while (true) {}",
            "while True:\n            pass",
            ["ran longer than its limit", "ran longer than its limit"],
        ),
        (
            "const all = []; while (true) all.push(new Uint8Array(1 << 20));",
            "all = []\n        while True:\n            all.append(bytearray(1 << 20))",
            ["of memory; its limit is", "of memory; its limit is"],
        ),
        (
            "const deeper = (n) => 1 + deeper(n); deeper(1);",
            "deeper = lambda n: 1 + deeper(n)\n        deeper(1)",
            ["stack", "recursion"],
        ),
        ("Date.now();", "import time\n        time.time()", ["there is no clock", "there is no clock"]),
        (
            "Math.random();",
            "import random\n        random.random()",
            ["there is no randomness", "there is no randomness"],
        ),
        ("new Date();", "import datetime\n        datetime.datetime.now()", ["there is no clock", "a clock"]),
        ("fetch('x');", "open('/etc/passwd')", ["fetch", "cannot be had"]),
        ("http.post('http://127.0.0.1:9', '');", "import socket", ["a request needs `grants: {http: ", "socket"]),
        (
            "console.log('a');",
            "print('a')",
            ["`console.log` needs `grants: {log: true}`", "`print` needs `grants: {log: true}`"],
        ),
        (
            "env('A');",
            "from braid_guest import env; env('A')",
            ["`env` needs `grants: {env: {NAME: value}}`", "`env` needs `grants: {env: {NAME: value}}`"],
        ),
        ("crypto.randomUUID();", "import uuid; uuid.uuid4()", ["there is no randomness", "there is no randomness"]),
        (
            "Date();",
            "from wit_world.imports import clock; clock.now()",
            ["there is no clock", "braid:host/clock@0.1.0"],
        ),
        (
            "Math.random.call(null);",
            "import secrets; secrets.token_bytes()",
            ["there is no randomness", "there is no randomness"],
        ),
        ("row.note = 5;", "row['note'] = 5", ["`note` is of type string, and was given 5", "`note` is of type string"]),
        ("row.id = 'a';", "row['id'] = 1 << 63", ["`id` is of type long", "`id` is of type long"]),
        (
            "row.note = 'a'.repeat(1 << 21);",
            "row['note'] = 'a' * (1 << 21)",
            ["returned more than", "returned more than"],
        ),
        ("return [Promise.resolve(row)];", "return [lambda: row]", ["a promise is not a row", "is not a row"]),
        ("row.other = 1;", "row['other'] = 1", ["column `other`", "column `other`"]),
    ];
    for (javascript, python, [by_javascript, by_python]) in crimes {
        let typed = format!(
            "export function map(row: any): any {{\n  if (row.note === 'evil') {{ {javascript} }}\n  return row;\n}}\n"
        );
        let plugins = [
            (Language::JavaScript, typed.replace(": any", ""), by_javascript),
            (Language::TypeScript, typed, by_javascript),
            (
                Language::Python,
                format!("def map(row):\n    if row['note'] == 'evil':\n        {python}\n    return row\n"),
                by_python,
            ),
        ];
        for (language, source, reason) in plugins {
            let plugin = load(language, &source, LIMITS).expect("a script");
            let batch = notes(8, &[5]);
            let applied = plugin.applier(&batch.schema()).expect("columns").apply(&batch).expect("a batch");
            assert_eq!(applied.failed.len(), 1, "{javascript}: {:?}", applied.failed);
            let failed = &applied.failed[0];
            assert!(failed.row == 5 && failed.reason.contains(reason), "{javascript}: {}", failed.reason);
            assert_eq!(applied.batch, without(&batch, &[5]), "{javascript}");
        }
    }
}

#[test]
fn what_is_no_plugin_is_refused_with_its_place() {
    let refusals = [
        (Language::JavaScript, "export function map(row) {\n  return row.;\n}\n", "script.js:2:"),
        (Language::JavaScript, "const a = 1; const b = = 2;", "script.js:1:24: SyntaxError"),
        (Language::JavaScript, "import {a} from './b.js';", "script.js:1:1: a script imports nothing"),
        (Language::JavaScript, "const a = null;\na.b;", "script.js:2:1: TypeError"),
        (Language::JavaScript, "export const map = 5;", "`map` is no function"),
        (Language::JavaScript, "const map = () => 1, call = () => 2;", "it has `map` and `call`"),
        (Language::JavaScript, "const accumulate = () => 1;", "needs `zero` too"),
        (Language::Python, "def map(row):\n    return row[\n", "script.py:2:15: SyntaxError"),
        (Language::Python, "import sqlite3", "script.py:1: ModuleNotFoundError"),
        (Language::Python, "x = 1\ny = x[0]\n", "script.py:2: TypeError"),
        (Language::Python, "def go(row):\n    return row\n", "none of the functions"),
        (Language::Python, "while True: pass", "ran longer than its limit"),
        (Language::Python, "def accumulate(state): pass", "needs `zero` too"),
        (Language::TypeScript, "type A = 1;\nlet a: = 1;", "script.ts:2:8: SyntaxError: Unexpected token"),
        (Language::TypeScript, "let a: string = null!;\na.b.c;", "script.ts:2:1: TypeError"),
        (
            Language::TypeScript,
            "import type {A} from 'a';\nimport {B} from 'b';",
            "script.ts:2:1: a script imports nothing",
        ),
        (Language::TypeScript, "export declare const map: 5;", "none of the functions"),
        (
            Language::TypeScript,
            "let a;\n  enum A {B}",
            "script.ts:2:3: SyntaxError: an enum is more than a type: write `const",
        ),
        (
            Language::TypeScript,
            "namespace A { export const b = 1; }",
            "script.ts:1:1: SyntaxError: a namespace is more than",
        ),
        (
            Language::TypeScript,
            "class A { constructor(readonly b: 1) {} }",
            "script.ts:1:23: SyntaxError: a parameter that is",
        ),
        (Language::TypeScript, "import a = require('a');", "script.ts:1:1: SyntaxError: `import … = …`"),
        (Language::TypeScript, "export = 5;", "script.ts:1:1: SyntaxError: `export = …`"),
        (Language::TypeScript, "const a = <string>b;", "script.ts:1:11: SyntaxError: a type in angle brackets"),
        (Language::TypeScript, "class A { @b c() {} }", "script.ts:1:11: SyntaxError: decorators are not run"),
        (Language::TypeScript, "while (true) {}", "ran longer than its limit of 500ms (`time`)"),
    ];
    for (language, source, reason) in refusals {
        let refused = load(language, source, LIMITS).expect_err(source).to_string();
        assert!(refused.contains(reason), "{source}: {refused}");
    }
    let schema = notes(1, &[]).schema();
    for plugin in both(
        "const map = (row) => row; const output = {a: 'bigint'};",
        "output = {'a': 'bigint'}\ndef map(row): pass\n",
    ) {
        let refused = plugin.describe(&schema).expect_err("there is no such type").to_string();
        assert!(refused.contains("there is no type `bigint`"), "{refused}");
    }
    let missing = load_at(Path::new("/nowhere"), Language::Python, "", LIMITS).expect_err("no interpreter").to_string();
    assert!(missing.ends_with("`plugins/build --interpreter python` makes it"), "{missing}");
}

const SCRIPTS: &str = "braid:script/scripts@0.2.0";

/// What is left of TypeScript: every type is spaces, and what could then be read otherwise is kept apart.
#[test]
fn types_become_spaces() {
    let mut direct = Direct::new(Language::TypeScript, "export const map = (row: any): any => row;");
    for (typed, left) in [
        ("let a: number = b as any as string;", "let a         = b                 ;"),
        ("const a = b\ntype X = {c: 1}\n(d)", "const a = b\n;              \n(d)"),
        ("a = b as T\n(c)", "a = b;    \n(c)"),
        ("a = (b as T)\n(c)", "a = (b     )\n(c)"),
        ("let a: T\n[b].c", "let a;  \n[b].c"),
        ("return_ = x satisfies T\n`y`", "return_ = x;           \n`y`"),
        ("class A { a: T\n['b'] = 1; private ['c'] = 2 }", "class A { a;  \n['b'] = 1; ;       ['c'] = 2 }"),
        ("a = <\nT,\n>(b: T): C<\nT> => b", "a = (\n  \n  b        \n ) => b"),
        ("for (let a: T of b as U) {}", "for (let a    of b     ) {}"),
        ("f<T>(a!); new F<T>(); a?.<T>(b!.c![0]);", "f   (a ); new F   (); a?.   (b .c [0]);"),
        ("function f(this: T, a?: U, ...b: V[]): a is W {}", "function f(         a    , ...b     )         {}"),
        ("f(a < b, c > d)", "f(a < b, c > d)"),
        ("const type = 1, as = 2; type\n(as)", "const type = 1, as = 2; type\n(as)"),
        ("try {} catch (a: unknown) {}", "try {} catch (a         ) {}"),
        ("let a = 'ü😀' as T, b", "let a = 'ü😀'     , b"),
    ] {
        let read = direct.call(SCRIPTS, "read", &[text("a.ts"), text(typed)]);
        assert_eq!(read, text(left), "{typed}");
    }
}

/// An interpreter with a script, called by its contract's names.
struct Direct(Store<()>, wasmtime::component::Instance);

impl Direct {
    fn new(language: Language, source: &str) -> Self {
        static COMPONENTS: [OnceLock<(Engine, Component)>; 2] = [OnceLock::new(), OnceLock::new()];
        let (engine, component) = COMPONENTS[usize::from(language == Language::Python)].get_or_init(|| {
            let engine = Engine::default();
            let component = Component::from_file(&engine, interpreter(language, home())).expect("an interpreter");
            (engine, component)
        });
        let imports = component.component_type();
        let mut imports: Vec<&str> = imports.imports(engine).map(|(import, _)| import).collect();
        let mut all = [braid_wire::HTTP, braid_wire::LOG, braid_wire::ENV, braid_wire::CLOCK, braid_wire::RANDOM];
        all.sort();
        imports.sort();
        assert_eq!(imports, all, "an interpreter imports what can be granted and nothing else");
        let mut linker = Linker::new(engine);
        linker.define_unknown_imports_as_traps(component).expect("imports that can trap");
        let mut store = Store::new(engine, ());
        let instance = linker.instantiate(&mut store, component).expect("an instance");
        let mut direct = Self(store, instance);
        let name = text(&format!("script.{}", language.extension()));
        let read = direct.call(SCRIPTS, "read", &[name.clone(), text(source)]);
        direct.call(SCRIPTS, "load", &[name, read, Val::List(vec![])]);
        direct
    }

    /// What a function returns that does not fail.
    fn call(&mut self, interface: &str, function: &str, arguments: &[Val]) -> Val {
        let Self(store, instance) = self;
        let interface = instance.get_export_index(&mut *store, None, interface).expect("an interface");
        let index = instance.get_export_index(&mut *store, Some(&interface), function).expect("a function");
        let function = instance.get_func(&mut *store, index).expect("a function");
        let mut results = [Val::Bool(false)];
        function.call(&mut *store, arguments, &mut results).expect("it does not trap");
        match results {
            [Val::Result(Ok(Some(value)))] => *value,
            [other] => panic!("{other:?}"),
        }
    }
}

fn text(text: &str) -> Val {
    Val::String(text.into())
}

fn bytes(bytes: &[u8]) -> Val {
    Val::List(bytes.iter().map(|byte| Val::U8(*byte)).collect())
}

fn data_type(name: &str) -> Val {
    Val::Variant(name.into(), None)
}

fn column(name: &str, of: &str, validity: Option<&[u8]>, offsets: Option<&[u8]>, values: &[u8]) -> Val {
    let some = |given: Option<&[u8]>| Val::Option(given.map(|given| Box::new(bytes(given))));
    Val::Record(vec![
        ("name".into(), text(name)),
        ("data-type".into(), data_type(of)),
        ("validity".into(), some(validity)),
        ("offsets".into(), some(offsets)),
        ("values".into(), bytes(values)),
    ])
}

fn batch(rows: u32, columns: Vec<Val>) -> Val {
    Val::Record(vec![("rows".into(), Val::U32(rows)), ("columns".into(), Val::List(columns))])
}

fn field<'v>(record: &'v Val, name: &str) -> &'v Val {
    let Val::Record(fields) = record else { panic!("{record:?} is no record") };
    &fields.iter().find(|(field, _)| field == name).expect("a field").1
}

fn le<const N: usize>(values: impl IntoIterator<Item = [u8; N]>) -> Vec<u8> {
    values.into_iter().flatten().collect()
}

fn example(language: Language, name: &str) -> String {
    let folder = match language {
        Language::JavaScript | Language::TypeScript => "guest-js",
        Language::Python => "guest-python",
    };
    let file = support::plugins().join(folder).join("examples").join(format!("{name}.{}", language.extension()));
    std::fs::read_to_string(file).expect("an example")
}

#[test]
fn a_function_in_sql_by_its_contract() {
    const SCALARS: &str = "braid:scalar/scalars@0.1.0";
    let urls = "http://A.example/x";
    let offsets = le([0_i32, urls.len() as i32, urls.len() as i32].map(i32::to_le_bytes));
    let given = batch(2, vec![column("0", "utf8", Some(&[1]), Some(&offsets), urls.as_bytes())]);
    let wanted = column("answer", "utf8", Some(&[1]), Some(&le([0_i32, 9, 9].map(i32::to_le_bytes))), b"a.example");
    for language in Language::ALL {
        let mut direct = Direct::new(language, &example(language, "host_of"));
        let described = direct.call(SCALARS, "describe", &[Val::List(vec![data_type("utf8")])]);
        assert_eq!(described, data_type("utf8"));
        let answer = direct.call(SCALARS, "call", std::slice::from_ref(&given));
        for part in ["name", "data-type", "offsets", "values"] {
            assert_eq!(field(&answer, part), field(&wanted, part), "{language:?}");
        }
        let Val::Option(Some(validity)) = field(&answer, "validity") else { panic!("the second is null") };
        let Val::List(validity) = &**validity else { panic!("a bitmap") };
        assert!(matches!(validity.as_slice(), [Val::U8(bits)] if bits & 3 == 1), "{language:?}: {validity:?}");
    }
}

#[test]
fn an_aggregate_by_its_contract() {
    const AGGREGATES: &str = "braid:aggregate/aggregates@0.1.0";
    let arguments = Val::List(vec![data_type("float64")]);
    let rows = column("0", "float64", None, None, &le([1.0_f64, 2.0, 10.0].map(f64::to_le_bytes)));
    for language in Language::ALL {
        let mut direct = Direct::new(language, &example(language, "mean"));
        let described = direct.call(AGGREGATES, "describe", std::slice::from_ref(&arguments));
        assert_eq!(field(&described, "output"), &data_type("float64"));
        let zero = direct.call(AGGREGATES, "zero", std::slice::from_ref(&arguments));
        let values = |batch: &Val, at: usize| match field(batch, "columns") {
            Val::List(columns) => field(&columns[at], "values").clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(field(&zero, "rows"), &Val::U32(1));
        // Two groups: the first and the third row, and the second.
        let state = |cents: &[i64], counts: &[i64]| {
            let sum = column("cents", "int64", None, None, &le(cents.iter().map(|cents| cents.to_le_bytes())));
            let count = column("count", "int64", None, None, &le(counts.iter().map(|count| count.to_le_bytes())));
            batch(cents.len() as u32, vec![sum, count])
        };
        let groups = |groups: &[u32]| Val::List(groups.iter().map(|group| Val::U32(*group)).collect());
        let added = direct.call(
            AGGREGATES,
            "accumulate",
            &[state(&[0, 0], &[0, 0]), groups(&[0, 1, 0]), batch(3, vec![rows.clone()])],
        );
        assert_eq!(values(&added, 0), bytes(&le([1100_i64, 200].map(i64::to_le_bytes))));
        assert_eq!(values(&added, 1), bytes(&le([2_i64, 1].map(i64::to_le_bytes))));
        let merged = direct.call(AGGREGATES, "merge", &[added, groups(&[1]), state(&[400], &[2])]);
        assert_eq!(values(&merged, 0), bytes(&le([1100_i64, 600].map(i64::to_le_bytes))));
        let answer = direct.call(AGGREGATES, "finish", &[arguments.clone(), merged]);
        assert_eq!(field(&answer, "values"), &bytes(&le([5.5_f64, 2.0].map(f64::to_le_bytes))), "{language:?}");
    }
}

/// What the guides show is what runs.
#[test]
fn the_guides_show_the_examples() {
    let all: &[&str] = &["clean", "host_of", "mean", "count", "post"];
    for (language, folder, names) in [
        (Language::JavaScript, "guest-js", all),
        (Language::TypeScript, "guest-js", &["clean", "count"]),
        (Language::Python, "guest-python", all),
    ] {
        let guide = std::fs::read_to_string(support::plugins().join(folder).join("README.md")).expect("a guide");
        for name in names {
            assert!(guide.contains(&example(language, name)), "{folder}/README.md does not show {name} as it is");
        }
    }
}

/// What this thread has used: the machine has others.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Figures: `cargo test --release -p braid-wasm-host -- --ignored figures --nocapture`.
#[test]
#[ignore = "a measurement, which takes a while"]
fn figures() {
    let rows = 100 * SCRIPT_ROWS_MAX;
    let texts =
        StringArray::from_iter_values((0..rows).map(|row| format!("https://Host{}.example/path?{row}", row % 100)));
    let floats = Float64Array::from_iter_values((0..rows).map(|row| row as f64));
    let schema =
        Schema::new(vec![Field::new("url", DataType::Utf8, true), Field::new("amount", DataType::Float64, true)]);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(texts), Arc::new(floats)]).expect("two columns");
    let scripts = both(
        "export const output = {host: 'string', amount: 'double'};\nexport function map({url, amount}) {\n  \
         return amount < 10 ? null : {host: url.slice(8).split('/')[0].toLowerCase(), amount: amount * 1.1};\n}",
        "output = {'host': 'string', 'amount': 'double'}\ndef map(row):\n    if row['amount'] < 10: return None\n    \
         return {'host': row['url'][8:].split('/')[0].lower(), 'amount': row['amount'] * 1.1}\n",
    );
    for (plugin, language) in scripts.iter().zip([Language::JavaScript, Language::Python]) {
        let mut applier = plugin.applier(&batch.schema()).expect("columns");
        applier.apply(&batch.slice(0, 1)).expect("a batch");
        let began = processor_time();
        let applied = applier.apply(&batch).expect("a batch");
        let each = (processor_time() - began).as_nanos() / rows as u128;
        assert_eq!((applied.failed.len(), applied.batch.num_rows()), (0, rows - 10));
        let columns = load(
            language,
            match language {
                Language::JavaScript | Language::TypeScript => {
                    "export const output = {amount: 'double'};\nexport const apply = ({amount}) => \
                     ({amount: amount.map((each) => each * 1.1)});"
                }
                Language::Python => {
                    "output = {'amount': 'double'}\ndef apply(columns): \
                     return {'amount': [each * 1.1 for each in columns['amount']]}"
                }
            },
            LIMITS,
        );
        let mut by_columns = columns.expect("a script").applier(&batch.schema()).expect("columns");
        by_columns.apply(&batch.slice(0, 1)).expect("a batch");
        let began = processor_time();
        by_columns.apply(&batch).expect("a batch");
        println!("{}: {} ns/row by columns", language.name(), (processor_time() - began).as_nanos() / rows as u128);
        let began = processor_time();
        for _ in 0..100 {
            plugin.applier(&batch.schema()).expect("columns");
        }
        println!(
            "{}: {each} ns/row, {:?} an instance with its `describe`",
            language.name(),
            (processor_time() - began) / 100
        );
        let source = "export const map = (row) => row;";
        let source = if language == Language::Python { "def map(row): return row" } else { source };
        let began = processor_time();
        load(language, source, LIMITS).expect("a script");
        println!("{}: {:?} to load, with compiled code in the cache", language.name(), (processor_time() - began));
    }
    let source = example(Language::TypeScript, "clean");
    let began = processor_time();
    load(Language::TypeScript, &source, LIMITS).expect("a script");
    println!("TypeScript: {:?} to load, with {} bytes whose types go", processor_time() - began, source.len());
}
