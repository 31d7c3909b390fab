//! One deployment that has everything, and small patches of it that break it: each snapshot holds all that is said.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use std::fs;
use std::path::{Path, PathBuf};

use braid_spec::model::{PluginCode, SourceKind};
use braid_spec::{LoadOptions, Loaded, json_schema, layout_json_schema, load, load_text};

const GOLDEN: &str = include_str!("golden.yaml");

fn environment(name: &str) -> Option<String> {
    match name {
        "PASSWORD" => Some("hunter2".into()),
        "SOME_TOKEN" => Some("hunter2 ten".into()),
        "NUMBER" => Some("7".into()),
        "WORD" => Some("seven".into()),
        _ => None,
    }
}

/// A working directory with the plugin in it.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("plugins")).unwrap();
        fs::write(folder.path().join("plugins/clean.wasm"), b"\0asm").unwrap();
        fs::write(folder.path().join("plugins/count.wasm"), b"\0asm").unwrap();
        fs::write(folder.path().join("plugins/tidy.py"), "def map(row): return row\n").unwrap();
        fs::write(folder.path().join("order.avsc"), r#""long""#).unwrap();
        fs::write(folder.path().join("thing.desc"), b"\0\x01").unwrap();
        Bench { folder }
    }

    fn options(&self) -> LoadOptions<'static> {
        LoadOptions {
            layout: None,
            store: None,
            env: &environment,
            working_dir: self.folder.path().to_owned(),
            check_files: true,
            ..LoadOptions::default()
        }
    }

    /// What is said about a text, without the path of the working directory.
    fn said(&self, text: &str) -> String {
        let said = match load_text(text, "golden.yaml", Path::new("elsewhere"), &self.options()) {
            Ok(Loaded { deployment, .. }) => format!("{deployment:#?}"),
            Err(mistakes) => mistakes.to_string(),
        };
        assert!(!said.contains("hunter2"), "a secret was shown:\n{said}");
        said.replace(&self.folder.path().display().to_string(), "<working directory>")
    }
}

/// The golden file with parts replaced.
fn patched(patches: &[(&str, &str)]) -> String {
    patches.iter().fold(GOLDEN.to_owned(), |text, (old, new)| {
        assert_eq!(text.matches(old).count(), 1, "`{old}` must be in the golden file once");
        text.replace(old, new)
    })
}

macro_rules! broken {
    ($($name:ident: [$($old:literal => $new:expr),+ $(,)?];)+) => {$(
        #[test]
        fn $name() {
            let said = Bench::new().said(&patched(&[$(($old, $new)),+]));
            assert!(said.starts_with("error: "), "nothing was found wrong");
            insta::assert_snapshot!(said);
        }
    )+};
}

