//! What is imported is what was granted: nothing more, nothing less, and what it does.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use braid_spec::model::{Grants, OutputMode, PluginLimits};
use braid_wasm_host::{Plugin, PluginError};

use crate::support::lines::lines;
use crate::support::{LIMITS, evil, evil_granted, notes, schema};

fn log() -> Grants {
    Grants { log: true, ..Grants::default() }
}

fn env(region: &str) -> Grants {
    Grants { env: BTreeMap::from([("REGION".into(), region.into())]), ..Grants::default() }
}

fn clock_and_more() -> Grants {
    Grants { clock: true, random: true, ..log() }
}

fn refused(name: &str, grants: &Grants) -> String {
    evil_granted(name, LIMITS, grants).expect_err("it asks for more or for less").to_string()
}

#[test]
fn what_was_not_granted_is_named_and_so_is_what_to_write() {
    for (name, import, yaml) in [
        ("log_lines", "log", "log: true"),
        ("env_region", "env", "env: {NAME: value}"),
        ("sink_clock", "log", "log: true"),
    ] {
        let expected = format!(
            "plugin `{name}` imports `braid:host/{import}@0.1.0`, which was not granted: write `grants: {{{yaml}}}`"
        );
        let grants = match name {
            "sink_clock" => Grants { log: false, ..clock_and_more() },
            _ => Grants::default(),
        };
        assert_eq!(refused(name, &grants), expected);
    }
}

#[test]
fn what_is_not_imported_is_not_granted() {
    for (grants, key) in [
        (log(), "log"),
        (env("eu"), "env"),
        (Grants { clock: true, ..Grants::default() }, "clock"),
        (Grants { random: true, ..Grants::default() }, "random"),
    ] {
        let expected =
            format!("plugin `trap` does not import `braid:host/{key}@0.1.0`: take `{key}` out of its `grants`");
        assert_eq!(refused("trap", &grants), expected);
    }
}

#[test]
fn only_a_sink_may_know_the_time_or_roll_dice() {
    for (name, import, instead) in [
        ("knows_the_time", "clock", "give it a column of event time, or `current_timestamp()` in SQL behind it"),
        ("rolls_dice", "random", "have it make a hash of the row"),
    ] {
        let expected = format!(
            "plugin `{name}` imports `braid:host/{import}@0.1.0`, which only a plugin of a sink may have: others are asked \
             again about rows of the past, and must answer as before; {instead}"
        );
        assert_eq!(refused(name, &Grants::default()), expected);
        assert_eq!(refused(name, &clock_and_more()), expected, "whatever is granted");
    }
    let plugin = evil_granted("sink_clock", LIMITS, &clock_and_more()).expect("a sink may");
    let sink = plugin.sink("s", &BTreeMap::new(), &schema(), OutputMode::Append).expect("it has no options");
    let (lines, written) = lines(|| sink.write("h", 1, &[notes(7, &[])]));
    written.expect("it knows the time, and has its lots");
    assert_eq!(lines, ["WARN plugin: 7 rows plugin=\"sink_clock\""]);
}

#[test]
fn what_others_offer_cannot_be_granted() {
    for import in [
        "wasi:cli/environment@0.2.0",
        "wasi:clocks/monotonic-clock@0.2.0",
        "wasi:clocks/wall-clock@0.2.6",
        "wasi:filesystem/preopens@0.2.0",
        "wasi:filesystem/types@0.2.0",
        "wasi:http/outgoing-handler@0.2.0",
        "wasi:io/streams@0.2.0",
        "wasi:random/random@0.2.0",
        "wasi:sockets/tcp@0.2.0",
        "wasi:sockets/udp@0.3.0",
        "braid:host/log@0.0.9",
        "braid:host/files@0.1.0",
        "evil:watch/clock",
    ] {
        let bytes = wat::parse_str(format!("(component (import \"{import}\" (instance)))")).expect("a component");
        let grants = Grants { env: env("eu").env, http: vec!["http://127.0.0.1:1".into()], ..clock_and_more() };
        let error = Plugin::from_bytes("p", &bytes, LIMITS, &grants, None).expect_err("it is not ours to give");
        assert!(matches!(&error, PluginError::Import { import: named, .. } if named == import), "{error}");
    }
    // Of a core module's imports nothing is left over: they are the component's, or there is no component.
    let bytes = wat::parse_str("(component (import \"f\" (func)))").expect("a component");
    let error = Plugin::from_bytes("p", &bytes, LIMITS, &Grants::default(), None).expect_err("a function too");
    assert!(error.to_string().contains("imports `f`, which cannot be granted"), "{error}");
}

