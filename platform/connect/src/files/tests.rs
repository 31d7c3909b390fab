//! Files that appear, vanish, grow and are broken.

use std::path::Path;
use std::time::{Duration, SystemTime};

use arrow::array::{AsArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use braid_spec::model::{Csv, SourceKind};
use futures::TryStreamExt;
use parquet::arrow::ArrowWriter;

use super::*;
use crate::test_store::MemoryStore;

fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(fields.iter().map(|(n, t)| Field::new(*n, t.clone(), true)).collect::<Vec<_>>()))
}

fn options(path: &Path) -> model::Files {
    model::Files {
        path: path.display().to_string(),
        max_files_per_trigger: None,
        max_bytes_per_trigger: None,
        latest_first: false,
        max_file_age: Duration::from_secs(7 * 24 * 3600),
        clean_source: model::CleanSource::Off,
    }
}

fn open_source(
    options: model::Files,
    format: Format,
    schema: SchemaRef,
    on_bad_record: OnBadRecord,
) -> Box<dyn Source> {
    let spec = model::Source { from: SourceKind::Files(options), format, schema, watermark: None, on_bad_record };
    let context = SourceContext {
        name: "in".into(),
        journal: Arc::new(MemoryStore::default()),
        projection: None,
        batch_rows: 3,
        epoch_rows: 1000,
        ends: false,
    };
    crate::source(&spec, context).unwrap().source
}

fn text_source(options: model::Files) -> Box<dyn Source> {
    open_source(options, Format::Text, schema(&[("value", DataType::Utf8)]), OnBadRecord::Fail)
}

/// A file with a modification time, in seconds.
fn put(dir: &Path, name: &str, content: impl AsRef<[u8]>, modified: u64) {
    let path = dir.join(name);
    std::fs::write(&path, content).unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(modified)).unwrap();
}

async fn read(source: &mut dyn Source, plan: &SourcePlan) -> Result<Vec<Rows>, SourceError> {
    source.read(plan).await?.try_collect().await
}

/// The first text column of all rows.
fn texts(rows: &[Rows]) -> Vec<String> {
    rows.iter()
        .flat_map(|r| r.batch.column(0).as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

#[tokio::test]
async fn files_are_read_once_in_order_and_again_by_the_same_plan() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "b", "b1\nb2\nb3\nb4\n", 100);
    put(dir.path(), "a", "a1", 200);
    put(dir.path(), "c", "", 50);
    let mut source = text_source(options(dir.path()));
    let mut state = SourceState::default();
    let plan = source.plan(&state, &Limit::default()).await.unwrap().unwrap();
    assert_eq!((plan.start["0"], plan.end["0"], names(&plan.notes).len()), (0, 3, 3));
    // A file that grows later is read to the size it had.
    std::fs::write(dir.path().join("a"), "a1\nlater").unwrap();
    let rows = read(&mut *source, &plan).await.unwrap();
    assert_eq!(texts(&rows), ["b1", "b2", "b3", "b4", "a1"]);
    assert!(rows[0].partition.ends_with("/b") && rows[2].partition.ends_with("/a"));
    assert_eq!(rows.iter().flat_map(|r| r.offsets.values().to_vec()).collect::<Vec<_>>(), [0, 1, 2, 3, 0]);
    let mut restarted = text_source(options(dir.path()));
    assert_eq!(texts(&read(&mut *restarted, &plan).await.unwrap()), texts(&rows));

    state.advance(&plan);
    assert_eq!(restarted.plan(&state, &Limit::default()).await.unwrap(), None);
    put(dir.path(), "late", "x", 10);
    let plan = restarted.plan(&state, &Limit::default()).await.unwrap().unwrap();
    assert_eq!((plan.start["0"], plan.end["0"]), (3, 4));
    assert_eq!(texts(&read(&mut *restarted, &plan).await.unwrap()), ["x"]);
}

#[tokio::test]
async fn an_epoch_takes_no_more_than_it_may() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..5u64 {
        put(dir.path(), &format!("f{n}"), "0123456789", n);
    }
    let base = options(dir.path());
    for (options, expected) in [
        (model::Files { max_files_per_trigger: Some(2), ..base.clone() }, vec!["f0", "f1"]),
        (model::Files { max_files_per_trigger: Some(2), latest_first: true, ..base.clone() }, vec!["f3", "f4"]),
        (model::Files { max_bytes_per_trigger: Some(30), ..base.clone() }, vec!["f0", "f1", "f2"]),
        (model::Files { max_bytes_per_trigger: Some(1), ..base.clone() }, vec!["f0"]),
        (base, vec!["f0", "f1", "f2", "f3", "f4"]),
    ] {
        let plan =
            text_source(options.clone()).plan(&SourceState::default(), &Limit::default()).await.unwrap().unwrap();
        assert_eq!(names(&plan.notes), expected, "{options:?}");
    }
}