broken! {
    unknown_keys: [
        "    on_bad_record: drop\n" => "    onBadRecord: drop\n",
        "max_files_per_trigger: 3" => "max_file_per_triger: 3",
        "serving:" => "severing:",
        "memory: 32MiB" => "memroy: 32MiB",
    ];
    wrong_types: [
        "max_files_per_trigger: 3" => "max_files_per_trigger: many",
        "latest_first: true" => "latest_first: yes",
        "port: 9999" => "port: 99999",
        "subscribe: c" => "subscribe: 5",
        "file: {path: data/users.csv}" => "file: data/users.csv",
        "views:\n" => "views: [1]\nviews2:\n",
        "sasl.password: \"${PASSWORD}\"" => "sasl.password: [a]",
        "rows_per_second: 100" => "rows_per_second: \"100\"",
        "num_partitions: 2" => "num_partitions: 1_000",
    ];
    missing_keys: [
        "apiVersion: braid/v1\n" => "",
        "brokers: \"localhost:9092\", subscribe: c" => "subscribe: c",
        "    sql: |\n      SELECT user, count(*) AS n\n      FROM all_events\n      GROUP BY user\n" => "",
        "    format: json\n    schema: {user: string, at: timestamp_millis}\n    watermark: {event_time: at, delay: 10 seconds}\n" => "",
        "from: by_user, output_mode: append, memory: {}" => "from: by_user",
    ];
    missing_references: [
        "from: [events, more_events], apply: [clean-up]" => "from: [evnts, users], apply: [cleanup]",
        "from: clicks" => "from: by_user",
        "from: by_user, output_mode: update, delivery" => "from: all_events, output_mode: update, delivery",
        "from: by_user, output_mode: append" => "from: by_usr, output_mode: append",
        "plugin: count, key: [user], time_mode: event_time, initial_state: users" => "plugin: cuont, key: [user, user], initial_state: clicks",
    ];
    cyclic_streams: [
        "from: clicks" => "from: [after, third]",
        "  after: {from: z_first, drop_duplicates: {columns: [id], within_watermark: true}}\n" => "  after: {from: z_first}\n  third: {from: clicks}\n  self_made: {from: self_made}\n  downstream: {from: after}\n",
    ];
    bad_durations_and_sizes: [
        "delay: 10 seconds" => "delay: 10 secnods",
        "idle_timeout: 1h30m" => "idle_timeout: 90",
        "refresh: 1m" => "refresh: 0s",
        "memory: 32MiB" => "memory: 32M",
        "max_bytes_per_trigger: 64MiB" => "max_bytes_per_trigger: plenty",
        "max_body: 1MiB" => "max_body: 0",
    ];
    duplicate_names: [
        "  looked_at: {" => "  ticks: {",
        "  users:\n" => "  events:\n",
        "serving:" => "name: again\nserving:",
        "latest_first: true" => "latest_first: true, path: other",
        "  by_user:\n" => "  late_rows: {sql: SELECT 1}\n  by_user:\n",
    ];
    missing_plugin_file: ["component: plugins/clean.wasm" => "component: plugins/nowhere.wasm"];
    scripts: [
        "component: plugins/clean.wasm" => "script: plugins/nowhere.py",
        "  count: {component: plugins/count.wasm," => "  count: {scrpt: plugins/tidy.py,",
        "  tidy: {script: plugins/tidy.py}" =>
            "  tidy: {script: plugins/count.wasm}\n  both: {script: plugins/tidy.py, component: plugins/count.wasm}",
    ];
    alias_bomb: [
        "serving:" => &bomb(),
    ];
    missing_environment: [
        "${BROKERS:-localhost:9092}" => "${BROKERS}",
        "sasl.password: \"${PASSWORD}\"" => "sasl.password: \"a${OTHER_PASSWORD}\"",
        "FROM all_events" => "FROM ${TABLE}",
        "topic: out" => "topic: \"${TOPIC\"",
    ];
    secrets_stay_secret: [
        "sasl.password: \"${PASSWORD}\", retries: 5" => "sasl.password: hunter2, retries: {}",
        "port: 9999" => "port: \"${SOME_TOKEN}\"",
        "delay: 10 seconds" => "delay: \"${PASSWORD}\"",
        "max_offsets_per_trigger: 1000" => "max_offsets_per_trigger: ${WORD}",
    ];
    watermarks: [
        "event_time: timestamp, delay: 0s" => "event_time: timestmp, delay: 0s",
        "event_time: at, delay: 10s" => "event_time: price, delay: 10s",
        "event_time: at, delay: 10 seconds" => "event_time: time, delay: 10 seconds",
    ];
    schemas: [
        "{id: long, at: timestamp, price: \"decimal(12,3)\"" => "{id: lnog, at: datetime, price: decimal(12,3)",
        "    http: {max_body: 1MiB}\n    schema: {user: string}" => "    http: {max_body: 1MiB}\n    schema: {}",
        "  lines:\n    socket: {host: example.org, port: 9999}" => "  lines:\n    socket: {host: example.org, port: 9999}\n    schema: {a: int}",
        "schema: {user: string, name: string}" => "schema: {user: string, user: int}",
    ];
    deliveries: [
        "output_mode: complete, console" => "output_mode: complete, delivery: exactly_once, console",
        "output_mode: append, memory: {}" => "output_mode: append, delivery: exactly_once, memory: {}",
        "delivery: at_most_once" => "delivery: at_most_one",
    ];
    kinds: [
        "rows_max: 1000}" => "rows_max: 1000}\n    http: {}",
        "socket: {host: example.org, port: 9999}" => "format: text",
        "console: {num_rows: 5}" => "console: {num_rows: 5}, memory: {}",
    ];
    formats: [
        "format: {csv: {header: false, delimiter: \";\", quote: \"'\", null_value: NA}}" => "format: {csv: {delimiter: '||', quote: '\\t'}}",
        "    format: csv\n" => "    format: cvs\n",
        "    http: {max_body: 1MiB}\n" => "    http: {max_body: 1MiB}\n    format: {csv: {header: true}}\n",
        "    socket: {host: example.org, port: 9999}\n" => "    socket: {host: example.org, port: 9999}\n    format: parquet\n    schema: {a: int}\n",
        "rows_max: 1000}\n" => "rows_max: 1000}\n    format: json\n    schema: {a: int}\n",
    ];
    kafka: [
        "subscribe: [a, b]" => "subscribe: [a, a]",
        "starting_offsets: {a: {0: 23, 1: -2}}" => "starting_offsets: {c: {0: 23, x: 1, 2: -3}, a: 5}",
        "socket.keepalive.enable: true" => "bootstrap.servers: a:1",
        "retries: 5" => "enable.auto.commit: true, fetch.max.bytes: 5",
        "brokers: \"localhost:9092\", subscribe: c" => "brokers: \"localhost:9092;b\", subscribe: c, starting_offsets: erliest",
        "min_offsets_per_trigger: 100" => "min_offsets_per_trigger: 1001",
    ];
    kafka_topics: [
        "subscribe: [a, b]" => "subscribe: [a, b]\n      assign: {a: [0]}",
        "brokers: \"localhost:9092\", subscribe: c" => "brokers: \"localhost:9092\"",
        "assign: {d: [0, 2]}" => "assign: {d: [0, x, 0], e: 1}",
        "subscribe_pattern: \"e-[0-9]+\"" => "subscribe_pattern: \"e-[0-9\"",
    ];
    kafka_starts_and_ends: [
        "starting_offsets_by_timestamp: {d: {0: 1700000000000, 2: 1700000000001}}" => "starting_offsets: latest",
        "ending_offsets: {d: {0: 7, 2: -1}}" => "ending_offsets: {d: {0: -2, 1: 5}}",
        "ending_offsets_by_timestamp: {d: {0: 1700000000002, 2: 1700000000003}}" => "ending_offsets_by_timestamp: earliest",
        "min_offsets_per_trigger: 100\n" => "starting_timestamp: -1\n",
    ];
    kafka_columns: [
        "metadata: {written_at: timestamp, of: topic}" => "metadata: [timestamp, topik]",
        "schema: {user: string, timestamp: long}" => "schema: {user: string, headers: long}",
        "format: raw" => "format: raw\n    schema: {a: int}",
        "    http: {max_body: 1MiB}\n    schema: {user: string}" => "    http: {max_body: 1MiB}\n    format: raw",
    ];
    kafka_names_taken: [
        "metadata: {written_at: timestamp, of: topic}" => "metadata: [timestamp, topic]",
    ];
    files: [
        "max_file_age: 2d" => "max_file_age: 0s, max_bytes_per_trigger: 1MiB",
        "source_archive_dir: data/done" => "source_archive_dir: s3://bucket/done",
        "max_bytes_per_trigger: 64MiB, clean_source: delete" => "clean_source: archive",
        "files: {path: data/archive}" => "files: {path: data/archive, clean_source: delete, source_archive_dir: data}",
    ];
    names_and_addresses: [
        "name: golden" => "name: My Golden",
        "store: s3://bucket/golden" => "store: ./data/golden",
        "  by_user:\n" => "  By-User:\n",
        "  ticks:\n" => "  2ticks:\n",
        "layout: kappa" => "layout: kapa",
        "http: \"127.0.0.1:8080\"" => "http: 8080",
        "output_mode: complete" => "output_mode: compleet",
    ];
    unions: ["subscribe: c}\n    format: json\n    schema: {user: string, at: timestamp_millis}" => "subscribe: c}\n    format: json\n    schema: {user: string, at: timestamp}"];
    pipelines: [
        "- map: {plugin: clean-up}" => "- mapp: {word: user}",
        "- filter: word <> ''" => "- filter: {a: b}",
        "window: 10m, slide: 5m, time: at}" => "window: 10m, slide: 1h, inverse: true, time: at}",
        "pprint: {num: 3, output_mode: update}" => "pprint: {num: none, output_mode: update}",
        "- window: {length: 1h, slide: 1h, time: at}" => "- window: {length: 1h}\n      - window: {length: 1h, slide: 30m, time: at}",
        "with: clicks, on: user, left: {here: user}" => "with: users, on: user, left: {here: user, there: user}",
        "- reduce: {users: count(*)}" => "- reduce: {}\n        count: {}",
        "{count_by_window: {window: 1h, slide: 30m, as: many}}" => "{count_by_window: {slide: 30m, as: n}}, reduce_by_key, pprnt",
        "{count_by_value_and_window: {window: 1d}}" => "{window: {length: 1d}}, {filter: user > 'a'}",
        "[{from: more_events}, {reduce_by_key:" => "[{map: {a: 1}}, {from: more_events}, {pprint: }, {reduce_by_key:",
        "  names: {sql: SELECT user FROM more_events}" => "  names: {sql: SELECT user FROM more_events, pipeline: []}",
    ];
    plugins_in_pipelines: [
        "- transform: {plugin: clean-up}" => "- map: {user: upper(user)}\n      - transform: {plugin: clean_up}",
        "[{from: events}, {reduce_by_window:" => "[{from: joined}, {filter: {plugin: clean-up}}, {reduce_by_window:",
        "- from: more_events\n      - cogroup: {with: clicks, on: user" => "- from: after\n      - map: {plugin: clean-up}\n      - window: {length: 1h}\n      - cogroup: {with: more_events, on: user",
        "  shown: {from: by_user" => "  words_pprint: {from: by_user",
    ];
    plugins_as_sinks: [
        "http: [\"https://API.example.com:443/\", \"http://127.0.0.1:9000\"]" => "http: [api.example.com, \"https://a.b/c\", \"ftp://a.b\", \"https://*.b\", \"https://ann:hunter3@a.b\", \"https://a.b\", \"https://a.b:443\"]",
        "- foreach_rdd: {plugin: notify" => "- foreach_rdd: {plugin: notifi",
        "plugin: notify, options: {url: \"https://api.example.com\", tries: 3" => "plugin: by_user, options: {tries: [3]",
        "parquet: {path: data/out}" => "parquet: {path: data/out}, options: {compression: none}",
    ];
    tests: [
        "  - name: what comes later is late\n" => "  - nam: a user is counted\n    name: a user is counted\n",
        "      by_user: [{user: ann, n: 1}]" => "      by_usr: [{user: ann, n: 1}]\n      names: many\n      words: [5, {user: a, user: b}]",
        "      users: [{user: ann, name: Ann}]" => "      usres: [{user: ann, name: Ann}]\n      posts: {user: a}\n      clicks: [5, [1]]",
        "      - wait: 10m\n" => "      - wait: soon\n        users: []\n      - users: []\n      - clicks\n      - wait: []\n",
    ];
    empty_tests: ["expect: {kept: [], late_rows: 1}" => "expect: {}\n  - {name: b, given: , expect: [a]}\n  - c"];
    no_yaml: ["client: {sasl.password: \"${PASSWORD}\"" => "client: {sasl.password: ${PASSWORD}"];
    everything_at_once: [
        "layout: kappa" => "layout: kapa",
        "    format: json\n    schema: {user: string, at: timestamp_millis}\n    watermark: {event_time: at, delay: 10 seconds}\n" => "    fromat: json\n    schema: {user: strng, at: timestamp_millis}\n    watermark: {event_time: at, delay: soon}\n",
        "from: clicks" => "from: click",
        "component: plugins/clean.wasm" => "component: ${PLUGIN}",
    ];
}

