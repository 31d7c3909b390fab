//! One crime per limit. Each test proves three things: the crime is stopped, for the reason that is meant; the records
//! before and after the marked one pass unchanged; and the same applier goes on with the next batch.

use std::sync::Arc;
use std::time::Duration;

use crate::support::{LIMITS, evil, notes, schema, without};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use braid_spec::model::{Grants, PluginLimits};
use braid_wasm_host::{Plugin, PluginError};

/// Marks records of a batch, and expects exactly those to fail, each for a reason that contains `reason`.
fn check(crime: &str, rows: usize, marked: &[usize], reason: &str) {
    let plugin = evil(crime, LIMITS).expect("it loads: its crime is committed later");
    let mut applier = plugin.applier(&schema()).expect("it describes its output");
    let batch = notes(rows, marked);
    let applied = applier.apply(&batch).expect("the schema is that of the batch");
    assert_eq!(applied.batch, without(&batch, marked), "{crime}: other records pass unchanged");
    let failed: Vec<usize> = applied.failed.iter().map(|failed| failed.row).collect();
    assert_eq!(failed, marked, "{crime}: only the marked records fail");
    for failed in &applied.failed {
        assert!(failed.reason.contains(reason), "{crime}: {}", failed.reason);
    }
    let innocent = notes(100, &[]);
    let applied = applier.apply(&innocent).expect("the schema is that of the batch");
    assert_eq!((applied.batch, applied.failed.len()), (innocent, 0), "{crime}: it goes on");
}

#[test]
fn an_endless_loop_costs_its_record() {
    check("endless_loop", 8192, &[5000], "apply: ran longer than its limit of 100ms");
}

#[test]
fn a_memory_bomb_costs_its_record() {
    check("memory_bomb", 1000, &[0, 999], "bytes of memory; its limit is 67108864");
}

#[test]
fn a_trap_costs_its_record() {
    check("trap", 8192, &[0, 1, 4095, 4096, 8191], "apply: panicked");
}

#[test]
fn a_trap_says_where() {
    check("trap", 1, &[0], "trap::explode");
}

#[test]
fn a_refusal_costs_its_record_and_keeps_its_reason() {
    check("refusal", 1000, &[17, 18], "refused 1 rows");
}

#[test]
fn deep_recursion_costs_its_record() {
    check("deep_recursion", 1000, &[500], "used more than its 1048576 bytes of stack");
}

#[test]
fn giant_output_costs_its_record() {
    check("giant_output", 100, &[50], "returned more than its limit of 16777216 bytes");
}

#[test]
fn offsets_outside_of_the_values_cost_their_record() {
    check("bad_offsets", 1000, &[999], "`note` with offsets that do not ascend from 0 to 4");
}

#[test]
fn text_that_is_none_costs_its_record() {
    check("bad_text", 1000, &[3], "`note` with Invalid argument error");
}

#[test]
fn more_rows_than_values_cost_their_record() {
    check("short_column", 1000, &[3], "`id` with 8 bytes of values, and should have 34359738360");
}

#[test]
fn other_columns_than_described_cost_their_record() {
    check("wrong_schema", 1000, &[3], "returned 3 columns, and had described 2");
}

#[test]
fn a_plugin_that_always_loops_is_given_up_soon() {
    let limits = PluginLimits { time: Duration::from_millis(10), ..LIMITS };
    let plugin = evil("endless_loop", limits).expect("it loads");
    let mut applier = plugin.applier(&schema()).expect("it describes its output");
    let all: Vec<usize> = (0..1024).collect();
    let applied = applier.apply(&notes(1024, &all)).expect("the schema is that of the batch");
    assert_eq!(applied.batch.num_rows(), 0);
    let failed: Vec<usize> = applied.failed.iter().map(|failed| failed.row).collect();
    assert_eq!(failed, all, "every record is accounted for, in order");
    let last = &applied.failed[1023].reason;
    assert!(last.starts_with("512 records failed together, the batch's time"), "{last}");
}

