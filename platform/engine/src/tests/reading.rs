//! Answers as of a manifest: base ⊕ deltas, holes, keys, ad-hoc SQL, ledgers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use braid_kernel::manifest::{Base, BaseBy, Delta, Manifest, Table};
use braid_kernel::serve::Snapshot;
use braid_kernel::{Merge, Segment, Segments, StoreError};

use super::{at, batch_of, block_on, engine, lines, sorted, start};
use crate::{Engine, ReadError, Reader};

/// Segments in memory, which counts reads.
#[derive(Default)]
pub struct Shelf(Mutex<(BTreeMap<String, Vec<RecordBatch>>, usize)>);

#[async_trait]
impl Segments for Shelf {
    async fn write(&self, name: &str, batches: &[RecordBatch]) -> Result<Segment, StoreError> {
        self.0.lock().unwrap().0.insert(name.into(), batches.to_vec());
        Ok(Segment { name: name.into(), rows: 0, bytes: 0, crc: 0 })
    }

    async fn read(&self, segment: &Segment) -> Result<Vec<RecordBatch>, StoreError> {
        let mut shelf = self.0.lock().unwrap();
        shelf.1 += 1;
        shelf.0.get(&segment.name).cloned().ok_or_else(|| StoreError::NotFound(segment.name.clone()))
    }
}

const VIEWS: [(&str, &str); 4] = [
    ("counts", "SELECT name, count(*) AS c FROM events GROUP BY name HAVING count(*) < 100"),
    (
        "windows",
        "SELECT window(at, '10 seconds') AS w, name, sum(n) AS t FROM events GROUP BY window(at, '10 seconds'), name",
    ),
    ("total", "SELECT count(*) AS c, sum(n) AS s FROM events"),
    ("big", "SELECT name, n FROM events WHERE n > 1"),
];

/// A deployment of three epochs, the first of which is in the base.
async fn world() -> (Engine, Arc<Shelf>, Snapshot) {
    let (engine, shelf) = (engine(&VIEWS).await, Arc::new(Shelf::default()));
    let mut job = engine.job().unwrap();
    let mut tables = BTreeMap::<String, Table>::new();
    let mut hot = BTreeMap::<String, BTreeMap<u64, Arc<Vec<RecordBatch>>>>::new();
    for epoch in 0..3u64 {
        job.begin(start(0, None));
        let second = epoch as i64 * 6;
        job.feed("events", &batch_of(&[at("a", second, 1), at("b", second, 2 + epoch as i64)])).await.unwrap();
        let mut deltas = job.finish(None).await.unwrap().deltas;
        for (view, _) in VIEWS {
            let rows = deltas.remove(view).unwrap_or_default();
            let table = tables.entry(view.into()).or_default();
            let segment = shelf.write(&format!("{view}/{epoch}"), &rows).await.unwrap();
            match epoch {
                0 => table.base.push(segment),
                _ => table.deltas.push(Delta { epoch, segments: vec![segment] }),
            }
            if epoch == 2 {
                hot.entry(view.into()).or_default().insert(epoch, Arc::new(rows));
            }
        }
    }
    let base = Base { generation: 1, by: BaseBy::Fold, horizon: 1, at_ms: 0 };
    let manifest = Manifest { sequence: 3, next: 3, base: Some(base), tables, ..Manifest::default() };
    (engine, shelf, Snapshot { manifest: Arc::new(manifest), hot })
}

