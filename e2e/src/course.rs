//! The course's own examples in `deploy/course`, with the rows that the guides' pictures show.

use std::path::Path;

use crate::braid::{River, eventually, root};
use crate::broker::Broker;
use crate::cases::same;
use crate::oracle::files;
use crate::quijote::serve;

const LAYOUTS: [&str; 2] = ["kappa", "lambda"];

/// An example whose store, and the folder that it reads, are of the test's own.
fn example(name: &str, layout: &str, home: &Path) -> River {
    std::fs::create_dir_all(home.join("input")).expect("a directory");
    River::new(format!("deploy/course/{name}.yaml"), home)
        .layout(layout)
        .env("BRAID_HTTP", "127.0.0.1:0")
        .env("COURSE_INPUT", home.join("input").display())
}

/// Runs it once per numbered file of the example's data, as its first lines say; what each run printed.
fn one_run_each(river: &River, data: &str, home: &Path) -> Vec<String> {
    let mut files = files(&root().join("deploy/course/data").join(data), "json");
    files.sort();
    assert!(files.len() > 1, "{data} has no steps");
    let run = |file: &std::path::PathBuf| {
        std::fs::copy(file, home.join("input").join(file.file_name().expect("it has a name"))).expect("a copied file");
        river.catch_up().ok(data)
    };
    files.iter().map(run).collect()
}

/// The rows that the console sink printed in a run, sorted: `12:00 dog 1` for a window's start, a word and a count.
fn printed(said: &str, sink: &str) -> Vec<String> {
    let part = said.split("Batch: ").find(|part| part.lines().next().is_some_and(|head| head.contains(sink)));
    let rows = part.unwrap_or_else(|| panic!("{sink} printed nothing:\n{said}")).lines();
    let mut rows: Vec<String> = rows
        .filter_map(|row| {
            let (_, row) = row.split_once("| {start: 2026-01-01T")?;
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            Some(format!("{} {} {}", &cells[0][..5], cells[1], cells[2]))
        })
        .collect();
    rows.sort();
    rows
}

fn wanted(rows: &str) -> Vec<String> {
    rows.split(", ").filter(|row| !row.is_empty()).map(str::to_owned).collect()
}

#[test]
fn every_example_is_valid_under_both_layouts() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let examples = files(&root().join("deploy/course"), "yaml");
    assert!(examples.len() >= 7, "only {} examples", examples.len());
    let page = std::fs::read_to_string(root().join("docs/course.md")).expect("docs/course.md");
    for path in examples {
        let name = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
        assert!(page.contains(&format!("deploy/course/{name}.yaml")), "docs/course.md does not have {name}");
        for layout in LAYOUTS {
            example(&name, layout, home.path()).finish("validate", &[]).ok(&name);
        }
    }
}

#[test]
fn words_counted_by_a_plugin_with_state() {
    let text = std::fs::read_to_string(root().join("deploy/course/data/one-a-line.txt")).expect("the text");
    for layout in LAYOUTS {
        let home = tempfile::tempdir().expect("a temporary directory");
        let port = serve(vec![text.clone()]);
        let river =
            example("update-state", layout, home.path()).env("COURSE_HOST", "127.0.0.1").env("COURSE_PORT", port);
        let mut running = river.up();
        running.address();
        eventually("every word", || {
            let asked = river.finish("query", &["SELECT * FROM word_counts ORDER BY word", "--output", "csv"]);
            match asked.out.as_str() {
                "word,count\ncat,2\ndog,4\nowl,2\n" => Ok(()),
                _ => Err(format!("{}{}", asked.out, running.said())),
            }
        });
        running.stop();
        let rises = river.rows("SELECT key, count FROM rises WHERE key = 'dog' ORDER BY count");
        assert_eq!(rises, ["dog,1", "dog,2", "dog,3", "dog,4"], "{layout}");
    }
}

