//! Plugins with state through the host: what they are told of keys, what is believed of what they return, and that a row on
//! which they fail costs that row.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Int64Type, SchemaRef};
use braid_kernel::JobError;
use braid_kernel::keyed::{Entries, FailedRow, KeyedCode, Memory, Outcome, Turn, What};
use braid_wasm_host::{KeyedPlugin, Plugin, PluginError};

use crate::kept::{load, rebuilt};
use crate::support::{LIMITS, evil};

/// One value a key and variable, and nothing else.
struct Values<'a> {
    program: &'a KeyedPlugin,
    rows: RecordBatch,
    /// Per row its key.
    keys: Vec<u32>,
    names: RecordBatch,
    kept: BTreeMap<u32, i64>,
    under_way: Range<u32>,
    out: Vec<RecordBatch>,
    turns: usize,
}

impl Memory for Values<'_> {
    fn turn(&mut self, rows: Range<usize>) -> Result<Turn, JobError> {
        self.turns += 1;
        let keys = self.keys[rows.start]..self.keys[rows.end - 1] + 1;
        self.under_way = keys.clone();
        let kept: Vec<(u32, i64)> =
            self.kept.range(keys.clone()).map(|(key, value)| (*key - keys.start, *value)).collect();
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(kept.iter().map(|(_, value)| *value)));
        let columns = self.program.program().variables[0].columns.clone();
        Ok(Turn {
            what: What::Input,
            keys: self.names.slice(keys.start as usize, keys.len()),
            rows: Entries {
                keys: self.keys[rows.clone()].iter().map(|key| key - keys.start).collect(),
                rows: self.rows.slice(rows.start, rows.len()),
            },
            states: vec![Entries {
                keys: kept.iter().map(|(key, _)| *key).collect(),
                rows: RecordBatch::try_new(columns, vec![values]).expect("one column"),
            }],
            now: None,
        })
    }

    fn settle(&mut self, outcome: Outcome) -> Result<(), JobError> {
        let changes = &outcome.states[0];
        let values = changes.entries.rows.column(0).as_primitive::<Int64Type>();
        for (key, value) in changes.entries.keys.iter().zip(values.values()) {
            self.kept.insert(self.under_way.start + key, *value);
        }
        self.out.push(outcome.rows);
        Ok(())
    }
}

fn words(words: &[&str]) -> RecordBatch {
    let words: ArrayRef = Arc::new(StringArray::from_iter_values(words));
    RecordBatch::try_from_iter_with_nullable([("word", words, true)]).expect("one column")
}

fn described(plugin: &Plugin, schema: SchemaRef) -> Result<KeyedPlugin, PluginError> {
    plugin.keyed(&schema, &["word".to_owned()], None)
}

#[test]
fn the_kept_components_are_what_their_sources_build_to() {
    rebuilt("running_count");
    rebuilt("visits");
}

#[test]
fn counts_rise_over_turns_of_any_size() {
    let names = ["braid", "delta", "river"];
    let plugin = described(&load("running_count"), words(&names).schema()).expect("there is a column `word`");
    let keys: Vec<u32> = (0..30_000).map(|row| row / 10_000).collect();
    let rows = take_record_batch(&words(&names), &UInt32Array::from(keys.clone())).expect("rows");
    let mut memory = Values {
        program: &plugin,
        rows,
        keys,
        names: words(&names),
        kept: BTreeMap::from([(1, 5)]),
        under_way: 0..0,
        out: vec![],
        turns: 0,
    };
    let failed = plugin.start().expect("it starts").run(30_000, &mut memory).expect("it runs");
    assert_eq!(failed, []);
    assert_eq!(memory.kept, BTreeMap::from([(0, 10_000), (1, 10_005), (2, 10_000)]));
    assert_eq!(memory.out.iter().map(RecordBatch::num_rows).sum::<usize>(), 30_000);
    assert!(memory.turns > 3, "a turn has a bound");
}

/// Holds nothing: clicks of one visitor, of which some have no page.
struct Clicks<'a>(&'a KeyedPlugin, RecordBatch, usize);