#[test]
fn values_are_what_the_deployment_says_and_part_of_what_a_plugin_is() {
    let plugin = evil_granted("env_region", LIMITS, &env("eu")).expect("it may ask");
    let applied = plugin.applier(&schema()).expect("it describes its output").apply(&notes(3, &[1])).expect("a batch");
    assert_eq!(applied.failed, []);
    assert!(applied.batch.column(1).as_string::<i32>().iter().all(|note| note == Some("eu")));
    let other = evil_granted("env_region", LIMITS, &env("us")).expect("it may ask");
    let same = evil_granted("env_region", LIMITS, &env("eu")).expect("it may ask");
    assert_eq!(plugin.digest(), same.digest());
    assert_ne!(plugin.digest(), other.digest(), "views made with the one are not views made with the other");
}

#[test]
fn a_line_of_the_log_is_one_line_under_the_plugins_name() {
    let plugin = evil_granted("log_lines", LIMITS, &log()).expect("it may");
    let mut applier = plugin.applier(&schema()).expect("it describes its output");
    let (lines, applied) = lines(|| applier.apply(&notes(3, &[0, 2])).expect("a batch"));
    assert_eq!(applied.failed, []);
    let one = "INFO plugin: one\\nWARN two plugin=\"log_lines\"";
    assert_eq!(lines, [one, one, "DEBUG plugin: seen plugin=\"log_lines\""]);
}

#[test]
fn ten_gigabytes_of_log_are_its_limit_and_one_line_more() {
    let limits = PluginLimits { log_bytes: 1 << 16, ..LIMITS };
    let plugin = evil_granted("log_flood", limits, &log()).expect("it may");
    let mut applier = plugin.applier(&schema()).expect("it describes its output");
    for _ in 0..2 {
        let (lines, applied) = lines(|| applier.apply(&notes(1, &[0])).expect("a batch"));
        assert_eq!((applied.batch.num_rows(), applied.failed.len()), (1, 0), "what is dropped harms nobody");
        let [cut, dropped] = lines.as_slice() else { panic!("{} lines", lines.len()) };
        assert!(cut.starts_with("INFO plugin: xxxx") && cut.ends_with("x… plugin=\"log_flood\""), "it is cut");
        assert!(cut.len() < (1 << 16) + 100, "{}", cut.len());
        assert_eq!(
            dropped,
            "WARN plugin: lines of its log were dropped: its limit is 65536 bytes a batch (`log`) plugin=\"log_flood\" \
             lines=10239"
        );
    }
}

#[test]
fn a_log_is_bounded_by_the_batch_however_often_it_is_tried() {
    let grants = log();
    let limits = PluginLimits { log_bytes: 100, ..LIMITS };
    let plugin = evil_granted("log_refusal", limits, &grants).expect("it may");
    let mut applier = plugin.applier(&schema()).expect("it describes its output");
    let (lines, applied) = lines(|| applier.apply(&notes(1_024, &[7])).expect("a batch"));
    assert_eq!(applied.failed.len(), 1);
    let said = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    assert_eq!(said("ERROR plugin: not these"), 2, "{lines:?}");
    assert_eq!(said("were dropped"), 1, "{lines:?}");
    assert!(lines.iter().any(|line| line.ends_with("lines=10")), "twelve tries: {lines:?}");
}

#[test]
fn honest_plugins_import_nothing() {
    for name in ["trap", "counts_calls", "sees_batches", "sink_loop", "keyed_crimes"] {
        evil(name, LIMITS).expect("nothing is granted, and nothing is asked for");
    }
}