#[tokio::test]
async fn a_limit_is_in_rows_and_leaves_out_what_came_later() {
    let dir = tempfile::tempdir().unwrap();
    // One file is less than a row is guessed to be, two are more.
    for n in 0..5u64 {
        put(dir.path(), &format!("f{n}"), "12345678\n".repeat(20), n);
    }
    let mut source = text_source(model::Files { max_files_per_trigger: Some(4), ..options(dir.path()) });
    let mut state = SourceState::default();
    let there = source.plan(&state, &Limit { take: Take::All, until: None }).await.unwrap().unwrap();
    assert_eq!((there.end["0"], there.more), (5, false));
    put(dir.path(), "f5", "later", 9);
    let until = Some(Arc::new(there));
    for (take, files, more) in [(Take::Rows(1), 1, true), (Take::Rows(45), 2, true), (Take::Usual, 2, false)] {
        let plan = source.plan(&state, &Limit { take, until: until.clone() }).await.unwrap().unwrap();
        assert_eq!((plan.end["0"] - plan.start["0"], plan.more), (files, more), "{take:?}");
        read(&mut *source, &plan).await.unwrap();
        state.advance(&plan);
    }
    assert_eq!(source.plan(&state, &Limit { take: Take::All, until }).await.unwrap(), None);
}

#[tokio::test]
async fn a_file_that_is_gone_or_shorter_is_lost_data() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "a", "0123456789", 1);
    let mut source = text_source(options(dir.path()));
    let plan = source.plan(&SourceState::default(), &Limit::default()).await.unwrap().unwrap();
    put(dir.path(), "a", "01234", 1);
    let error = read(&mut *source, &plan).await.unwrap_err();
    assert!(matches!(&error, SourceError::DataLoss(reason) if reason.contains("/a had 10 bytes")), "{error}");
    std::fs::remove_file(dir.path().join("a")).unwrap();
    let error = read(&mut *source, &plan).await.unwrap_err();
    assert!(matches!(&error, SourceError::DataLoss(reason) if reason.contains("gone")), "{error}");
}

#[tokio::test]
async fn a_bad_record_stops_the_epoch_only_where_that_was_chosen() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "a", "n,t\n1,x\ntwo,y\n3,z\n", 1);
    let csv = Format::Csv(Csv { header: true, delimiter: b',', quote: b'"', null_value: None });
    let declared = schema(&[("t", DataType::Utf8), ("n", DataType::Int64)]);
    let mut strict = open_source(options(dir.path()), csv.clone(), declared.clone(), OnBadRecord::Fail);
    let plan = strict.plan(&SourceState::default(), &Limit::default()).await.unwrap().unwrap();
    let error = read(&mut *strict, &plan).await.unwrap_err();
    assert!(matches!(&error, SourceError::BadRecord { offset: 2, .. }), "{error}");
    let mut lenient = open_source(options(dir.path()), csv, declared, OnBadRecord::DeadLetter);
    let rows = read(&mut *lenient, &plan).await.unwrap();
    assert_eq!(texts(&rows), ["x", "z"]);
    assert_eq!(rows[0].bad.iter().map(|b| (b.offset, &b.raw[..])).collect::<Vec<_>>(), [(2, &b"two,y"[..])]);
}

fn parquet_bytes(batch: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}