fn bomb() -> String {
    let mut bomb = String::from("x0: &x0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]\n");
    for level in 1..10 {
        let before = vec![format!("*x{}", level - 1); 10].join(", ");
        bomb += &format!("x{level}: &x{level} [{before}]\n");
    }
    bomb + "serving:"
}

#[test]
fn the_golden_file_in_full() {
    insta::assert_snapshot!(Bench::new().said(GOLDEN));
}

/// A pipeline's SQL is readable, and each part of it knows where it comes from.
#[test]
fn pipelines_become_sql() {
    let bench = Bench::new();
    let loaded = load_text(GOLDEN, "golden.yaml", Path::new("."), &bench.options()).unwrap();
    let views = loaded.deployment.views.iter().filter(|(_, view)| view.pipeline.is_some());
    let all: Vec<String> = views.map(|(name, view)| format!("{name}\n{}", view.sql)).collect();
    insta::assert_snapshot!(all.join("\n\n"));

    let sql = &loaded.deployment.views["words"].sql;
    let place = |part: &str| {
        let before = &sql[..sql.find(part).unwrap()];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let place = Some((line as u64, column as u64));
        let found = loaded.source_map.diagnostic("views.words.sql", place, "here", None);
        (found.path, GOLDEN.lines().nth(found.line - 1).unwrap()[found.column - 1..].to_owned())
    };
    let (path, text) = place("name, ' '");
    assert_eq!(path, "views.words.pipeline[5].flat_map.word");
    assert!(text.starts_with("name, ' '"), "{text}");
    let (path, text) = place("<> ''");
    assert_eq!(path, "views.words.pipeline[6].filter");
    assert!(text.starts_with("<> ''"), "{text}");
    let (path, text) = place("UNION ALL");
    assert_eq!(path, "views.words.pipeline[4]");
    assert!(text.starts_with("union: events"), "{text}");
    let (path, text) = place("GROUP BY");
    assert_eq!(path, "views.words.pipeline[7]");
    assert!(text.starts_with("reduce_by_key_and_window"), "{text}");
}