#[test]
fn words_from_a_socket() {
    let text = std::fs::read_to_string(root().join("deploy/course/data/words.txt")).expect("the text");
    for layout in LAYOUTS {
        let home = tempfile::tempdir().expect("a temporary directory");
        let port = serve(vec![text.clone()]);
        let river = example("words", layout, home.path()).env("COURSE_HOST", "127.0.0.1").env("COURSE_PORT", port);
        let mut running = river.up();
        running.address();
        eventually("three words", || {
            let asked = river.finish("query", &["SELECT * FROM word_counts ORDER BY word", "--output", "csv"]);
            match asked.out.as_str() {
                "word,count\ncat,2\ndog,4\nowl,2\n" => Ok(()),
                other => Err(format!("{other}{}{}", asked.err, running.said())),
            }
        });
    }
}

#[test]
fn a_late_row_counts_where_it_belongs() {
    for layout in LAYOUTS {
        let home = tempfile::tempdir().expect("a temporary directory");
        let said = one_run_each(&example("windows", layout, home.path()), "windows", home.path());
        let tables = [
            "11:55 cat 1, 11:55 dog 3, 12:00 cat 1, 12:00 dog 3",
            "11:55 cat 1, 11:55 dog 3, 12:00 cat 2, 12:00 dog 3, 12:00 owl 1, 12:05 cat 1, 12:05 owl 1",
            // 12:04 dog came with 12:13 owl.
            "11:55 cat 1, 11:55 dog 4, 12:00 cat 2, 12:00 dog 4, 12:00 owl 1, 12:05 cat 1, 12:05 owl 2, 12:10 owl 1",
        ];
        assert_eq!(said.len(), tables.len());
        for (said, table) in said.iter().zip(tables) {
            same(layout, &printed(said, "course-windows-console"), wanted(table));
        }
    }
}

#[test]
fn the_watermark_drops_the_donkey() {
    for layout in LAYOUTS {
        let home = tempfile::tempdir().expect("a temporary directory");
        let river = example("watermark", layout, home.path());
        let said = one_run_each(&river, "watermark", home.path());
        let tables = [
            ("12:00 dog 1, 12:00 owl 1, 12:05 dog 1, 12:05 owl 1", ""),
            // 12:09 cat is out of order, and above the watermark of 12:04 that comes next.
            ("12:00 cat 1, 12:05 cat 1, 12:05 dog 2, 12:10 dog 1", ""),
            // 12:08 dog raises two windows; 12:21 owl moves the watermark to 12:11, and 12:00 to 12:10 is final.
            (
                "12:00 dog 2, 12:05 dog 3, 12:05 owl 2, 12:10 cat 1, 12:10 owl 1, 12:15 cat 1, 12:15 owl 1, 12:20 owl 1",
                "12:00 cat 1, 12:00 dog 2, 12:00 owl 1",
            ),
            // 12:04 donkey is too late.
            ("12:10 monkey 1, 12:15 monkey 1", ""),
        ];
        assert_eq!(said.len(), tables.len());
        for (said, (changed, finals)) in said.iter().zip(tables) {
            same(layout, &printed(said, "course-watermark-changed"), wanted(changed));
            same(layout, &printed(said, "course-watermark-final"), wanted(finals));
        }
        // 2026-01-01T12:11Z
        let late = river.rows("SELECT watermark_ms, row LIKE '%donkey%' AS donkey FROM late_rows");
        assert_eq!(late, ["1767269460000,true"]);
    }
}

#[test]
fn words_from_kafka_and_back() {
    let broker = Broker::shared();
    let text = std::fs::read_to_string(root().join("deploy/course/data/words.txt")).expect("the text");
    let (first, rest) = text.split_at(text.find("owl").expect("there is an owl"));
    for layout in LAYOUTS {
        let home = tempfile::tempdir().expect("a temporary directory");
        let (lines, counts) = (broker.fresh_topic("lines", 2), broker.fresh_topic("counts", 1));
        let river = example("kafka", layout, home.path())
            .env("KAFKA_BROKERS", broker.address())
            .env("COURSE_LINES", &lines)
            .env("COURSE_COUNTS", &counts);
        for (partition, part) in [(0, first), (1, rest)] {
            broker.produce(&lines, partition, part.lines());
            river.catch_up().ok("a run");
        }
        let records = broker.records(&counts);
        for record in &records {
            let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
            assert_eq!(Some(&*key), record.text().split(' ').next(), "a word is its record's key");
        }
        let mut written: Vec<String> = records.iter().map(|record| record.text().to_owned()).collect();
        written.sort();
        same(layout, &written, wanted("cat 1, cat 2, dog 3, dog 4, owl 2"));
    }
}

