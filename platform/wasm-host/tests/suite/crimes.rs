//! Every crime that a guest commits at work, one after the other: that it is stopped, why, that only its record is lost, and
//! how long stopping took. `cargo test -p braid-wasm-host crimes -- --nocapture` shows the table.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::RecordBatch;
use braid_spec::model::Grants;
use braid_wasm_host::{Plugin, PluginError};

use crate::support::handmade::{handmade, names};
use crate::support::{LIMITS, cache, evil_granted, notes, notes_of, schema, thread_time, without};

/// How much later than its limit a guest may be stopped in a test: tests share their machine.
const LATE: Duration = Duration::from_millis(250);

/// Crimes by hand, and what is said of each.
const BY_HAND: [(&str, &str); 22] = [
    ("columns_outside", "apply: "),
    ("describe_loop", "describe: ran longer than its limit of 100ms (`time`) (in forever"),
    ("error_outside", "out of bounds"),
    ("memory_fill", "apply: ran longer than its limit of 100ms (`time`)"),
    ("memory_start", "start: asked for 2147483648 bytes of memory; its limit is 67108864 (`memory`)"),
    ("name_no_text", "invalid utf-8"),
    ("post_loop", "apply: ran longer than its limit of 100ms (`time`) (in forever < done)"),
    ("realloc_end", "beyond end of memory"),
    ("realloc_loop", "apply: ran longer than its limit of 100ms (`time`) (in forever < realloc)"),
    ("realloc_odd", ""),
    ("realloc_outside", "beyond end of memory"),
    ("realloc_same", "apply: "),
    ("result_neither", "apply: "),
    ("result_odd", "not aligned"),
    ("result_outside", "out of bounds"),
    ("same_bytes_often", "returned more than its limit of 16777216 bytes (`output`)"),
    ("start_loop", "start: ran longer than its limit of 100ms (`time`) (in forever)"),
    ("table_bomb", "apply: asked for a table of 110000 elements; its limit is 100000 (`table`) (in marked < apply)"),
    ("table_start", "start: asked for a table of 1000000 elements; its limit is 100000 (`table`)"),
    ("type_unknown", "apply: "),
    ("values_outside", "apply: "),
    ("values_wrap", "apply: "),
];

/// Crimes in Rust, and what is said of each.
const IN_RUST: [(&str, &str); 15] = [
    ("bad_offsets", "returned column `note` with offsets that do not ascend from 0 to 4"),
    ("bad_text", "returned column `note` with Invalid argument error"),
    ("big_decimal", "too large to store in a Decimal128 of precision 5"),
    ("deep_recursion", "used more than its 1048576 bytes of stack (`stack`) (in deep_recursion::descend)"),
    ("endless_loop", "apply: ran longer than its limit of 100ms (`time`) (in "),
    ("giant_output", "returned more than its limit of 16777216 bytes (`output`)"),
    ("memory_bomb", "bytes of memory; its limit is 67108864 (`memory`) (in "),
    ("no_offsets", "returned column `note` with no offsets, which is wrong for string"),
    ("realloc_in_host_call", "apply: ran longer than its limit of 100ms (`time`) (in "),
    ("refusal", "refused 1 rows"),
    ("short_column", "returned column `id` with 8 bytes of values, and should have 34359738360"),
    ("short_validity", "returned column `id` with 0 bytes of validity, and should have 1"),
    ("trap", "apply: panicked: 1 rows are too many (evil/examples/trap.rs:7) (in trap::explode)"),
    ("wrong_schema", "apply: returned 3 columns, and had described 2"),
    ("log_flood", ""),
];

/// What it cannot do without.
fn grants(crime: &str) -> Grants {
    let env: &[_] = if crime == "realloc_in_host_call" { &[("REGION".to_owned(), "eu".to_owned())] } else { &[] };
    Grants { env: BTreeMap::from_iter(env.iter().cloned()), log: crime == "log_flood", ..Grants::default() }
}

/// What a test gave, of what came out.
fn given(batch: &RecordBatch) -> RecordBatch {
    batch.project(&[0, 1]).expect("what came in goes out, and more")
}

/// Commits a crime: what was said of it, and how long that took.
fn commit(crime: &str, plugin: &Plugin, mark: &str) -> (String, Duration) {
    let mut applier = match plugin.applier(&schema()) {
        Ok(applier) => applier,
        // It does not even come to say what it does.
        Err(error) => {
            assert!(matches!(error, PluginError::Describe { .. }), "{crime}: {error}");
            let began = thread_time();
            let error = plugin.applier(&schema()).err().expect("nor the second time").to_string();
            return (error, thread_time() - began);
        }
    };
    let (alone, innocent) = (notes_of(1, &[0], mark), notes(100, &[]));
    let began = thread_time();
    let applied = applier.apply(&alone).expect("the schema is that of the batch");
    let took = thread_time() - began;
    let reason = applied.failed.first().map(|failed| failed.reason.clone()).unwrap_or_default();
    let fails = !reason.is_empty();
    let many = notes_of(40, &[20], mark);
    for _ in 0..2 {
        let applied = applier.apply(&many).expect("the schema is that of the batch");
        let rows: Vec<usize> = applied.failed.iter().map(|failed| failed.row).collect();
        let expected = if fails { without(&many, &[20]) } else { many.clone() };
        assert_eq!(rows, if fails { vec![20] } else { vec![] }, "{crime}: only the marked record fails");
        assert_eq!(given(&applied.batch), expected, "{crime}: others pass unchanged");
        for single in [&innocent, &notes(1, &[])] {
            let applied = applier.apply(single).expect("the schema is that of the batch");
            assert_eq!((given(&applied.batch), applied.failed), (single.clone(), vec![]), "{crime}: it goes on");
        }
    }
    (reason, took)
}

#[test]
fn every_crime_is_stopped_in_time_and_costs_its_record() {
    let by_hand: Vec<String> = BY_HAND.iter().map(|(crime, _)| (*crime).to_owned()).collect();
    assert_eq!(by_hand, names(), "every crime by hand is here");
    let mut table = vec![];
    for (crime, expected) in BY_HAND {
        let bytes = handmade(crime);
        let plugin = Plugin::from_bytes(crime, &bytes, LIMITS, &Grants::default(), Some(&cache())).expect(crime);
        table.push((crime, expected, commit(crime, &plugin, "evil.")));
    }
    for (crime, expected) in IN_RUST {
        let plugin = evil_granted(crime, LIMITS, &grants(crime)).expect(crime);
        table.push((crime, expected, commit(crime, &plugin, "evil")));
    }
    println!("{:<22}{:>12}{:>14}  reason", "crime", "stopped ms", "late by ms");
    for (crime, _, (reason, took)) in &table {
        let late = took.saturating_sub(LIMITS.time);
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        println!("{crime:<22}{:>12.2}{:>14.2}  {reason}", milliseconds(*took), milliseconds(late));
    }
    for (crime, expected, (reason, took)) in &table {
        assert!(reason.contains(expected), "{crime}: {reason}");
        assert!(*took < LIMITS.time + LATE, "{crime}: {took:?}");
    }
}
