//! The example plugin through the host: the kept component is what its source builds to, and does what its source says.

use std::net::IpAddr;
use std::sync::Arc;

use crate::kept::load;
use crate::support::{LIMITS, cache, notes, plugins, schema};
use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array,
    Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, TimestampMillisecondArray,
};
use arrow::compute::concat_batches;
use braid_spec::model::Grants;
use braid_wasm_host::{Applier, Plugin, PluginError};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::ValueTree;

fn kept() -> Plugin {
    load("anonymise")
}

fn applier(plugin: &Plugin, batch: &RecordBatch) -> Applier {
    plugin.applier(batch.schema_ref()).expect("there is a column `ip`")
}

fn apply(plugin: &Plugin, batch: &RecordBatch) -> RecordBatch {
    let applied = applier(plugin, batch).apply(batch).expect("the schema is that of the batch");
    assert_eq!(applied.failed, []);
    applied.batch
}

/// A column of every type, and the address.
fn rows(addresses: &[Option<String>]) -> RecordBatch {
    let count = addresses.len() as i64;
    let number = |row: i64| (row % 3 != 1).then_some(row);
    let numbers = || (0..count).map(number);
    let decimals = Decimal128Array::from_iter(numbers().map(|n| n.map(i128::from)));
    let texts = || numbers().map(|n| n.map(|n| format!("{n} µ")));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("row", Arc::new(Int64Array::from_iter_values(0..count))),
        ("boolean", Arc::new(BooleanArray::from_iter(numbers().map(|n| n.map(|n| n % 2 == 0))))),
        ("int", Arc::new(Int32Array::from_iter(numbers().map(|n| n.map(|n| n as i32))))),
        ("float", Arc::new(Float32Array::from_iter(numbers().map(|n| n.map(|n| n as f32))))),
        ("double", Arc::new(Float64Array::from_iter(numbers().map(|n| n.map(|n| n as f64))))),
        ("ip", Arc::new(StringArray::from_iter(addresses))),
        ("text", Arc::new(StringArray::from_iter(texts()))),
        ("binary", Arc::new(BinaryArray::from_iter(texts()))),
        ("date", Arc::new(Date32Array::from_iter(numbers().map(|n| n.map(|n| n as i32))))),
        ("millis", Arc::new(TimestampMillisecondArray::from_iter(numbers()))),
        ("micros", Arc::new(TimestampMicrosecondArray::from_iter(numbers()))),
        ("decimal", Arc::new(decimals.with_precision_and_scale(20, 3).expect("a possible type"))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
        .expect("columns of one length")
}

/// What the plugin's page says, in plain Rust.
fn oracle(batch: &RecordBatch) -> RecordBatch {
    let ip = batch.schema().index_of("ip").expect("there is one");
    let addresses = batch.column(ip).as_any().downcast_ref::<StringArray>().expect("text");
    let parsed = addresses.iter().map(|text| text.map(|text| text.parse::<IpAddr>().ok()));
    let networks = parsed.map(|address| match address {
        Some(Some(IpAddr::V4(v4))) => {
            let [a, b, c, _] = v4.octets();
            Some(Some(format!("{a}.{b}.{c}.0")))
        }
        Some(Some(IpAddr::V6(v6))) => {
            let [a, b, c, ..] = v6.segments();
            Some(Some(std::net::Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).to_string()))
        }
        Some(None) => None,
        None => Some(None),
    });
    let networks: Vec<Option<Option<String>>> = networks.collect();
    let mut columns = batch.columns().to_vec();
    columns[ip] = Arc::new(StringArray::from_iter(networks.iter().map(|n| n.clone().flatten())));
    let keep = BooleanArray::from_iter(networks.iter().map(|network| Some(network.is_some())));
    let changed = RecordBatch::try_new(batch.schema(), columns).expect("columns of one length");
    arrow::compute::filter_record_batch(&changed, &keep).expect("as many marks as rows")
}

fn address() -> impl Strategy<Value = Option<String>> {
    option::weighted(
        0.9,
        prop_oneof![
            6 => any::<[u8; 4]>().prop_map(|octets| std::net::Ipv4Addr::from(octets).to_string()),
            2 => any::<[u16; 8]>().prop_map(|s| std::net::Ipv6Addr::from(s).to_string()),
            1 => "[0-9]{1,4}(\\.[0-9]{0,4}){2,4}",
            1 => "\\PC{0,12}",
        ],
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_component_does_what_its_source_says(addresses in vec(address(), 0..200)) {
        let batch = rows(&addresses);
        prop_assert_eq!(apply(&kept(), &batch), oracle(&batch));
    }

    #[test]
    fn a_batch_may_be_cut_anywhere(addresses in vec(address(), 1..200), cuts in vec(0usize..200, 0..6)) {
        let batch = rows(&addresses);
        let plugin = kept();
        let mut applier = applier(&plugin, &batch);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % addresses.len()).collect();
        cuts.extend([0, addresses.len()]);
        cuts.sort_unstable();
        let pieces: Vec<RecordBatch> = cuts.windows(2).map(|cut| {
            let piece = batch.slice(cut[0], cut[1] - cut[0]);
            applier.apply(&piece).expect("the schema is that of the batch").batch
        }).collect();
        let joined = concat_batches(&pieces[0].schema(), &pieces).expect("one schema");
        prop_assert_eq!(joined, oracle(&batch));
    }
}