#[test]
fn a_secret_reaches_the_client_and_no_message() {
    let bench = Bench::new();
    let loaded = load_text(GOLDEN, "f", Path::new("."), &bench.options()).unwrap();
    let SourceKind::Kafka(kafka) = &loaded.deployment.sources["events"].from else {
        panic!("not from Kafka");
    };
    assert_eq!(kafka.client["sasl.password"], "hunter2");
    assert!(!format!("{:?}", loaded.deployment).contains("hunter2"));
}

#[test]
fn the_least_file_and_its_defaults() {
    let text = "apiVersion: braid/v1\nname: least\nlayout: lambda\nsources:\n  lines: {socket: {port: 1}}\n  \
                clicks: {kafka: {brokers: a, subscribe: a}, format: csv, schema: {a: int}}\n  ticks: {rate: }\n  \
                files: {files: {path: a}, format: csv, schema: {a: int}}\n  posts: {http: , schema: {a: int}}\n\
                plugins:\n  p: {component: plugins/clean.wasm}\ntables:\n\
                views:\n  all: {sql: SELECT 1}\nsinks:\n  shown: {from: all, console: }\n";
    insta::assert_snapshot!(Bench::new().said(text));
}

#[test]
fn empty_and_odd_files() {
    let bench = Bench::new();
    let all: Vec<String> = ["", "# nothing\n", "5\n", "- a\n", "a: 1\n---\nb: 2\n", "sources:\nviews: {}\n"]
        .into_iter()
        .map(|text| bench.said(text))
        .collect();
    insta::assert_snapshot!(all.join("\n\n"));
}

