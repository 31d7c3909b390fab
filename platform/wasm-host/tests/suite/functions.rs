//! Plugins that SQL calls, through the host: the kept components are what their sources build to, and do what those say.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use braid_kernel::functions::{AggregateCode, ScalarCode};
use braid_kernel::keyed::FailedRow;
use braid_wasm_host::{FunctionPlugin, Plugin};
use proptest::prelude::*;

use crate::kept::{load, rebuilt};
use crate::support::{LIMITS, evil};

fn scalar(plugin: &Plugin) -> impl ScalarCode + use<> {
    match plugin.function() {
        Some(FunctionPlugin::Scalar(code)) => code,
        other => panic!("not a function: {other:?}"),
    }
}

fn aggregate(plugin: &Plugin) -> impl AggregateCode + use<> {
    match plugin.function() {
        Some(FunctionPlugin::Aggregate(code)) => code,
        other => panic!("not an aggregate: {other:?}"),
    }
}

fn hosts(code: &impl ScalarCode, urls: &[Option<&str>]) -> Vec<Option<String>> {
    let urls: ArrayRef = Arc::new(StringArray::from_iter(urls));
    let rows = urls.len();
    let (answers, failed) = code.call(&[urls], rows, &DataType::Utf8).expect("it answers");
    assert_eq!(failed, []);
    answers.as_string::<i32>().iter().map(|host| host.map(str::to_owned)).collect()
}

#[test]
fn a_function_answers_each_row() {
    for plugin in [load("host_of"), rebuilt("host_of")] {
        let code = scalar(&plugin);
        assert_eq!(code.describe(&[DataType::Utf8]), Ok(DataType::Utf8));
        let urls = [Some("https://a.example/x"), None, Some("nothing"), Some("ftp://b@[2001:db8::1]:21")];
        let found = hosts(&code, &urls);
        assert_eq!(found, [Some("a.example".into()), None, None, Some("2001:db8::1".into())]);
        assert_eq!(hosts(&code, &[]), Vec::<Option<String>>::new());
        // A slice of a column is not the column.
        let column: ArrayRef = Arc::new(StringArray::from_iter(urls));
        let (answers, _) = code.call(&[column.slice(3, 1)], 1, &DataType::Utf8).expect("it answers");
        assert_eq!(answers.as_string::<i32>().value(0), "2001:db8::1");
    }
}

#[test]
fn arguments_that_will_not_do_are_refused_by_both_sides() {
    let code = scalar(&load("host_of"));
    assert_eq!(code.describe(&[DataType::Int32]), Err("takes (string), and was given (int)".into()));
    let list = DataType::new_list(DataType::Utf8, true);
    assert!(code.describe(&[list]).is_err_and(|reason| reason.contains("which plugins cannot be given")));
}

/// Values and weights.
fn rows(rows: &[(f64, i64)]) -> [ArrayRef; 2] {
    let (values, weights) = rows.iter().copied().unzip::<_, _, Vec<_>, Vec<_>>();
    [Arc::new(Float64Array::from(values)), Arc::new(Int64Array::from(weights))]
}

const TYPES: [DataType; 2] = [DataType::Float64, DataType::Int64];