fn key(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

#[test]
fn base_and_deltas_make_the_answer() {
    block_on(async {
        let (engine, shelf, snap) = world().await;
        let reader = Reader::new(engine, shelf.clone());
        assert_eq!(sorted(&reader.rows(&snap, "counts").await.unwrap()), ["a | 3", "b | 3"]);
        assert_eq!(lines(&reader.rows(&snap, "total").await.unwrap()), ["6 | 12"]);
        assert_eq!(lines(&reader.rows(&snap, "big").await.unwrap()), ["b | 2", "b | 3", "b | 4"]);
        // Twice the same question reads nothing again.
        let reads = shelf.0.lock().unwrap().1;
        reader.rows(&snap, "counts").await.unwrap();
        reader.rows(&snap, "big").await.unwrap();
        assert_eq!(shelf.0.lock().unwrap().1, reads);
        assert!(matches!(reader.rows(&snap, "cuonts").await, Err(ReadError::UnknownView { hint: Some(_), .. })));
    });
}

#[test]
fn a_global_aggregate_of_nothing_is_one_row() {
    block_on(async {
        let (engine, shelf, _) = world().await;
        let reader = Reader::new(engine, shelf);
        let empty = Snapshot::default();
        assert_eq!(lines(&reader.rows(&empty, "total").await.unwrap()), ["0 | NULL"]);
        assert_eq!(lines(&[reader.lookup(&empty, "total", &[]).await.unwrap()]), ["0 | NULL"]);
        assert!(reader.rows(&empty, "counts").await.unwrap().is_empty());
    });
}

#[test]
fn an_older_snapshot_and_a_new_base_answer_for_themselves() {
    block_on(async {
        let (engine, shelf, snap) = world().await;
        let reader = Reader::new(engine.clone(), shelf.clone());
        assert_eq!(sorted(&reader.rows(&snap, "counts").await.unwrap()), ["a | 3", "b | 3"]);
        let mut older = snap.manifest.as_ref().clone();
        older.next = 2;
        for table in older.tables.values_mut() {
            table.deltas.truncate(1);
        }
        let older = Snapshot { manifest: Arc::new(older), hot: BTreeMap::new() };
        assert_eq!(sorted(&reader.rows(&older, "counts").await.unwrap()), ["a | 2", "b | 2"]);

        let mut folded = snap.manifest.as_ref().clone();
        let mut parts = Vec::new();
        for epoch in 0..3 {
            parts.extend(shelf.0.lock().unwrap().0[&format!("counts/{epoch}")].clone());
        }
        let merged = engine.merge("counts", &parts).unwrap();
        let segment = shelf.write("counts/base-2", &merged).await.unwrap();
        folded.base = Some(Base { generation: 2, by: BaseBy::Fold, horizon: 3, at_ms: 0 });
        folded.tables.insert("counts".into(), Table { base: vec![segment], deltas: vec![] });
        let folded = Snapshot { manifest: Arc::new(folded), hot: BTreeMap::new() };
        assert_eq!(sorted(&reader.rows(&folded, "counts").await.unwrap()), ["a | 3", "b | 3"]);
    });
}

#[test]
fn a_hole_is_an_error() {
    block_on(async {
        let (engine, shelf, snap) = world().await;
        let reader = Reader::new(engine, shelf);
        let mut manifest = snap.manifest.as_ref().clone();
        for table in manifest.tables.values_mut() {
            table.deltas.remove(0);
        }
        let holed = Snapshot { manifest: Arc::new(manifest), hot: snap.hot.clone() };
        for view in ["counts", "big"] {
            assert!(matches!(reader.rows(&holed, view).await, Err(ReadError::Hole { epoch: 1, .. })), "{view}");
        }
    });
}

#[test]
fn lookups_by_text() {
    block_on(async {
        let (engine, shelf, snap) = world().await;
        let reader = Reader::new(engine, shelf);
        let found = |view: &'static str, pairs: Vec<(String, String)>| {
            let (reader, snap) = (reader.clone(), snap.clone());
            async move { reader.lookup(&snap, view, &pairs).await.map(|rows| sorted(&[rows])) }
        };
        assert_eq!(found("counts", key(&[("name", "a")])).await.unwrap(), ["a | 3"]);
        assert!(found("counts", key(&[("name", "z")])).await.unwrap().is_empty());
        let window = key(&[("w.start", "1970-01-01T00:00:00Z"), ("name", "b")]);
        assert_eq!(
            found("windows", window).await.unwrap(),
            ["{start:1970-01-01T00:00:00,end:1970-01-01T00:00:10} | b | 5"]
        );
        let by_end = key(&[("w.end", "1970-01-01 00:00:20"), ("name", "b")]);
        assert_eq!(found("windows", by_end).await.unwrap().len(), 1);
        assert_eq!(found("windows", key(&[("name", "b")])).await.unwrap().len(), 2);
        assert_eq!(found("big", key(&[("n", "3")])).await.unwrap(), ["b | 3"]);
        assert!(matches!(found("counts", key(&[("nmae", "a")])).await, Err(ReadError::Key(_))));
        let wrong = key(&[("w", "yesterday"), ("name", "b")]);
        assert!(matches!(found("windows", wrong).await, Err(ReadError::Key(_))));
    });
}

#[test]
fn questions_in_sql() {
    block_on(async {
        let (engine, shelf, snap) = world().await;
        let schema = Arc::new(Schema::new(vec![Field::new("reason", DataType::Utf8, true)]));
        let reader = Reader::new(engine, shelf.clone()).with_ledger("dead_letters", schema.clone());
        let reasons = StringArray::from(vec!["bad"]);
        let bad = RecordBatch::try_new(schema, vec![Arc::new(reasons)]).unwrap();
        let mut manifest = snap.manifest.as_ref().clone();
        let segment = shelf.write("dead/2", &[bad]).await.unwrap();
        let delta = |epoch, segments| Delta { epoch, segments };
        let ledger = Table { base: vec![], deltas: vec![delta(1, vec![]), delta(2, vec![segment])] };
        manifest.tables.insert("dead_letters".into(), ledger);
        let snap = Snapshot { manifest: Arc::new(manifest), hot: snap.hot };
        let ask = async |sql: &str| reader.sql(&snap, sql).await.map(|(_, rows)| lines(&rows));
        assert_eq!(
            ask(
                "SELECT t.team, sum(c) AS s FROM Counts JOIN teams t ON counts.NAME = t.name GROUP BY t.team ORDER BY 1"
            )
            .await
            .unwrap(),
            ["blue | 3", "red | 3"]
        );
        assert_eq!(
            ask("SELECT w.start, t FROM windows WHERE name = 'a' ORDER BY w.start").await.unwrap(),
            ["0 | 2", "10000000 | 1"]
        );
        assert_eq!(
            ask("SELECT reason, rank() OVER (ORDER BY reason) AS r FROM dead_letters").await.unwrap(),
            ["bad | 1"]
        );
        assert_eq!(ask("SELECT count(*) FROM total").await.unwrap(), ["1"]);
        for wrong in
            ["DROP TABLE counts", "SELECT x FROM counts", "SELECT * FROM nowhere", "SELEC 1", "SELECT 1; SELECT 2"]
        {
            assert!(matches!(ask(wrong).await, Err(ReadError::Sql(_))), "{wrong}");
        }
    });
}