#[test]
fn aliases_are_fine_in_moderation() {
    let text = patched(&[
        (
            "    schema: {user: string, at: timestamp_millis}\n    watermark: {event_time: at, delay: 10 seconds}",
            "    schema: &columns {user: string, at: timestamp_millis}\n    watermark: {event_time: at, delay: 10 seconds}",
        ),
        (
            "subscribe: c}\n    format: json\n    schema: {user: string, at: timestamp_millis}",
            "subscribe: c}\n    format: json\n    schema: *columns",
        ),
    ]);
    assert_eq!(Bench::new().said(&text), Bench::new().said(GOLDEN));
}

#[test]
fn layouts_built_in_and_from_a_file() {
    let bench = Bench::new();
    let folder = bench.folder.path();
    let own = "log: {keep: forever}\nbase: {by: fold, every: ${NUMBER}s}\nspeed: {epoch: {every: 5s}}\n";
    fs::write(folder.join("own.yaml"), own).unwrap();
    fs::write(folder.join("broken.yaml"), "log: {keep: for ever}\nbase: {by: fold, evry: 1s}\n").unwrap();
    fs::write(folder.join("absurd.yaml"), "log: {keep: until_folded}\nbase: {by: recompute}\n").unwrap();
    let layout = |given: Option<&str>, text: &str| {
        let options = LoadOptions { layout: given.map(str::to_owned), ..bench.options() };
        let said = match load_text(text, "golden.yaml", folder, &options) {
            Ok(loaded) => format!("{:?}", loaded.deployment.layout),
            Err(mistakes) => mistakes.to_string(),
        };
        said.replace(&folder.display().to_string(), "<folder>")
    };
    let from = |word: &str| patched(&[("layout: kappa", &format!("layout: {word}"))]);
    let all = [
        layout(None, &from("lambda")),
        layout(None, &from("kappa")),
        layout(Some("lambda"), &from("kappa")),
        layout(None, &from("./own.yaml")),
        layout(Some("own.yaml"), GOLDEN),
        layout(None, &from("./broken.yaml")),
        layout(None, &from("./absurd.yaml")),
        layout(None, &from("./nowhere.yaml")),
        layout(Some("lambada"), GOLDEN),
    ];
    insta::assert_snapshot!(all.join("\n\n"));
}