#[test]
fn a_row_that_an_aggregate_refuses_is_in_no_group() {
    let code = aggregate(&load("weighted_mean"));
    let summary = code.describe(&TYPES).expect("these are its types");
    let zero = concat_batches(&summary.state, [&summary.zero, &summary.zero]).expect("states");
    let given = [(1.0, 1), (1e300, 1), (3.0, 1), (f64::NAN, 1), (10.0, 2)];
    let (states, failed) = code.accumulate(&zero, &[0, 0, 0, 1, 1], &rows(&given)).expect("it goes on");
    assert_eq!(failed.iter().map(|failed| failed.row).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(failed[0].reason, "1e300 is too large for a mean to six digits");
    let (means, failed) = code.finish(&TYPES, &states, &summary.answer).expect("it answers");
    assert_eq!((means.as_primitive::<Float64Type>().values().to_vec(), failed), (vec![2.0, 10.0], vec![]));
}

#[test]
fn a_merge_that_fails_is_an_error_that_names_the_plugin() {
    let code = aggregate(&load("weighted_mean"));
    let summary = code.describe(&TYPES).expect("these are its types");
    let full = RecordBatch::try_new(
        summary.state.clone(),
        vec![Arc::new(Int64Array::from(vec![i64::MAX])), Arc::new(Int64Array::from(vec![1]))],
    )
    .expect("a state");
    let error = code.merge(&full, &[0], &full).expect_err("the sum is too large");
    assert_eq!(error.to_string(), "plugin `weighted_mean`: the sum is too large");
}

/// Crimes by name, and what is said of each.
const CRIMES: [(&str, &str); 5] = [
    ("panic", "panicked: no row of this kind (evil/src/lib.rs:"),
    ("loop", "ran longer than its limit of 100ms (`time`)"),
    ("recursion", "used more than its 1048576 bytes of stack (`stack`)"),
    ("memory", "its limit is 67108864 (`memory`)"),
    ("error", "not this row"),
];

/// Ninety-five innocent rows, and one of each crime.
fn with_crimes() -> (ArrayRef, Vec<usize>) {
    let crimes = (0..100).map(|row| if row % 20 == 3 { CRIMES[row / 20].0 } else { "none" });
    (Arc::new(StringArray::from_iter_values(crimes)), (0..5).map(|n| n * 20 + 3).collect())
}

fn are_those(failed: &[FailedRow], rows: &[usize]) {
    assert_eq!(failed.iter().map(|failed| failed.row).collect::<Vec<_>>(), rows);
    for (failed, (crime, reason)) in failed.iter().zip(CRIMES) {
        assert!(failed.reason.contains(reason), "{crime}: {}", failed.reason);
    }
}

#[test]
fn every_crime_of_a_function_costs_its_row() {
    let code = scalar(&evil("function_crimes", LIMITS).expect("it loads"));
    let answer = code.describe(&[DataType::Utf8]).expect("it takes text");
    let (column, at_fault) = with_crimes();
    let (answers, failed) = code.call(&[column], 100, &answer).expect("it goes on");
    are_those(&failed, &at_fault);
    assert_eq!(answers.null_count(), 5);
    assert!(answers.as_primitive::<Int64Type>().iter().flatten().all(|length| length == 4));
}

#[test]
fn every_crime_of_an_aggregate_costs_its_row() {
    let code = aggregate(&evil("aggregate_crimes", LIMITS).expect("it loads"));
    let types = [DataType::Utf8];
    let summary = code.describe(&types).expect("it takes text");
    let (column, at_fault) = with_crimes();
    let (states, failed) = code.accumulate(&summary.zero, &[0; 100], &[column]).expect("it goes on");
    are_those(&failed, &at_fault);
    let (counts, failed) = code.finish(&types, &states, &summary.answer).expect("it answers");
    assert_eq!((counts.as_primitive::<Int64Type>().values().to_vec(), failed), (vec![95], vec![]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// However rows are cut, grouped and merged, the answer has the same bits.
    #[test]
    fn parts_add_up(given in prop::collection::vec((-1e6..1e6, -1000..1000i64, 0..3u32, any::<bool>()), 0..40)) {
        let plugin = load("weighted_mean");
        let code = aggregate(&plugin);
        let summary = code.describe(&TYPES).expect("these are its types");
        let three = || concat_batches(&summary.state, [&summary.zero; 3]).expect("states");
        let add = |part: Vec<&(f64, i64, u32, bool)>| {
            let groups: Vec<u32> = part.iter().map(|row| row.2).collect();
            let given: Vec<(f64, i64)> = part.iter().map(|row| (row.0, row.1)).collect();
            code.accumulate(&three(), &groups, &rows(&given)).expect("it adds them").0
        };
        let whole = add(given.iter().collect());
        let left = add(given.iter().filter(|row| row.3).collect());
        let right = add(given.iter().filter(|row| !row.3).collect());
        prop_assert_eq!(&code.merge(&right, &[0, 1, 2], &left).expect("it merges"), &whole);
        prop_assert_eq!(&code.merge(&left, &[0, 1, 2], &right).expect("it merges"), &whole);
    }
}
