//! Components that are a crime before anybody calls them: floods of instances and handles, and code that takes for ever to
//! compile. And every limit by its name.

use std::fmt::Write;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use braid_spec::model::{Grants, PluginLimits};
use braid_wasm_host::{Plugin, PluginError};

use crate::support::{LIMITS, evil, notes, schema};

/// A component whose module `text` is started, and which exports what looks like a transform.
pub fn component(definitions: &str) -> Vec<u8> {
    let text = format!(
        "(component {definitions}
           (core module $last (func (export \"f\")))
           (core instance $end (instantiate $last))
           (func $f (canon lift (core func $end \"f\")))
           (component $shape (import \"f\" (func $f)) (export \"describe\" (func $f)) (export \"apply\" (func $f)))
           (instance $plugin (instantiate $shape (with \"f\" (func $f))))
           (export \"braid:plugin/transforms@0.1.0\" (instance $plugin)))"
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"))
}

fn load(bytes: &[u8], limits: PluginLimits) -> Result<Plugin, PluginError> {
    Plugin::from_bytes("bomb", bytes, limits, &Grants::default(), None)
}

/// What is said when it is started.
fn started(definitions: &str) -> String {
    let plugin = load(&component(definitions), LIMITS).expect("it compiles");
    plugin.describe(&schema()).expect_err("it does not come to anything").to_string()
}

#[test]
fn a_flood_of_handles_has_an_end() {
    let error = started(
        "(type $r (resource (rep i32)))
         (canon resource.new $r (core func $new))
         (core module $m
           (import \"\" \"new\" (func $new (param i32) (result i32)))
           (func $s (loop $again (drop (call $new (i32.const 1))) (br $again)))
           (start $s))
         (core instance (instantiate $m (with \"\" (instance (export \"new\" (func $new))))))",
    );
    assert!(error.contains("start: cannot allocate another handle: store handle limit exceeded"), "{error}");
}

#[test]
fn a_flood_of_instances_has_an_end() {
    let mut text = "(core module $m (func (export \"f\") (result i32) (i32.const 1)))".to_owned();
    (0..900).for_each(|_| text.push_str("(core instance (instantiate $m))"));
    let error = started(&text);
    assert!(error.contains("start: resource limit exceeded: instance count too high"), "{error}");
    let tables: String = (0..50).map(|_| "(table 1000 funcref)").collect();
    let error = started(&format!("(core module $m {tables}) (core instance (instantiate $m))"));
    assert!(error.contains("start: resource limit exceeded: table count too high"), "{error}");
    let error = started("(core module $m (memory 1) (memory 1)) (core instance (instantiate $m))");
    assert!(error.contains("start: resource limit exceeded: memory count too high"), "{error}");
}

/// A function that keeps so many values alive over so many ways through it: few bytes, and much work for a compiler.
fn compile_bomb(ways: usize) -> Vec<u8> {
    let mut text = "(core module (func (export \"f\") (param i32)".to_owned();
    (0..ways).for_each(|_| text.push_str(" (local i32)"));
    text.push_str(" (loop $again ");
    (0..ways).for_each(|_| text.push_str("(block "));
    text.push_str("(br_table ");
    for way in 0..ways {
        let _ = write!(text, "{way} ");
    }
    text.push_str("0 (local.get 0))");
    for way in 0..ways {
        let other = (way * 7 + 1) % ways;
        let _ = write!(text, ") (local.set {way} (i32.add (local.get {other}) (local.get {way}))) (br $again)");
    }
    text.push_str(")))");
    component(&text)
}

#[test]
fn a_compile_bomb_is_given_up_at_its_limit() {
    let limits = PluginLimits { compile_time: Duration::from_millis(300), ..LIMITS };
    let bomb = compile_bomb(1_500);
    assert!(bomb.len() < 64 << 10, "{} bytes", bomb.len());
    let began = Instant::now();
    let error = load(&bomb, limits).expect_err("it takes for ever").to_string();
    println!("a compile bomb of {} bytes was given up after {:?}", bomb.len(), began.elapsed());
    assert_eq!(error, "plugin `bomb` was not compiled within its limit of 300ms (`compile_time`)");
}

#[test]
fn nested_blocks_and_deep_components_are_refused_or_compiled() {
    let deep = format!("(core module (func {} {}))", "(block ".repeat(20_000), ")".repeat(20_000));
    load(&component(&deep), LIMITS).expect("the compiler has a stack of its own");
    let nested = format!("{}{}", "(component ".repeat(150), ")".repeat(150));
    let error =
        wat::parse_str(&nested).map_or(String::new(), |bytes| load(&bytes, LIMITS).expect_err("too deep").to_string());
    assert!(error.is_empty() || error.contains("does not compile"), "{error}");
}

#[test]
fn every_limit_is_named_where_it_is_passed() {
    let reason = |crime: &str, limits: PluginLimits| {
        let plugin = match evil(crime, limits) {
            Ok(plugin) => plugin,
            Err(error) => return error.to_string(),
        };
        let mut applier = plugin.applier(&schema()).expect("it describes its output");
        let applied = applier.apply(&notes(1, &[0])).expect("the schema is that of the batch");
        applied.failed[0].reason.clone()
    };
    let memory = PluginLimits { memory_bytes: 4 << 20, ..LIMITS };
    assert!(reason("memory_bomb", memory).contains("its limit is 4194304 (`memory`)"));
    let time = PluginLimits { time: Duration::from_millis(20), ..LIMITS };
    assert!(reason("endless_loop", time).contains("its limit of 20ms (`time`)"));
    let output = PluginLimits { output_bytes: 1 << 20, ..LIMITS };
    assert!(reason("giant_output", output).contains("its limit of 1048576 bytes (`output`)"));
    let stack = PluginLimits { stack_bytes: 64 << 10, ..LIMITS };
    assert!(reason("deep_recursion", stack).contains("its 65536 bytes of stack (`stack`)"));
    let table = PluginLimits { table_elements: 2, ..LIMITS };
    let plugin = evil("trap", table).expect("it loads");
    let error = plugin.describe(&schema()).expect_err("it has more functions than that").to_string();
    assert!(error.contains("start: asked for a table of ") && error.contains("its limit is 2 (`table`)"), "{error}");
    let module = PluginLimits { module_bytes: 1 << 10, ..LIMITS };
    assert!(reason("trap", module).contains("its limit is 1024 (`limits: {module: …}`)"));
}

#[test]
fn what_is_not_a_number_has_the_same_bits_everywhere() {
    let plugin = evil("nan_bits", LIMITS).expect("it loads");
    let mut applier = plugin.applier(&schema()).expect("it describes its output");
    let applied = applier.apply(&notes(3, &[0])).expect("the schema is that of the batch");
    let bits = applied.batch.column(0).as_primitive::<Int64Type>();
    assert_eq!(bits.values().as_ref(), [0x7ff8_0000_0000_0000; 3]);
}

#[test]
fn what_keeps_or_sees_more_than_rows_is_found_by_looking_twice() {
    let last = |crime: &str, sizes: &[usize]| -> Vec<i64> {
        let plugin = evil(crime, LIMITS).expect("it loads");
        let mut applier = plugin.applier(&schema()).expect("it describes its output");
        let outputs = sizes.iter().flat_map(|rows| {
            let applied = applier.apply(&notes(*rows, &[])).expect("the schema is that of the batch");
            applied.batch.column(2).as_primitive::<Int64Type>().values().to_vec()
        });
        outputs.collect()
    };
    assert_eq!(last("counts_calls", &[2, 2]), [0, 0, 1, 1]);
    assert_eq!(last("sees_batches", &[3]), [3, 3, 3]);
    assert_eq!(last("sees_batches", &[1, 2]), [1, 2, 2]);
}