#[test]
fn stores_and_components_start_from_the_right_folder() {
    let bench = Bench::new();
    let here = bench.folder.path().display().to_string();
    let store = |text: &str| load_text(text, "f", Path::new("."), &bench.options()).unwrap().deployment.store;
    assert_eq!(store(&patched(&[("store: s3://bucket/golden\n", "")])), format!("file://{here}/data/golden"));
    assert_eq!(store(&patched(&[("s3://bucket/golden", "file://./a/b")])), format!("file://{here}/a/b"));
    assert_eq!(store(&patched(&[("s3://bucket/golden", "file:///a/b")])), "file:///a/b");
    assert_eq!(store(&patched(&[("s3://bucket/golden", "memory://")])), "memory://");

    let given = |store: &str| {
        let options = LoadOptions { store: Some(store.to_owned()), ..bench.options() };
        load_text(GOLDEN, "f", Path::new("."), &options)
            .map(|loaded| loaded.deployment.store)
            .map_err(|mistakes| mistakes.to_string())
    };
    assert_eq!(given("file://./a/b"), Ok(format!("file://{here}/a/b")));
    let refused = given("./a/b").unwrap_err();
    assert!(refused.contains("--store:1:1") && refused.contains("write `file://./a/b`"), "{refused}");
    for bad in ["file://", "s3://", "s4://bucket", "gs:///x"] {
        assert!(given(bad).is_err(), "{bad}");
    }

    // A component beside the deployment file comes before one in the working directory.
    let folder = bench.folder.path().join("deploy");
    fs::create_dir_all(folder.join("plugins")).unwrap();
    let component = || {
        let loaded = load_text(GOLDEN, "f", &folder, &bench.options()).unwrap();
        loaded.deployment.plugins["clean-up"].code.clone()
    };
    let at = |folder: &Path| PluginCode::Component(folder.join("plugins/clean.wasm"));
    assert_eq!(component(), at(bench.folder.path()));
    fs::write(folder.join("plugins/clean.wasm"), b"\0asm").unwrap();
    assert_eq!(component(), at(&folder));
}