#[tokio::test]
async fn parquet_files_by_name_with_types_widened() {
    let dir = tempfile::tempdir().unwrap();
    let batch = RecordBatch::try_from_iter([
        ("other", Arc::new(Int64Array::from(vec![0; 5])) as arrow::array::ArrayRef),
        ("t", Arc::new(TimestampNanosecondArray::from(vec![1_000_000, 2_000_000, 3_000_000, 4_000_000, 5_000_000]))),
        ("n", Arc::new(Int32Array::from(vec![Some(1), None, Some(3), Some(4), Some(5)]))),
        ("s", Arc::new(StringArray::from(vec!["a", "b", "c", "d", "e"]))),
    ])
    .unwrap();
    let good = parquet_bytes(&batch);
    put(dir.path(), "a.parquet", &good, 1);
    put(dir.path(), "b.parquet", b"this is no parquet file at all", 2);
    put(dir.path(), "c.parquet", parquet_bytes(&batch.project(&[0, 1, 2]).unwrap()), 3);
    put(dir.path(), "d.parquet", &good, 4);
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let declared = schema(&[("s", DataType::Utf8), ("n", DataType::Int64), ("t", micros)]);
    let mut source = open_source(options(dir.path()), Format::Parquet, declared, OnBadRecord::Drop);
    let plan = source.plan(&SourceState::default(), &Limit::default()).await.unwrap().unwrap();
    let rows = read(&mut *source, &plan).await.unwrap();
    assert_eq!(texts(&rows), ["a", "b", "c", "d", "e", "a", "b", "c", "d", "e"]);
    assert_eq!(
        rows[0].batch.column(1).as_primitive::<Int64Type>().iter().collect::<Vec<_>>(),
        [Some(1), None, Some(3)]
    );
    assert_eq!(rows[1].offsets.values(), &[3, 4]);
    let reasons: Vec<&str> = rows.iter().flat_map(|r| &r.bad).map(|bad| bad.reason.as_str()).collect();
    assert_eq!(reasons.len(), 2);
    assert!(reasons[1].contains("there is no column `s`, but other, t, n"), "{reasons:?}");

    // Nanoseconds that are no microseconds are not cut off in silence.
    let fine = RecordBatch::try_from_iter([(
        "t",
        Arc::new(TimestampNanosecondArray::from(vec![1])) as arrow::array::ArrayRef,
    )])
    .unwrap();
    std::fs::remove_dir_all(dir.path()).unwrap();
    std::fs::create_dir(dir.path()).unwrap();
    put(dir.path(), "f.parquet", parquet_bytes(&fine), 1);
    let micros = schema(&[("t", DataType::Timestamp(TimeUnit::Microsecond, None))]);
    let mut source = open_source(options(dir.path()), Format::Parquet, micros, OnBadRecord::Fail);
    let plan = source.plan(&SourceState::default(), &Limit::default()).await.unwrap().unwrap();
    assert!(matches!(read(&mut *source, &plan).await, Err(SourceError::BadRecord { .. })));
}

#[tokio::test]
async fn a_damaged_parquet_file_is_survived_wherever_the_damage_is() {
    let dir = tempfile::tempdir().unwrap();
    let values = (0..200i64).map(|n| n * 7919 % 1000).collect::<Vec<_>>();
    let batch =
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(values)) as arrow::array::ArrayRef)]).unwrap();
    let bytes = parquet_bytes(&batch);
    for at in (0..bytes.len()).step_by(13) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0xFF;
        put(dir.path(), "a.parquet", &damaged, 1);
        let declared = schema(&[("n", DataType::Int64)]);
        let mut source = open_source(options(dir.path()), Format::Parquet, declared, OnBadRecord::Drop);
        let plan = source.plan(&SourceState::default(), &Limit::default()).await.unwrap().unwrap();
        read(&mut *source, &plan).await.unwrap_or_else(|error| panic!("byte {at}: {error}"));
    }
}

#[tokio::test]
async fn a_static_table_is_all_of_its_files_or_an_error() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "b.csv", "k,v\n3,c\n", 1);
    put(dir.path(), "a.csv", "k,v\n1,a\n2,b\n", 2);
    let csv = Format::Csv(Csv { header: true, delimiter: b',', quote: b'"', null_value: None });
    let mut table = model::StaticTable {
        path: format!("{}/*.csv", dir.path().display()),
        format: csv,
        schema: schema(&[("v", DataType::Utf8), ("k", DataType::Int64)]),
        refresh: None,
    };
    let batches = crate::read_table(&table).await.unwrap();
    let keys: Vec<i64> =
        batches.iter().flat_map(|b| b.column(1).as_primitive::<Int64Type>().values().to_vec()).collect();
    assert_eq!(keys, [1, 2, 3]);
    put(dir.path(), "c.csv", "k,v\nx,y\n", 1);
    assert!(matches!(crate::read_table(&table).await, Err(SourceError::BadRecord { .. })));
    table.path = format!("{}/*.json", dir.path().display());
    assert!(
        matches!(crate::read_table(&table).await, Err(SourceError::Fatal(reason)) if reason.starts_with("no file"))
    );
}