#[test]
fn the_kept_component_does_what_its_source_does() {
    let rebuilt = crate::kept::rebuilt("anonymise");
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let addresses = vec(address(), 5000).new_tree(&mut runner).expect("a strategy").current();
    let batch = rows(&addresses);
    assert_eq!(apply(&rebuilt, &batch), apply(&kept(), &batch), "whichever compiler it was");
    assert_eq!(apply(&rebuilt, &batch), oracle(&batch));
}

/// The SDK, its page's example and the plugin, as their authors test them: natively.
#[test]
fn the_guests_own_tests_pass() {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["test", "--locked", "--quiet", "-p", "braid-guest", "-p", "braid-anonymise"])
        .current_dir(plugins())
        .env("CARGO_TARGET_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/guests"))
        .output()
        .expect("cargo can be run");
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{}\n{}", said[0], said[1]);
    assert!(said[0].contains("3 passed"), "the plugin has three tests: {}", said[0]);
}

#[test]
fn what_does_not_fit_its_memory_goes_over_in_pieces() {
    let limits = braid_spec::model::PluginLimits { memory_bytes: 4 << 20, ..LIMITS };
    let path = plugins().join("anonymise/anonymise.wasm");
    let plugin = Plugin::load("small", &path, limits, &Grants::default(), Some(&cache())).expect("it loads");
    let addresses: Vec<_> = (0..100_000).map(|n| Some(format!("10.0.{}.7", n % 250))).collect();
    let batch = rows(&addresses);
    assert_eq!(apply(&plugin, &batch), oracle(&batch));
}

#[test]
fn a_column_that_is_missing_or_cannot_cross_is_named() {
    let missing = kept().describe(&schema()).expect_err("there is no address");
    assert_eq!(missing.to_string(), "plugin `anonymise`: needs a column `ip` of type string; there are: id, note");
    let lists = arrow::datatypes::Schema::new(vec![arrow::datatypes::Field::new(
        "ip",
        arrow::datatypes::DataType::LargeUtf8,
        true,
    )]);
    let error = kept().describe(&lists).expect_err("large text does not cross");
    assert!(matches!(&error, PluginError::Type { column, .. } if column == "ip"), "{error}");
}

#[test]
fn a_batch_of_another_schema_is_refused() {
    let batch = rows(&[Some("10.0.0.1".into())]);
    let mut applier = applier(&kept(), &batch);
    let error = applier.apply(&notes(1, &[])).expect_err("it has other columns");
    assert!(matches!(error, PluginError::Schema { .. }), "{error}");
}

#[test]
fn several_work_side_by_side() {
    let plugin = kept();
    let addresses: Vec<_> = (0..2000).map(|n| Some(format!("10.0.{}.7", n % 250))).collect();
    let batch = rows(&addresses);
    let expected = oracle(&batch);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(apply(&plugin, &batch), expected));
        }
    });
}

#[test]
fn cached_code_is_used_and_damage_to_it_is_noticed() {
    let cache = tempfile::tempdir().expect("a directory");
    let path = plugins().join("anonymise/anonymise.wasm");
    let load = || Plugin::load("anonymise", &path, LIMITS, &Grants::default(), Some(cache.path())).expect("it loads");
    let batch = rows(&[Some("10.0.0.1".into()), None]);
    let files = || -> Vec<_> {
        let files = std::fs::read_dir(cache.path()).expect("the cache is there");
        files.map(|file| file.expect("a file").path()).collect()
    };
    assert_eq!(apply(&load(), &batch), oracle(&batch));
    let [file] = &files()[..] else {
        panic!("one file for one component: {:?}", files());
    };
    let whole = std::fs::read(file).expect("compiled code");
    assert_eq!(apply(&load(), &batch), oracle(&batch));
    for damaged in [&whole[..whole.len() / 2], &whole[..10], b""] {
        std::fs::write(file, damaged).expect("the file can be damaged");
        assert_eq!(apply(&load(), &batch), oracle(&batch));
        assert!(std::fs::read(file).expect("a file") == whole, "it is written again, the same");
    }
}