#[test]
fn a_file_that_cannot_be_read_is_one_mistake() {
    let bench = Bench::new();
    let nowhere = load(Path::new("nowhere.yaml"), &bench.options()).unwrap_err();
    assert!(nowhere.to_string().contains("cannot be read"), "{nowhere}");
    let latin = bench.folder.path().join("latin.yaml");
    fs::write(&latin, b"a: 1\nb: \xe9\n").unwrap();
    let latin = load(&latin, &bench.options()).unwrap_err();
    assert!(latin.to_string().contains("line 2 is not UTF-8"), "{latin}");
    assert!(load(bench.folder.path(), &bench.options()).is_err());
}

#[test]
fn another_room_places_its_mistakes() {
    let bench = Bench::new();
    let loaded = load_text(GOLDEN, "golden.yaml", Path::new("."), &bench.options()).unwrap();
    let mistake = loaded.source_map.diagnostic(
        "views.by_user.sql",
        Some((2, 6)),
        "there is no table `all_events`",
        Some("did you mean `events`?".into()),
    );
    insta::assert_snapshot!(mistake.to_string(), @r"
    error: there is no table `all_events`
       --> golden.yaml:107:12
        |
    107 |       FROM all_events
        |            ^^^^^^^^^^ views.by_user.sql
        = help: did you mean `events`?
    ");
}

#[test]
fn mistakes_as_json() {
    let text = patched(&[("delay: 10s", "delay: 10sek")]);
    let mistakes = load_text(&text, "golden.yaml", Path::new("."), &Bench::new().options()).unwrap_err();
    insta::assert_snapshot!(serde_json::to_string_pretty(&mistakes).unwrap());
}

#[test]
fn the_json_schema() {
    let schemas = serde_json::json!({"deployment": json_schema(), "layout": layout_json_schema()});
    insta::assert_snapshot!(serde_json::to_string_pretty(&schemas).unwrap());
}

/// The deployments that users imitate are right: with any value for what they ask of the environment.
#[test]
fn the_deployments_of_this_repository() {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the crate is")).join("../..");
    let mut seen = 0;
    for entry in fs::read_dir(root.join("deploy")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        if !text.contains("apiVersion: braid/") {
            continue;
        }
        let options = LoadOptions { env: &|name| given(name), check_files: false, ..LoadOptions::default() };
        if let Err(mistakes) = load(&path, &options) {
            panic!("{mistakes}");
        }
        seen += 1;
    }
    assert!(seen > 0);
}

/// Variables with a default are left unset.
fn given(name: &str) -> Option<String> {
    let defaulted = ["PORT", "HOST", "HTTP", "TOPIC", "BROKERS"];
    (!defaulted.iter().any(|part| name.contains(part))).then(|| "some/path".to_owned())
}