fn names(notes: &BTreeMap<String, Value>) -> Vec<String> {
    let paths = notes.iter().filter(|(path, note)| *path != TOO_OLD_BEFORE && !note.is_null());
    paths.map(|(path, _)| path.rsplit('/').next().unwrap().to_owned()).collect()
}

/// Plans and commits, and says which files were taken.
async fn epoch(source: &mut dyn Source, state: &mut SourceState) -> Vec<String> {
    let Some(plan) = source.plan(state, &Limit::default()).await.unwrap() else { return vec![] };
    read(source, &plan).await.unwrap();
    state.advance(&plan);
    source.ack(state).await.unwrap();
    names(&plan.notes)
}

#[tokio::test]
async fn old_files_are_forgotten_and_older_ones_no_longer_taken() {
    let dir = tempfile::tempdir().unwrap();
    let base = model::Files { max_file_age: Duration::from_secs(100), ..options(dir.path()) };
    for (n, modified) in [("ancient", 1), ("b", 500), ("c", 1000)] {
        put(dir.path(), n, n, modified);
    }
    // All that is there at the start counts, in epochs of one file too.
    let mut state = SourceState::default();
    let mut source = text_source(model::Files { max_files_per_trigger: Some(1), ..base.clone() });
    for wanted in ["ancient", "b", "c"] {
        assert_eq!(epoch(&mut *source, &mut state).await, [wanted]);
    }
    assert_eq!(names(&state.notes), ["c"]);
    put(dir.path(), "late", "x", 899);
    put(dir.path(), "just", "x", 900);
    assert_eq!(epoch(&mut *source, &mut state).await, ["just"]);
    let mut restarted = text_source(base.clone());
    assert_eq!(epoch(&mut *restarted, &mut state).await, [""; 0]);

    // The newest first, some at a time: then no file is too old.
    let newest = model::Files { latest_first: true, max_files_per_trigger: Some(1), ..base };
    let (mut source, mut state) = (text_source(newest), SourceState::default());
    for wanted in ["c", "just", "late", "b", "ancient"] {
        assert_eq!(epoch(&mut *source, &mut state).await, [wanted]);
    }
}

#[tokio::test]
async fn files_are_taken_away_only_when_their_epoch_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let inside = dir.path().join("in");
    std::fs::create_dir(&inside).unwrap();
    let archive = dir.path().join("done");
    let mode = model::CleanSource::Archive(archive.display().to_string());
    let options = model::Files { clean_source: mode, max_files_per_trigger: Some(2), ..options(&inside) };
    for (n, name) in ["a", "b", "c"].into_iter().enumerate() {
        put(&inside, name, name, n as u64);
    }
    let there = || {
        let mut names: Vec<_> =
            inside.read_dir().unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let (mut source, mut state) = (text_source(options.clone()), SourceState::default());
    let plan = source.plan(&state, &Limit::default()).await.unwrap().unwrap();
    // Acknowledged without a commit, as when another source's epoch was.
    source.ack(&state).await.unwrap();
    read(&mut *source, &plan).await.unwrap();
    source.ack(&state).await.unwrap();
    assert_eq!(there(), ["a", "b", "c"]);
    // The process dies between the commit and the cleaning: the next one cleans when it looks for files.
    state.advance(&plan);
    let mut source = text_source(options.clone());
    assert_eq!(epoch(&mut *source, &mut state).await, ["c"]);
    assert_eq!(there(), [""; 0]);
    let moved = |name: &str| archive.join(inside.join(name).strip_prefix("/").unwrap());
    assert_eq!(std::fs::read_to_string(moved("c")).unwrap(), "c");
    assert!(moved("a").exists() && moved("b").exists());
    // The same name with other content is no file that was read: it is not cleaned away.
    put(&inside, "b", "another", 9);
    let mut deleting = text_source(model::Files { clean_source: model::CleanSource::Delete, ..options });
    assert_eq!(epoch(&mut *deleting, &mut state).await, [""; 0]);
    assert_eq!(there(), ["b"]);
    put(&inside, "d", "d", 10);
    assert_eq!(epoch(&mut *deleting, &mut state).await, ["d"]);
    assert_eq!(there(), ["b"]);
}