#[test]
fn records_from_kafka_to_kafka_as_they_come() {
    let broker = Broker::shared();
    let text = std::fs::read_to_string(root().join("deploy/course/data/words.txt")).expect("the text");
    for layout in LAYOUTS {
        let home = tempfile::tempdir().expect("a temporary directory");
        let (given, taken) = (broker.fresh_topic("given", 2), broker.fresh_topic("taken", 1));
        let river = example("continuous", layout, home.path())
            .env("KAFKA_BROKERS", broker.address())
            .env("COURSE_GIVEN", &given)
            .env("COURSE_TAKEN", &taken);
        let running = river.up();
        for partition in [0, 1] {
            broker.produce(&given, partition, text.lines());
            eventually("the lines", || {
                let records = broker.records(&taken);
                let there = records.iter().skip(text.lines().count() * partition as usize);
                match there.map(|record| record.text().to_owned()).eq(text.lines()) {
                    true => Ok(()),
                    false => Err(running.said()),
                }
            });
        }
        running.stop();
        let counted = river.rows("SELECT count(*) AS n FROM mapped");
        assert_eq!(counted, [(2 * text.lines().count()).to_string()], "{layout}");
    }
}

#[test]
fn duplicates_are_dropped_for_ever_and_within_the_watermark() {
    for layout in LAYOUTS {
        let home = tempfile::tempdir().expect("a temporary directory");
        let river = example("dedup", layout, home.path());
        one_run_each(&river, "dedup", home.path());
        for (view, ids) in [
            ("for_ever", "a 1, b 2, c 6"),
            ("with_time", "a 1, b 2, a 4, b 5, c 6, c 7, a 8"),
            ("within", "a 1, b 2, c 6, a 8"),
        ] {
            let sql = format!("SELECT concat(guid, ' ', CAST(n AS string)) FROM {view} ORDER BY n");
            same(&format!("{view}, {layout}"), &river.rows(&sql), wanted(ids));
        }
    }
}

#[test]
fn orders_find_their_customers() {
    for layout in LAYOUTS {
        let home = tempfile::tempdir().expect("a temporary directory");
        let river = example("static-join", layout, home.path()).env("COURSE_INPUT", "deploy/course/data/orders");
        river.catch_up().ok("a run");
        let orders = ["1,Ada,10.00", "2,Blaise,5.50", "3,Ada,2.25", "4,,7.00", "5,Emmy,1.00"];
        assert_eq!(river.rows("SELECT * FROM outer_rows ORDER BY order_id"), orders);
        let known: Vec<&str> = orders.into_iter().filter(|order| !order.starts_with('4')).collect();
        assert_eq!(river.rows("SELECT * FROM inner_rows ORDER BY order_id"), known);
        let cities = ["Erlangen,1,1.00", "London,2,12.25", "Paris,1,5.50"];
        assert_eq!(river.rows("SELECT * FROM by_city ORDER BY city"), cities);
    }
}

#[test]
fn impressions_find_their_clicks() {
    for layout in LAYOUTS {
        let home = tempfile::tempdir().expect("a temporary directory");
        let river = example("stream-join", layout, home.path()).env("COURSE_INPUT", "deploy/course/data");
        river.catch_up().ok("a run");
        let rows = |view: &str| river.rows(&format!("SELECT * FROM {view} ORDER BY ad_id, clicked"));
        let mut wanted = vec![
            "1,2026-01-01T08:00:00Z,2026-01-01T08:05:00Z",
            "1,2026-01-01T08:00:00Z,2026-01-01T08:50:00Z",
            "2,2026-01-01T08:10:00Z,2026-01-01T09:10:00Z",
        ];
        assert_eq!(rows("clicked"), wanted);
        wanted.push("3,2026-01-01T08:20:00Z,");
        assert_eq!(rows("all_impressions"), wanted);
    }
}