#[test]
fn a_plugin_that_always_loops_is_given_up_soon_in_pieces_too() {
    let limits = PluginLimits { time: Duration::from_millis(10), memory_bytes: 2 << 20, ..LIMITS };
    let plugin = evil("endless_loop", limits).expect("it loads");
    let mut applier = plugin.applier(&schema()).expect("it describes its output");
    let all: Vec<usize> = (0..2_000_000).collect();
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..all.len() as i64));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(all.iter().map(|_| "evil")));
    let batch = RecordBatch::try_new(schema(), vec![ids, texts]).expect("columns of the schema");
    let applied = applier.apply(&batch).expect("the schema is that of the batch");
    assert_eq!(applied.batch.num_rows(), 0);
    assert!(applied.failed.iter().map(|failed| failed.row).eq(all), "every record, in order");
}

/// What a guest does after a crime, it does not do to the next record.
#[test]
fn an_instance_that_is_not_fresh_does_not_cost_an_innocent_record() {
    let bytes = crate::support::handmade::handmade("realloc_odd");
    let plugin = Plugin::from_bytes("p", &bytes, LIMITS, &Grants::default(), None).expect("it loads");
    let mut applier = plugin.applier(&schema()).expect("it describes its output");
    for _ in 0..3 {
        for batch in [notes(1, &[0]), notes(1, &[])] {
            let applied = applier.apply(&batch).expect("the schema is that of the batch");
            assert_eq!((applied.batch, applied.failed), (batch, vec![]));
        }
    }
}

#[test]
fn every_record_that_traps_is_found_however_many_there_are() {
    let all: Vec<usize> = (0..512).collect();
    check("trap", 512, &all, "apply: panicked");
}

#[test]
fn an_import_is_refused_by_name() {
    let error = evil("forbidden_import", LIMITS).expect_err("it imports a clock");
    assert_eq!(
        error.to_string(),
        "plugin `forbidden_import` imports `evil:watch/clock`, which cannot be granted: what can be is `braid:host/log@0.1.0`, `braid:host/env@0.1.0`, and for sinks `braid:host/clock@0.1.0`, `braid:host/random@0.1.0`, `braid:sink/http@0.1.0`"
    );
}

#[test]
fn another_version_is_refused_with_both_names() {
    let error = evil("other_version", LIMITS).expect_err("it speaks 0.0.9");
    assert_eq!(
        error.to_string(),
        "plugin `other_version` exports `braid:plugin/transforms@0.0.9`; this host speaks `braid:plugin/transforms@0.1.0`, `braid:scalar/scalars@0.1.0`, `braid:aggregate/aggregates@0.1.0`, `braid:keyed/keyed@0.1.0`, `braid:sink/sinks@0.1.0`"
    );
}

#[test]
fn what_is_too_large_is_not_compiled() {
    let limits = PluginLimits { module_bytes: 1000, ..LIMITS };
    let error = evil("trap", limits).expect_err("it has more than a thousand bytes");
    assert!(matches!(error, PluginError::TooLarge { bytes_max: 1000, .. }), "{error}");
}

#[test]
fn what_is_no_component_is_refused() {
    let refused = |bytes: &[u8]| {
        let error = Plugin::from_bytes("p", bytes, LIMITS, &Grants::default(), None).expect_err("it is no component");
        error.to_string()
    };
    assert_eq!(refused(b""), "plugin `p` is not a component: it is not WebAssembly");
    assert_eq!(refused(b"#!/bin/sh\n"), "plugin `p` is not a component: it is not WebAssembly");
    assert_eq!(
        refused(b"\0asm\x01\0\0\0"),
        "plugin `p` is not a component: it is a core module: build it with `plugins/build`"
    );
    assert!(refused(b"\0asm\x0d\0\x01\0garbage").starts_with("plugin `p` does not compile: "));
    assert_eq!(
        refused(b"\0asm\x0d\0\x01\0"),
        "plugin `p` exports nothing; this host speaks `braid:plugin/transforms@0.1.0`, `braid:scalar/scalars@0.1.0`, `braid:aggregate/aggregates@0.1.0`, `braid:keyed/keyed@0.1.0`, `braid:sink/sinks@0.1.0`"
    );
}

#[test]
fn a_stack_that_no_thread_has_is_refused() {
    let limits = PluginLimits { stack_bytes: 64 << 20, ..LIMITS };
    let error = evil("trap", limits).expect_err("threads have two MiB");
    assert!(matches!(error, PluginError::Limits { .. }), "{error}");
}