impl Memory for Clicks<'_> {
    fn turn(&mut self, rows: Range<usize>) -> Result<Turn, JobError> {
        let variables = self.0.program().variables.iter();
        let none = |columns: &SchemaRef| Entries { keys: vec![], rows: RecordBatch::new_empty(columns.clone()) };
        Ok(Turn {
            what: What::Input,
            keys: words(&["ada"]),
            rows: Entries { keys: vec![0; rows.len()], rows: self.1.slice(rows.start, rows.len()) },
            states: variables.map(|variable| none(&variable.columns)).collect(),
            now: None,
        })
    }

    fn settle(&mut self, outcome: Outcome) -> Result<(), JobError> {
        assert_eq!(outcome.states.len(), 4);
        self.2 += outcome.states[2].entries.keys.len();
        Ok(())
    }
}

#[test]
fn only_rows_at_fault_fail() {
    let pages: Vec<Option<&str>> = (0..500).map(|row| (row % 100 != 7).then_some("home")).collect();
    let columns: [(&str, ArrayRef); 3] = [
        ("word", Arc::new(StringArray::from_iter_values(pages.iter().map(|_| "ada")))),
        ("at", Arc::new(TimestampMicrosecondArray::from_iter_values((0..500).map(|row| row * 1_000_000)))),
        ("page", Arc::new(StringArray::from_iter(&pages))),
    ];
    let rows = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)));
    let rows = rows.expect("columns of one length");
    let plugin = described(&load("visits"), rows.schema()).expect("its columns are there");
    let mut memory = Clicks(&plugin, rows, 0);
    let failed = plugin.start().expect("it starts").run(500, &mut memory).expect("it runs");
    let reason = || "a click without a page".to_owned();
    let at_fault: Vec<FailedRow> = (0..5).map(|n| FailedRow { row: n * 100 + 7, reason: reason() }).collect();
    assert_eq!(failed, at_fault);
    assert_eq!(memory.2, 495, "the others were taken");
}

#[test]
fn every_crime_of_a_row_costs_that_row() {
    let reasons = [
        ("panic", "run: panicked: no row of this kind (evil/src/lib.rs:"),
        ("loop", "run: ran longer than its limit of 100ms (`time`)"),
        ("recursion", "run: used more than its 1048576 bytes of stack (`stack`)"),
        ("memory", "its limit is 67108864 (`memory`)"),
        ("error", "not this row"),
    ];
    let rows = 100;
    let crimes = (0..rows).map(|row| (row % 20 == 3).then(|| reasons[row / 20].0));
    let columns: [(&str, ArrayRef); 2] = [
        ("word", Arc::new(StringArray::from_iter_values((0..rows).map(|_| "ada")))),
        ("crime", Arc::new(StringArray::from_iter(crimes))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)));
    let batch = batch.expect("columns of one length");
    let plugin = described(&evil("keyed_crimes", LIMITS).expect("it loads"), batch.schema()).expect("its columns");
    let mut memory = Values {
        program: &plugin,
        rows: batch,
        keys: vec![0; rows],
        names: words(&["ada"]),
        kept: BTreeMap::new(),
        under_way: 0..0,
        out: vec![],
        turns: 0,
    };
    let failed = plugin.start().expect("it starts").run(rows, &mut memory).expect("it runs");
    assert_eq!(failed.iter().map(|failed| failed.row).collect::<Vec<_>>(), [3, 23, 43, 63, 83]);
    for (failed, (crime, reason)) in failed.iter().zip(reasons) {
        assert!(failed.reason.contains(reason), "{crime}: {}", failed.reason);
    }
    assert_eq!(memory.kept, BTreeMap::from([(0, 95)]), "the others were counted");
}

#[test]
fn a_plugin_has_its_place() {
    let batch = words(&["river"]);
    let error = load("running_count").describe(batch.schema_ref()).expect_err("it keeps state");
    assert_eq!(
        error.to_string(),
        "plugin `running_count` keeps state: it stands in `transform_with_state`, not in `apply`"
    );
    let error = described(&load("anonymise"), batch.schema()).expect_err("it keeps none");
    assert_eq!(
        error.to_string(),
        "plugin `anonymise` gives rows out: it stands in `apply`, not in `transform_with_state`"
    );
    let error = described(&load("visits"), batch.schema()).expect_err("there is no time");
    assert_eq!(error.to_string(), "plugin `visits`: needs a column `at` of type timestamp; there are: word");
}
